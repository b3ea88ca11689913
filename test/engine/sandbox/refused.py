"""Reads each model.pkl as a worker does, confined; prints why each is refused."""

import io
import json
import sys

sys.path.insert(0, sys.argv[1])
import confinement
import unpickling

sys.path.pop(0)
files = {path: io.BytesIO(open(path, "rb").read()) for path in sys.argv[2:]}
confinement.confine(1 << 30)
found = {}
for path, file in files.items():
    try:
        found[path] = f"read: {type(unpickling.read_pickle(file)).__name__}"
    except Exception as error:
        found[path] = str(error) or type(error).__name__
print(json.dumps(found))
