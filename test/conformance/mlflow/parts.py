"""Sends a file in parts and gets it back, with the client of MLflow as it is. Prints where the parts went to and came from.

    python parts.py FOLDER
"""

import hashlib
import json
import os
import sys

import mlflow
from mlflow.store.artifact import http_artifact_repo
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

SIZE = 13_000_000
sent, got = [], []

upload_part = HttpArtifactRepository._upload_part


def watched_upload(credential, local_file, size, start_byte):
    sent.append(credential.url)
    return upload_part(credential, local_file, size, start_byte)


HttpArtifactRepository._upload_part = staticmethod(watched_upload)
# The client of MLflow 2 gets files in one piece.
if hasattr(http_artifact_repo, "download_chunk"):
    download_chunk = http_artifact_repo.download_chunk

    def watched_download(**what):
        got.append(what["http_uri"])
        return download_chunk(**what)

    http_artifact_repo.download_chunk = watched_download


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


folder = sys.argv[1]
large = os.path.join(folder, "large.bin")
with open(large, "wb") as file:
    file.write(os.urandom(SIZE))
with mlflow.start_run() as run:
    mlflow.log_artifact(large, "deep")
back = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="deep/large.bin", dst_path=os.path.join(folder, "back"))
print(json.dumps({"same": sha256(back) == sha256(large), "sent": sent, "got": got}))
