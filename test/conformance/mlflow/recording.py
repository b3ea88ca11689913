"""What the scripts of this folder share: steps, and plain values of what the clients answer.

    python recording.py URI FOLDER SCRIPT...

runs several of the scripts in one process, because importing mlflow takes seconds, and writes FOLDER/SCRIPT.json for each.
A record holds one entry for each step: {"name", "value"}, or {"name", "failed"} where the step itself raised.
What a step expects to be refused is part of its value: {"refused": {"code", "class", "message"}}.
"""

import collections.abc
import enum
import importlib
import json
import logging
import math
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MPLBACKEND", "Agg")
warnings.filterwarnings("ignore")

import mlflow
from mlflow.entities._mlflow_object import _MlflowObject
from mlflow.exceptions import MlflowException

MAJOR = int(mlflow.__version__.split(".")[0])


def since(major):
    """Marks a step that an older client cannot make."""

    def mark(step):
        step.since = major
        return step

    return mark


def plain(value):
    """Entities as dicts of their properties, numbers that JSON lacks as text, pages as what they hold and whether there is more."""
    if value is None or isinstance(value, (bool, int, str)) and not isinstance(value, enum.Enum):
        return value
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if hasattr(value, "token") and isinstance(value, list):
        return {"items": [plain(entry) for entry in value], "more": bool(value.token)}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(entry) for entry in value)
    if isinstance(value, _MlflowObject):
        return {key: plain(entry) for key, entry in dict(value).items()}
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, collections.abc.Sequence) or hasattr(value, "MergeFrom") and hasattr(value, "__len__"):
        # What the 3.x client leaves of a protobuf answer: repeated fields.
        return [plain(entry) for entry in value]
    raise TypeError(f"no plain form of {type(value)}")


def refused(call, *args, **kwargs):
    """What a call that must be refused is refused with; what it gave, should it be let through."""
    try:
        given = call(*args, **kwargs)
    except MlflowException as error:
        return {"refused": {"code": error.error_code, "class": type(error).__name__, "message": error.message}}
    except Exception as error:
        return {"refused": {"code": None, "class": type(error).__name__, "message": str(error)}}
    return {"let through": given}


def tree(folder):
    """The files under a folder with their sizes."""
    folder = Path(folder)
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}


def record(uri, out, steps, context):
    entries, seconds = [], {}
    for step in steps:
        if getattr(step, "since", 0) > MAJOR:
            continue
        started = time.monotonic()
        entry = {"name": step.__name__}
        try:
            entry["value"] = plain(step(context))
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(where.filename)}:{where.name}"
            entry["failed"] = {"class": type(error).__name__, "message": str(error)[:2000], "place": place}
        entries.append(entry)
        seconds[step.__name__] = round(time.monotonic() - started, 2)
    document = {"uri": uri, "client": mlflow.__version__, "steps": entries}
    Path(out).write_text(json.dumps(document, indent=1, sort_keys=True, allow_nan=False))
    if os.environ.get("RECORDING_SECONDS"):
        slowest = sorted(seconds.items(), key=lambda pair: -pair[1])[:10]
        print(f"{out}: {sum(seconds.values()):.1f} s, slowest {slowest}", file=sys.stderr)


def quiet():
    """The clients' hints and warnings are no part of the answers."""
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.CRITICAL)


if __name__ == "__main__":
    address, folder, *scripts = sys.argv[1:]
    # This file is also imported by the scripts, under its own name.
    sys.path.insert(0, str(Path(__file__).parent))
    for script in scripts:
        importlib.import_module(script).main(address, str(Path(folder) / f"{script}.json"))
