"""MLflow's own scoring server for each model of a folder, as `mlflow models serve` runs it: one line of ports by name when all answer.

    python scoring.py FOLDER    # FOLDER/NAME.onnx becomes FOLDER/mlflow/NAME, an MLflow model, and is served
"""

import json
import os
import socket
import sys
import threading

import mlflow.onnx
import mlflow.pyfunc
import onnx
import uvicorn
from mlflow.models import ModelSignature
from mlflow.pyfunc.scoring_server import init
from mlflow.types.schema import ColSpec, Schema

folder = sys.argv[1]
ports = {}
for file in sorted(os.listdir(folder)):
    if not file.endswith(".onnx"):
        continue
    name = file.removesuffix(".onnx")
    path = os.path.join(folder, "mlflow", name)
    # A model with columns has a signature, as whoever trains on a table logs it.
    columns = {"table": ["p", "q", "r"]}.get(name)
    signature = None if columns is None else ModelSignature(Schema([ColSpec("double", column) for column in columns]))
    mlflow.onnx.save_model(onnx.load(os.path.join(folder, file)), path, pip_requirements=[], signature=signature)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    ports[name] = sock.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(init(mlflow.pyfunc.load_model(path)), log_level="error"))
    server.install_signal_handlers = lambda: None
    threading.Thread(target=lambda s=server, k=sock: s.run(sockets=[k]), daemon=True).start()
print(json.dumps(ports), flush=True)
sys.stdin.read()
