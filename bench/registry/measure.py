"""Times calls of the MLflow client against several tracking servers in turn: measure.py ROUNDS NAME=URI... prints JSON.

Of each kind of call and server: milliseconds of every call, or MB/s of every transfer.
"""

import json
import logging
import os
import sys
import tempfile
import time
import warnings

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric  # noqa: E402

CALLS = 15
# Of each kind, not counted: a registry runs for years, and a server of JavaScript compiles what it is asked often.
WARM_UP = 200
FILE_MB = 100
VERSIONS = 100
# What a run has logged as its model.
FILES = 10
FILE_BYTES = 100_000


class Side:
    def __init__(self, name, uri, like=None):
        """`like`: the side whose answers this one repeats, so that it is asked for the same."""
        self.name = name
        self.client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        if like is not None:
            self.experiment, self.run, self.model, self.step = like.experiment, like.run, like.model, 0
            self.trained = like.trained
            return
        self.experiment = self.client.create_experiment(f"bench-{time.time_ns()}")
        self.run = self.client.create_run(self.experiment).info.run_id
        self.model = f"bench-{time.time_ns()}"
        self.client.create_registered_model(self.model)
        for _ in range(VERSIONS):
            self.client.create_model_version(self.model, f"runs:/{self.run}/model", self.run)
        self.client.set_registered_model_alias(self.model, "champion", "1")
        self.trained = self.client.create_run(self.experiment).info.run_id
        with tempfile.TemporaryDirectory() as folder:
            for index in range(FILES):
                with open(os.path.join(folder, f"part{index}.bin"), "wb") as file:
                    file.write(os.urandom(FILE_BYTES))
            self.client.log_artifacts(self.trained, folder, "model")
        self.step = 0

    def log_batch(self):
        self.step += 1
        metrics = [Metric(f"m{index}", 0.5 + index, 1700000000000 + self.step, self.step) for index in range(1000)]
        self.client.log_batch(self.run, metrics)

    def log_metric(self):
        self.step += 1
        self.client.log_metric(self.run, "single", 0.5, 1700000000000 + self.step, self.step)

    def create_version(self):
        self.client.create_model_version(self.model, f"runs:/{self.run}/model", self.run)

    def create_version_with_files(self):
        self.client.create_model_version(self.model, f"runs:/{self.trained}/model", self.trained)

    def read_alias(self):
        self.client.get_model_version_by_alias(self.model, "champion")

    def search_versions(self):
        self.client.search_model_versions(f"name = '{self.model}'", max_results=VERSIONS)

    def get_run(self):
        self.client.get_run(self.run)


def timed(act):
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1000


def main(rounds, named):
    sides = []
    for name, uri in named:
        sides.append(Side(name, uri, sides[0] if name == "client alone" else None))
    calls = ["log_metric", "create_version", "create_version_with_files", "read_alias", "search_versions", "log_batch"]
    found = {side.name: {call: [] for call in calls} for side in sides}
    for call in calls:
        for side in sides:
            for _ in range(0 if call == "log_batch" else WARM_UP):
                getattr(side, call)()
    for _ in range(rounds):
        for call in calls:
            for side in sides:
                count = 5 if call == "log_batch" else CALLS
                getattr(side, call)()
                found[side.name][call] += [timed(getattr(side, call)) for _ in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "weights.bin")
        with open(path, "wb") as file:
            file.write(os.urandom(1024 * 1024) * FILE_MB)
        for turn in range(rounds):
            for side in sides:
                if side.name == "client alone":
                    continue
                up = timed(lambda: side.client.log_artifact(side.run, path, f"round{turn}"))
                down = timed(lambda: side.client.download_artifacts(side.run, f"round{turn}/weights.bin", folder))
                found[side.name].setdefault("upload", []).append(FILE_MB * 1000 / up)
                found[side.name].setdefault("download", []).append(FILE_MB * 1000 / down)
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), [argument.split("=", 1) for argument in sys.argv[2:]])
