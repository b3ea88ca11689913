"""What people do with an MLflow server, through the public functions of its client.

    python scenario.py URI OUT.json

Runs with the clients of MLflow 2 and 3; names carry the client's major version, so that both can use one server.
Start times and metric timestamps are given wherever an order depends on them.
"""

import math
import re
import sys
import tempfile
import time
from pathlib import Path

from recording import MAJOR, plain, quiet, record, refused, since, tree

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.models import infer_signature
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

T0 = 1_700_000_000_000
PREFIX = f"scenario{MAJOR}"
MISSING_RUN = "0" * 32


class Context:
    def __init__(self, uri, folder):
        self.client = MlflowClient(uri, uri)
        self.folder = Path(folder)
        self.digits = load_digits()
        self.model = LogisticRegression(max_iter=20, C=0.1).fit(self.digits.data[:300], self.digits.target[:300])

    def local(self, name):
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def batch(self, name, start_time=T0, **kwargs):
        """A new run of the experiment for what is tried out."""
        return self.client.create_run(self.experiment, start_time=start_time, run_name=name, **kwargs).info.run_id

    def run(self, name):
        """A run by the name that an earlier step gave it."""
        return getattr(self, f"run_{name}")


def names(found):
    return {"names": [getattr(item, "name", None) or item.info.run_name for item in found], "more": bool(found.token)}


# Experiments


def default_experiment(c):
    experiment = plain(c.client.get_experiment("0"))
    return {key: experiment[key] for key in ("experiment_id", "name", "lifecycle_stage")}


def create_experiment(c):
    c.experiment = c.client.create_experiment(f"{PREFIX}-main", tags={"team": "vision", "empty": ""})
    return c.client.get_experiment(c.experiment)


def get_experiment_by_name(c):
    return [c.client.get_experiment_by_name(f"{PREFIX}-main"), c.client.get_experiment_by_name(f"{PREFIX}-unheard-of")]


def create_experiment_again(c):
    return refused(c.client.create_experiment, f"{PREFIX}-main")


def create_experiment_with_bad_names(c):
    return [refused(c.client.create_experiment, name) for name in ("", None, 7, "n" * 501)]


def rename_experiment(c):
    other = c.client.create_experiment(f"{PREFIX}-before")
    c.client.rename_experiment(other, f"{PREFIX}-after")
    taken = refused(c.client.rename_experiment, other, f"{PREFIX}-main")
    c.other_experiment = other
    return [c.client.get_experiment(other), c.client.get_experiment_by_name(f"{PREFIX}-before"), taken]


def experiment_tags(c):
    c.client.set_experiment_tag(c.experiment, "team", "audio")
    c.client.set_experiment_tag(c.experiment, "mlflow.note.content", "About *digits*.\nTwo lines, é and 🐍.")
    c.client.set_experiment_tag(c.experiment, "number", 5)
    return c.client.get_experiment(c.experiment).tags


@since(3)
def delete_experiment_tag(c):
    c.client.delete_experiment_tag(c.experiment, "number")
    missing = refused(c.client.delete_experiment_tag, c.experiment, "number")
    return [c.client.get_experiment(c.experiment).tags, missing]


def experiment_tag_limits(c):
    return [
        refused(c.client.set_experiment_tag, c.experiment, "k" * 251, "v"),
        refused(c.client.set_experiment_tag, c.experiment, "k" * 250, "v"),
        refused(c.client.set_experiment_tag, c.experiment, "../key", "v"),
        refused(c.client.set_experiment_tag, c.experiment, "a*b", "v"),
        refused(c.client.set_experiment_tag, "987654321", "key", "v"),
    ]


def delete_experiment(c):
    c.client.delete_experiment(c.other_experiment)
    return {
        "deleted": c.client.get_experiment(c.other_experiment),
        "by name": c.client.get_experiment_by_name(f"{PREFIX}-after"),
        "again": refused(c.client.delete_experiment, c.other_experiment),
        "create with its name": refused(c.client.create_experiment, f"{PREFIX}-after"),
        "run in it": refused(c.client.create_run, c.other_experiment),
        "rename": refused(c.client.rename_experiment, c.other_experiment, f"{PREFIX}-renamed"),
        "tag": refused(c.client.set_experiment_tag, c.other_experiment, "a", "b"),
        "set as active": refused(mlflow.set_experiment, f"{PREFIX}-after"),
    }


def search_experiments_by_view(c):
    views = (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL)
    pattern = f"name LIKE '{PREFIX}-%'"
    return {ViewType.to_string(view): names(c.client.search_experiments(view, filter_string=pattern)) for view in views}


def restore_experiment(c):
    c.client.restore_experiment(c.other_experiment)
    again = refused(c.client.restore_experiment, c.other_experiment)
    return [c.client.get_experiment(c.other_experiment), again]


def deleting_an_experiment_deletes_its_runs(c):
    experiment = c.client.create_experiment(f"{PREFIX}-short-lived")
    run = c.client.create_run(experiment, run_name="inside", start_time=T0).info.run_id
    c.client.delete_experiment(experiment)
    stage = c.client.get_run(run).info.lifecycle_stage
    log = refused(c.client.log_param, run, "a", "b")
    c.client.restore_experiment(experiment)
    return [stage, log, c.client.get_run(run).info.lifecycle_stage]


def experiments_in_pages(c):
    for number in range(5):
        c.client.create_experiment(f"{PREFIX}-page-{number}")
    pages, token = [], None
    for _ in range(4):
        page = c.client.search_experiments(
            max_results=2, page_token=token, filter_string=f"name LIKE '{PREFIX}-page-%'", order_by=["name DESC"]
        )
        pages.append(names(page))
        token = page.token
        if not token:
            break
    return pages


def search_all_experiments(c):
    time.sleep(0.01)
    found = [experiment.name for experiment in mlflow.search_experiments(order_by=["experiment_id ASC"])]
    return {"default is there": "Default" in found, "of this client": [name for name in found if name.startswith(PREFIX)]}


def missing_experiments(c):
    missing = "987654321"
    return [
        refused(c.client.get_experiment, missing),
        refused(c.client.delete_experiment, missing),
        refused(c.client.restore_experiment, missing),
        refused(c.client.rename_experiment, missing, "x"),
        refused(c.client.create_run, missing),
        refused(c.client.get_experiment, "no number"),
        refused(c.client.search_runs, [missing]),
    ]


def experiment_with_artifact_location(c):
    return refused(lambda: c.client.get_experiment(c.client.create_experiment(f"{PREFIX}-own-root", artifact_location="file:///etc")))


# Runs


def start_run(c):
    mlflow.set_experiment(f"{PREFIX}-main")
    with mlflow.start_run(run_name="first", tags={"stage": "trial"}, description="What it is for.") as run:
        c.run_first = run.info.run_id
        running = c.client.get_run(c.run_first)
    return {"running": running, "ended": c.client.get_run(c.run_first), "active": mlflow.active_run()}


def run_without_a_name(c):
    run = c.client.create_run(c.experiment)
    c.client.set_terminated(run.info.run_id)
    tags = c.client.get_run(run.info.run_id).data.tags
    return [run, tags["mlflow.runName"] == run.info.run_name]


def run_with_given_times(c):
    run = c.client.create_run(c.experiment, start_time=T0, tags={"a": "1", "mlflow.user": "grace"}, run_name="given").info.run_id
    c.client.set_terminated(run, "FAILED", T0 + 5000)
    return c.client.get_run(run)


def run_name_and_tag_disagree(c):
    return refused(c.client.create_run, c.experiment, tags={"mlflow.runName": "one"}, run_name="two")


def run_name_from_tag(c):
    return c.client.create_run(c.experiment, start_time=T0, tags={"mlflow.runName": "from tag"})


def nested_runs(c):
    with mlflow.start_run(run_name="parent") as parent:
        with mlflow.start_run(run_name="child", nested=True) as child:
            with mlflow.start_run(run_name="grandchild", nested=True) as grandchild:
                pass
    c.run_parent = parent.info.run_id
    children = c.client.search_runs([c.experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    return {
        "tags": c.client.get_run(child.info.run_id).data.tags,
        "parents": [c.client.get_parent_run(run.info.run_id) for run in (child, parent)],
        "grandchild": c.client.get_run(grandchild.info.run_id).data.tags["mlflow.parentRunId"] == child.info.run_id,
        "children": names(children),
    }


def failing_run(c):
    try:
        with mlflow.start_run(run_name="fails") as run:
            raise ValueError("on purpose")
    except ValueError:
        return c.client.get_run(run.info.run_id).info.status


def resumed_run(c):
    with mlflow.start_run(run_id=c.run_first):
        mlflow.set_tag("resumed", True)
        status = c.client.get_run(c.run_first).info.status
    return [status, c.client.get_run(c.run_first)]


def tags(c):
    run = c.run_tags = c.batch("tags")
    c.client.set_tag(run, "text", "a")
    c.client.set_tag(run, "text", "b")
    c.client.set_tag(run, "number", 1.5)
    c.client.set_tag(run, "empty", "")
    c.client.set_tag(run, "with space.and-more/é"[:19], "x")
    c.client.set_tag(run, "unicode", "日本語 🐍\n\t'\"`%_\\")
    c.client.set_tag(run, "long", "v" * 8000)
    return c.client.get_run(run).data.tags


def delete_tag(c):
    c.client.delete_tag(c.run_tags, "text")
    missing = refused(c.client.delete_tag, c.run_tags, "text")
    return [sorted(c.client.get_run(c.run_tags).data.tags), missing]


def tag_limits(c):
    return [
        refused(c.client.set_tag, c.run_tags, "k" * 251, "v"),
        refused(c.client.set_tag, c.run_tags, "too-long", "v" * 8001),
        refused(c.client.set_tag, c.run_tags, "", "v"),
        refused(c.client.set_tag, c.run_tags, None, "v"),
        refused(c.client.set_tag, c.run_tags, "a//b", "v"),
        refused(c.client.set_tag, c.run_tags, "a/../b", "v"),
        refused(c.client.set_tag, c.run_tags, "/a", "v"),
        refused(c.client.set_tag, c.run_tags, "a?b", "v"),
        refused(c.client.set_tag, MISSING_RUN, "a", "v"),
        refused(c.client.set_tag, "not an id", "a", "v"),
        sorted(c.client.get_run(c.run_tags).data.tags),
    ]


def run_name_by_tag(c):
    c.client.set_tag(c.run_tags, "mlflow.runName", "renamed by tag")
    run = c.client.get_run(c.run_tags)
    return [run.info.run_name, run.data.tags["mlflow.runName"]]


def params(c):
    run = c.run_params = c.batch("params")
    answers = [c.client.log_param(run, "rate", 0.1), c.client.log_param(run, "layers", [1, 2]), c.client.log_param(run, "none", None)]
    c.client.log_param(run, "empty", "")
    c.client.log_param(run, "path/with.dots and-spaces:1", "x")
    return [answers, c.client.get_run(run).data.params]


def param_again(c):
    same = refused(c.client.log_param, c.run_params, "rate", 0.1)
    changed = refused(c.client.log_param, c.run_params, "rate", 0.2)
    batch_same = refused(c.client.log_batch, c.run_params, params=[Param("rate", "0.1"), Param("new", "1")])
    batch_changed = refused(c.client.log_batch, c.run_params, params=[Param("rate", "0.3"), Param("not logged", "1")])
    twice = refused(c.client.log_batch, c.run_params, params=[Param("twice", "1"), Param("twice", "2")])
    twice_same = refused(c.client.log_batch, c.run_params, params=[Param("same", "1"), Param("same", "1")])
    return [same, changed, batch_same, batch_changed, twice, twice_same, c.client.get_run(c.run_params).data.params]


def params_150(c):
    with mlflow.start_run(run_id=c.run_params):
        mlflow.log_params({f"many-{number}": number for number in range(150)})
    found = c.client.get_run(c.run_params).data.params
    return [len(found), found["many-0"], found["many-149"]]


def param_limits(c):
    return [
        refused(c.client.log_param, c.run_params, "k" * 251, 1),
        refused(c.client.log_param, c.run_params, "longest", "v" * 6000),
        refused(c.client.log_param, c.run_params, "longer", "v" * 6001),
        refused(c.client.log_param, c.run_params, "a*b", 1),
        refused(c.client.log_param, c.run_params, "../a", 1),
        refused(c.client.log_param, MISSING_RUN, "a", 1),
        refused(c.client.log_batch, c.run_params, params=[Param(f"p{number}", "1") for number in range(101)]),
        refused(c.client.log_batch, c.run_params, tags=[RunTag(f"t{number}", "1") for number in range(101)]),
        refused(c.client.log_batch, c.run_params, metrics=[Metric(f"m{number}", 1.0, T0, 0) for number in range(1001)]),
        len(c.client.get_run(c.run_params).data.params),
    ]


def metrics_with_steps(c):
    run = c.run_metrics = c.batch("metrics")
    for step in range(6):
        c.client.log_metric(run, "loss", 1 / (step + 1), timestamp=T0 + step, step=step)
    # The latest is what has the largest step, then the largest timestamp, then the largest value.
    c.client.log_metric(run, "latest", 1.0, timestamp=T0 + 9, step=1)
    c.client.log_metric(run, "latest", 2.0, timestamp=T0, step=2)
    c.client.log_metric(run, "latest", 3.0, timestamp=T0 + 5, step=1)
    c.client.log_metric(run, "tied", 5.0, timestamp=T0, step=0)
    c.client.log_metric(run, "tied", 3.0, timestamp=T0, step=0)
    c.client.log_metric(run, "negative step", 3.0, timestamp=T0, step=-5)
    c.client.log_metric(run, "negative step", 2.0, timestamp=T0, step=-6)
    c.client.log_metric(run, "same", 3.0, timestamp=T0, step=1)
    c.client.log_metric(run, "same", 3.0, timestamp=T0, step=1)
    return c.client.get_run(run).data.metrics


def metric_history(c):
    keys = ("loss", "latest", "tied", "negative step", "same", "unheard-of")
    return {key: sorted((m.step, m.timestamp, m.value) for m in c.client.get_metric_history(c.run_metrics, key)) for key in keys}


def metrics_that_are_no_numbers(c):
    run = c.run_special = c.batch("special")
    values = {"nan": math.nan, "inf": math.inf, "minus": -math.inf, "largest": 1.7e308, "tiny": 5e-324, "whole": 7, "numpy": np.float32(0.25)}
    for key, value in values.items():
        c.client.log_metric(run, key, value, timestamp=T0, step=0)
    c.client.log_metric(run, "nan then number", math.nan, timestamp=T0, step=0)
    c.client.log_metric(run, "nan then number", 1.0, timestamp=T0 + 1, step=1)
    c.client.log_metric(run, "number then nan", 1.0, timestamp=T0, step=0)
    c.client.log_metric(run, "number then nan", math.nan, timestamp=T0 + 1, step=1)
    c.client.log_batch(run, metrics=[Metric("batch nan", math.nan, T0, 0), Metric("batch inf", -math.inf, T0, 0)])
    histories = {key: [m.value for m in c.client.get_metric_history(run, key)] for key in ("nan", "inf", "minus")}
    return [c.client.get_run(run).data.metrics, histories]


def metric_limits(c):
    run = c.run_metrics
    return [
        refused(c.client.log_metric, run, "k" * 251, 1.0),
        refused(c.client.log_metric, run, "a//b", 1.0),
        refused(c.client.log_metric, run, "..", 1.0),
        refused(c.client.log_metric, run, "text", "one"),
        refused(c.client.log_metric, run, "none", None),
        refused(c.client.log_metric, run, "step", 1.0, step=2**62),
        refused(c.client.log_metric, run, "time", 1.0, timestamp=-1),
        refused(c.client.log_metric, MISSING_RUN, "a", 1.0),
        refused(c.client.get_metric_history, MISSING_RUN, "a"),
        sorted(c.client.get_run(run).data.metrics),
    ]


def log_metrics_2500(c):
    with mlflow.start_run(run_id=c.batch("wide")) as run:
        mlflow.log_metrics({f"m{number:04}": number for number in range(2500)}, step=3, timestamp=T0)
    found = c.client.get_run(run.info.run_id).data.metrics
    return [len(found), found["m0000"], found["m2499"]]


def history_of_1500(c):
    run = c.batch("long")
    for start in (0, 1000):
        batch = [Metric("m", float(step), T0 + step, step) for step in range(start, min(start + 1000, 1500))]
        c.client.log_batch(run, metrics=batch)
    history = c.client.get_metric_history(run, "m")
    return [len(history), [m.step for m in history] == list(range(1500)), c.client.get_run(run).data.metrics]


def log_batch(c):
    run = c.batch("batch")
    c.client.log_batch(
        run,
        metrics=[Metric("a", 1.0, T0, 0), Metric("a", 2.0, T0 + 1, 1), Metric("b", -0.0, T0, 0)],
        params=[Param("p", "1"), Param("q", "")],
        tags=[RunTag("t", "1"), RunTag("mlflow.note.content", "note"), RunTag("t", "2")],
    )
    c.client.log_batch(run)
    return c.client.get_run(run)


def log_inputs(c):
    frame = pd.DataFrame({"x": [1.0, 2.5], "label": [0, 1], "name": ["a", "b"]})
    with mlflow.start_run(run_id=c.batch("inputs")) as run:
        train = mlflow.data.from_pandas(frame, source="https://example.invalid/train.csv", name="train", targets="label")
        test = mlflow.data.from_numpy(np.arange(6.0).reshape(3, 2), source="https://example.invalid/test.npy", name="test")
        mlflow.log_input(train, context="training", tags={"origin": "warehouse"})
        mlflow.log_input(test, context="testing")
        mlflow.log_input(train, context="training")
    c.run_inputs = run.info.run_id
    inputs = plain(c.client.get_run(c.run_inputs).inputs)
    inputs["dataset_inputs"].sort(key=lambda entry: entry["dataset"]["name"])
    return inputs


def log_inputs_in_experiment(c):
    with mlflow.start_run(run_id=c.batch("inputs again")) as run:
        data = mlflow.data.from_numpy(np.arange(6.0).reshape(3, 2), source="https://example.invalid/test.npy", name="test")
        mlflow.log_input(data)
    return c.client.get_run(run.info.run_id).inputs


def update_run(c):
    run = c.batch("to update")
    c.client.update_run(run, status="KILLED", name="updated")
    first = c.client.get_run(run)
    c.client.update_run(run, status="RUNNING")
    second = c.client.get_run(run).info.status
    c.client.update_run(run, name="renamed")
    bad = refused(c.client.update_run, run, status="DANCING")
    missing = refused(c.client.update_run, MISSING_RUN, name="x")
    return [first, second, c.client.get_run(run).info.run_name, bad, missing]


def set_terminated(c):
    found = []
    for status in ("FINISHED", "FAILED", "KILLED", "SCHEDULED"):
        run = c.batch(f"terminated {status}")
        c.client.set_terminated(run, status, end_time=T0 + 1)
        info = c.client.get_run(run).info
        found.append([info.status, info.end_time])
    missing = refused(c.client.set_terminated, MISSING_RUN)
    return [found, missing]


def delete_run(c):
    run = c.run_deleted = c.batch("to delete")
    c.client.delete_run(run)
    return {
        "deleted": c.client.get_run(run),
        "param": refused(c.client.log_param, run, "a", 1),
        "metric": refused(c.client.log_metric, run, "a", 1.0),
        "tag": refused(c.client.set_tag, run, "a", 1),
        "batch": refused(c.client.log_batch, run, params=[Param("a", "1")]),
        "update": refused(c.client.update_run, run, name="x"),
        "again": refused(c.client.delete_run, run),
        "missing": refused(c.client.delete_run, MISSING_RUN),
        "found": names(c.client.search_runs([c.experiment], "run_name = 'to delete'")),
        "found as deleted": names(c.client.search_runs([c.experiment], "run_name = 'to delete'", ViewType.DELETED_ONLY)),
    }


def restore_run(c):
    c.client.restore_run(c.run_deleted)
    again = refused(c.client.restore_run, c.run_deleted)
    return [c.client.get_run(c.run_deleted).info.lifecycle_stage, again, refused(c.client.restore_run, MISSING_RUN)]


def runs_in_pages(c):
    experiment = c.client.create_experiment(f"{PREFIX}-pages")
    for number in range(7):
        run = c.client.create_run(experiment, start_time=T0 + number, run_name=f"page {number}").info.run_id
        c.client.log_metric(run, "m", (number * 3) % 7, timestamp=T0, step=0)
    pages = {}
    for order in (None, ["metrics.m ASC"], ["start_time ASC"], ["attributes.run_name DESC"]):
        pages[str(order)], token = [], None
        while True:
            page = c.client.search_runs([experiment], max_results=3, order_by=order, page_token=token)
            pages[str(order)].append(names(page))
            token = page.token
            if not token:
                break
    exact = c.client.search_runs([experiment], max_results=7)
    bad_token = refused(c.client.search_runs, [experiment], page_token="no token")
    too_many = refused(c.client.search_runs, [experiment], max_results=50001)
    none = refused(c.client.search_runs, [experiment], max_results=0)
    return [pages, names(exact), bad_token, too_many, none]


def search_runs_in_several_experiments(c):
    pages = c.client.get_experiment_by_name(f"{PREFIX}-pages").experiment_id
    order = ["attributes.start_time ASC", "attributes.run_name ASC"]
    both = c.client.search_runs([pages, c.experiment], "attributes.run_name LIKE 'p%'", order_by=order)
    found = names(both)
    # A run without a name got one from the server, which may begin so, too.
    found["names"] = [name for name in found["names"] if not re.fullmatch(r"[a-z]+-[a-z]+-\d+", name)]
    return [found, names(c.client.search_runs([], "")), names(c.client.search_runs([pages, "987654321"], order_by=order))]


def search_runs_as_frame(c):
    frame = mlflow.search_runs(
        experiment_names=[f"{PREFIX}-pages"], filter_string="metrics.m > 2", order_by=["metrics.m DESC"], max_results=3
    )
    return {"columns": sorted(frame.columns), "names": list(frame["tags.mlflow.runName"]), "metrics": list(frame["metrics.m"])}


def missing_runs(c):
    return [
        refused(c.client.get_run, MISSING_RUN),
        refused(c.client.get_run, "not an id"),
        refused(c.client.get_run, ""),
        refused(mlflow.start_run, run_id=MISSING_RUN),
    ]


# Artifacts


def log_artifacts(c):
    folder = c.local("artifacts")
    (folder / "a.txt").write_text("a")
    (folder / "sub" / "deeper").mkdir(parents=True)
    (folder / "sub" / "b.bin").write_bytes(bytes(range(256)) * 400)
    (folder / "sub" / "deeper" / "ümlaut and space.txt").write_text("ü")
    (folder / "empty").write_text("")
    with mlflow.start_run(run_id=c.batch("artifacts")) as run:
        mlflow.log_artifact(str(folder / "a.txt"))
        mlflow.log_artifact(str(folder / "a.txt"), "single/folder")
        mlflow.log_artifacts(str(folder))
        mlflow.log_artifacts(str(folder / "sub"), "copied")
        uri = mlflow.get_artifact_uri("sub")
    c.run_artifacts = run.info.run_id
    return [uri, plain(c.client.list_artifacts(c.run_artifacts))]


def list_artifacts(c):
    paths = (None, "", "sub", "sub/", "sub/deeper", "copied", "single", "single/folder", "a.txt", "unheard-of")
    return {str(path): refused(lambda: plain(c.client.list_artifacts(c.run_artifacts, path))) for path in paths}


def download_artifacts(c):
    whole = mlflow.artifacts.download_artifacts(run_id=c.run_artifacts, artifact_path="", dst_path=str(c.local("whole")))
    part = c.client.download_artifacts(c.run_artifacts, "sub", str(c.local("part")))
    file = mlflow.artifacts.download_artifacts(artifact_uri=f"runs:/{c.run_artifacts}/sub/b.bin", dst_path=str(c.local("file")))
    return [tree(whole), tree(part), Path(file).read_bytes() == bytes(range(256)) * 400]


def download_missing_artifacts(c):
    def outcome(path):
        answer = refused(c.client.download_artifacts, c.run_artifacts, path, str(c.local("missing")))
        # Where the answer lies depends on the temporary folder; that nothing was found does not.
        return answer["refused"]["class"] if "refused" in answer else "let through"

    return [outcome(path) for path in ("unheard-of.txt", "sub/unheard-of", "../../../etc/passwd", "/etc/passwd")]


def overwrite_artifact(c):
    for text in ("first and longer", "second"):
        c.client.log_text(c.run_artifacts, text, "over/written.txt")
    listed = c.client.list_artifacts(c.run_artifacts, "over")
    return [listed, mlflow.artifacts.load_text(f"runs:/{c.run_artifacts}/over/written.txt")]


def log_text_dict_figure_image(c):
    run = c.run_media = c.batch("media")
    c.client.log_text(run, "héllo", "notes/text.txt")
    c.client.log_dict(run, {"a": [1, {"b": None}]}, "notes/data.json")
    c.client.log_dict(run, {"a": [1, {"b": None}]}, "notes/data.yaml")
    figure, axes = plt.subplots(figsize=(1, 1))
    axes.plot([1, 2])
    c.client.log_figure(run, figure, "figure.png")
    plt.close(figure)
    c.client.log_image(run, np.full((4, 4, 3), 128, dtype=np.uint8), "image.png")
    uri = f"runs:/{run}/"
    return {
        "root": [file.path for file in c.client.list_artifacts(run)],
        "notes": c.client.list_artifacts(run, "notes"),
        "text": mlflow.artifacts.load_text(uri + "notes/text.txt"),
        "dict": mlflow.artifacts.load_dict(uri + "notes/data.json"),
        "image": mlflow.artifacts.load_image(uri + "image.png").size,
    }


def log_image_with_key(c):
    run = c.batch("images")
    c.client.log_image(run, np.full((4, 4, 3), 128, dtype=np.uint8), key="sample", step=2)
    tags = c.client.get_run(run).data.tags
    return [len(c.client.list_artifacts(run, "images")), "mlflow.loggedImages" in tags]


def log_table(c):
    run = c.batch("table")
    c.client.log_table(run, {"question": ["a", "b"], "answer": ["1", "2"]}, "answers.json")
    c.client.log_table(run, pd.DataFrame({"question": ["c"], "answer": ["3"]}), "answers.json")
    frame = c.client.load_table(c.experiment, "answers.json", run_ids=[run], extra_columns=["run_id"])
    return [plain(frame.to_dict("list")), c.client.get_run(run).data.tags["mlflow.loggedArtifacts"]]


def artifacts_of_missing_run(c):
    return [refused(c.client.list_artifacts, MISSING_RUN), refused(c.client.log_text, MISSING_RUN, "x", "x.txt")]


def bad_artifact_paths(c):
    paths = ("../x.txt", "/etc/x.txt", "a/../../x.txt")
    return [refused(c.client.log_text, c.run_media, "x", path) for path in paths]


# Logging beside the program


def asynchronous_logging(c):
    run = c.batch("asynchronous")
    operations = [c.client.log_metric(run, "m", float(step), timestamp=T0 + step, step=step, synchronous=False) for step in range(20)]
    operations.append(c.client.log_param(run, "p", "1", synchronous=False))
    operations.append(c.client.set_tag(run, "t", "1", synchronous=False))
    for operation in operations:
        operation.wait()
    history = sorted((m.step, m.value) for m in c.client.get_metric_history(run, "m"))
    data = c.client.get_run(run).data
    return [len(history), history == [(step, float(step)) for step in range(20)], data.params, data.tags["t"], data.metrics]


def system_metrics(c):
    mlflow.set_system_metrics_sampling_interval(0.1)
    mlflow.set_system_metrics_samples_before_logging(1)
    with mlflow.start_run(run_name="system", log_system_metrics=True) as run:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not c.client.get_run(run.info.run_id).data.metrics:
            time.sleep(0.1)
    # Which there are depends on the machine (GPUs); these are on all.
    found = c.client.get_run(run.info.run_id).data.metrics
    return [f"system/{key}" in found for key in ("cpu_utilization_percentage", "system_memory_usage_megabytes", "disk_usage_percentage")]


def autolog(c):
    mlflow.sklearn.autolog(log_models=False, silent=True)
    try:
        with mlflow.start_run(run_name="autolog") as run:
            LogisticRegression(max_iter=5).fit(c.digits.data[:100], c.digits.target[:100])
    finally:
        mlflow.sklearn.autolog(disable=True)
    found = c.client.get_run(run.info.run_id)
    return {
        "params": found.data.params,
        "metrics": found.data.metrics,
        "tags": found.data.tags,
        "inputs": found.inputs,
        "artifacts": c.client.list_artifacts(run.info.run_id),
    }


# Models


def log_model(c, name="model", **kwargs):
    place = {"name": name} if MAJOR >= 3 else {"artifact_path": name}
    data = c.digits.data[:2]
    signature = infer_signature(data, c.model.predict(data))
    return mlflow.sklearn.log_model(c.model, signature=signature, pip_requirements=["scikit-learn"], **place, **kwargs)


def log_and_register_model(c):
    c.name = f"{PREFIX}-digits"
    with mlflow.start_run(run_name="trains") as run:
        mlflow.log_params({"C": 0.1, "max_iter": 20})
        mlflow.log_metric("accuracy", 0.875, step=1)
        mlflow.log_metric("accuracy", 0.9375, step=2)
        info = log_model(c, registered_model_name=c.name, input_example=c.digits.data[:2])
    c.run_trains = run.info.run_id
    c.model_info = info
    found = c.client.get_run(c.run_trains)
    return {
        "uri": info.model_uri,
        "run": found,
        "version": c.client.get_model_version(c.name, "1"),
        "model": c.client.get_registered_model(c.name),
        "registered version": info.registered_model_version,
    }


def files_of_the_model(c):
    folder = Path(mlflow.artifacts.download_artifacts(c.model_info.model_uri, dst_path=str(c.local("model"))))
    return [sorted(tree(folder)), sorted(file.path for file in c.client.list_artifacts(c.run_trains))]


def alias_and_load(c):
    c.client.set_registered_model_alias(c.name, "champion", "1")
    data = c.digits.data[300:340]
    expected = c.model.predict(data).tolist()
    uris = [f"models:/{c.name}@champion", f"models:/{c.name}/1", f"models:/{c.name}/latest", f"runs:/{c.run_trains}/model", c.model_info.model_uri]
    same = {}
    for number, uri in enumerate(uris):
        load = mlflow.sklearn.load_model if number == 0 else mlflow.pyfunc.load_model
        same[str(number)] = load(uri).predict(data).tolist() == expected
    return [expected, same]


def model_info_of_version(c):
    info = mlflow.models.get_model_info(f"models:/{c.name}@champion")
    return {"run": info.run_id, "signature": info.signature.to_dict(), "flavors": sorted(info.flavors), "path": info.artifact_path}


def load_what_is_not_there(c):
    uris = [f"models:/{c.name}@nobody", f"models:/{c.name}/9", "models:/unheard-of/1", f"models:/{c.name}/Production", f"runs:/{MISSING_RUN}/model"]
    found = [refused(mlflow.pyfunc.load_model, uri) for uri in uris]
    return found + [refused(mlflow.pyfunc.load_model, f"runs:/{c.run_trains}/nothing")["refused"]["class"]]


def register_again(c):
    second = mlflow.register_model(f"runs:/{c.run_trains}/model", c.name, tags={"kind": "second"})
    third = c.client.create_model_version(
        c.name, source=f"runs:/{c.run_trains}/model", run_id=c.run_trains, description="By hand.", tags={"kind": "third"}
    )
    return [second, third, c.client.get_registered_model(c.name)]


def download_uris(c):
    return [c.client.get_model_version_download_uri(c.name, version) for version in ("1", "2")]


def copy_model_version(c):
    copied = c.client.copy_model_version(f"models:/{c.name}@champion", f"{PREFIX}-prod")
    again = c.client.copy_model_version(f"models:/{c.name}/2", f"{PREFIX}-prod")
    data = c.digits.data[300:310]
    predictions = mlflow.pyfunc.load_model(f"models:/{PREFIX}-prod/1").predict(data)
    missing = refused(c.client.copy_model_version, f"models:/{c.name}/77", f"{PREFIX}-prod")
    bad = refused(c.client.copy_model_version, "runs:/x/y", f"{PREFIX}-prod")
    return [copied, again, predictions, missing, bad]


def copies_of_what_lies_elsewhere(c):
    """The place of the files is that of the original when the copy was made, whatever becomes of the original."""
    model = c.client.create_registered_model(f"{PREFIX}-far").name
    made = c.client.create_model_version(model, "s3://bucket/some/model")
    copied = c.client.copy_model_version(f"models:/{model}/{made.version}", f"{PREFIX}-far-copy")
    of_copy = c.client.copy_model_version(f"models:/{PREFIX}-far-copy/1", f"{PREFIX}-far-copies")
    places = [
        c.client.get_model_version_download_uri(name, version)
        for name, version in ((model, made.version), (f"{PREFIX}-far-copy", copied.version), (f"{PREFIX}-far-copies", of_copy.version))
    ]
    c.client.rename_registered_model(model, f"{model}-renamed")
    renamed = c.client.get_model_version_download_uri(f"{PREFIX}-far-copy", "1")
    c.client.delete_registered_model(f"{model}-renamed")
    deleted = c.client.get_model_version_download_uri(f"{PREFIX}-far-copy", "1")
    left = c.client.get_model_version(f"{PREFIX}-far-copy", "1")
    return [places, renamed, deleted, left.status]


def versions_of_runs_whose_files_lie_elsewhere(c):
    experiment = c.client.create_experiment(f"{PREFIX}-on a bucket", artifact_location="s3://bucket/experiment")
    run = c.client.create_run(experiment, start_time=T0).info
    name = c.client.create_registered_model(f"{PREFIX}-far run").name
    made = c.client.create_model_version(name, f"{run.artifact_uri}/model", run.run_id)
    place = c.client.get_model_version_download_uri(name, made.version)
    c.client.delete_run(run.run_id)
    return [
        run.artifact_uri.replace(run.run_id, "RUN"),
        place.replace(run.run_id, "RUN"),
        c.client.get_model_version_download_uri(name, made.version).replace(run.run_id, "RUN"),
        c.client.get_model_version(name, made.version).status,
    ]


def places_on_other_hosts(c):
    name = c.client.create_registered_model(f"{PREFIX}-places").name
    sources = (
        "s3://bucket/..%2f..%2fx",
        "s3://bucket/%2e%2e/x",
        "s3://bucket/a%00b",
        "mlflow-artifacts://other:5000/x",
        "hdfs://host/x",
        "ftp://host/x",
    )
    return [refused(c.client.create_model_version, name, source) for source in sources]


def experiments_on_other_hosts(c):
    locations = ("http://other:5000/api/2.0/mlflow-artifacts/artifacts/x", "mlflow-artifacts://other:5000/x")
    return [refused(c.client.create_experiment, f"{PREFIX}-at {index}", location) for index, location in enumerate(locations)]


def what_happens_to_a_run_does_not_reach_its_version(c):
    c.client.delete_run(c.run_trains)
    version = c.client.get_model_version(c.name, "1")
    predictions = mlflow.pyfunc.load_model(f"models:/{c.name}/1").predict(c.digits.data[300:303])
    c.client.restore_run(c.run_trains)
    return [version.status, predictions]


# The registry


def create_registered_model(c):
    first = c.client.create_registered_model(f"{PREFIX}-a model", tags={"team": "vision", "n": 1}, description="About it.")
    bare = c.client.create_registered_model(f"{PREFIX}-bare")
    return [first, bare, c.client.get_registered_model(f"{PREFIX}-a model")]


def create_registered_model_refusals(c):
    names_ = (f"{PREFIX}-bare", "", "a/b", "a:b", None, " ", "n" * 257, ".", "..", "%2e")
    return {str(name)[:20]: refused(lambda: c.client.create_registered_model(name).name) for name in names_}


def missing_models(c):
    missing = "unheard-of"
    return [
        refused(c.client.get_registered_model, missing),
        refused(c.client.update_registered_model, missing, "x"),
        refused(c.client.rename_registered_model, missing, "x"),
        refused(c.client.delete_registered_model, missing),
        refused(c.client.get_latest_versions, missing),
        refused(c.client.set_registered_model_tag, missing, "a", "b"),
        refused(c.client.delete_registered_model_tag, missing, "a"),
        refused(c.client.set_registered_model_alias, missing, "a", "1"),
        refused(c.client.delete_registered_model_alias, missing, "a"),
        refused(c.client.get_model_version_by_alias, missing, "a"),
        refused(c.client.create_model_version, missing, f"runs:/{c.run_trains}/model"),
        refused(c.client.get_model_version, missing, "1"),
        refused(c.client.get_model_version_download_uri, missing, "1"),
        refused(c.client.transition_model_version_stage, missing, "1", "Staging"),
        refused(c.client.search_model_versions, "name = 'unheard-of'"),
    ]


def missing_versions(c):
    return [
        refused(c.client.get_model_version, c.name, "77"),
        refused(c.client.get_model_version, c.name, "one"),
        refused(c.client.get_model_version, c.name, "0"),
        refused(c.client.get_model_version, c.name, "-1"),
        refused(c.client.update_model_version, c.name, "77", "x"),
        refused(c.client.delete_model_version, c.name, "77"),
        refused(c.client.get_model_version_download_uri, c.name, "77"),
        refused(c.client.transition_model_version_stage, c.name, "77", "Staging"),
        refused(c.client.set_model_version_tag, c.name, "77", "a", "b"),
        refused(c.client.delete_model_version_tag, c.name, "77", "a"),
        refused(c.client.set_registered_model_alias, c.name, "a", "77"),
    ]


def update_registered_model(c):
    updated = c.client.update_registered_model(f"{PREFIX}-bare", "Said later.")
    return [updated, c.client.get_registered_model(f"{PREFIX}-bare").description]


def registered_model_tags(c):
    name = f"{PREFIX}-a model"
    c.client.set_registered_model_tag(name, "team", "audio")
    c.client.set_registered_model_tag(name, "new", "")
    c.client.delete_registered_model_tag(name, "n")
    return [
        c.client.get_registered_model(name).tags,
        refused(c.client.delete_registered_model_tag, name, "n"),
        refused(c.client.set_registered_model_tag, name, "k" * 251, "v"),
        refused(c.client.set_registered_model_tag, name, "longest", "v" * 5000),
        refused(c.client.set_registered_model_tag, name, "longer", "v" * 100001),
        refused(c.client.set_registered_model_tag, name, "a*b", "v"),
        refused(c.client.set_registered_model_tag, name, None, "v"),
    ]


def rename_registered_model(c):
    c.client.set_registered_model_tag(f"{PREFIX}-bare", "kept", "yes")
    source = f"runs:/{c.run_trains}/model"
    c.client.create_model_version(f"{PREFIX}-bare", source, c.run_trains)
    c.client.set_registered_model_alias(f"{PREFIX}-bare", "kept", "1")
    renamed = c.client.rename_registered_model(f"{PREFIX}-bare", f"{PREFIX}-renamed")
    return [
        renamed,
        c.client.get_registered_model(f"{PREFIX}-renamed"),
        c.client.get_model_version_by_alias(f"{PREFIX}-renamed", "kept"),
        refused(c.client.get_registered_model, f"{PREFIX}-bare"),
        refused(c.client.rename_registered_model, f"{PREFIX}-renamed", c.name),
        refused(c.client.rename_registered_model, f"{PREFIX}-renamed", ""),
        refused(c.client.rename_registered_model, f"{PREFIX}-renamed", "a/b"),
        refused(lambda: c.client.rename_registered_model(f"{PREFIX}-renamed", f"{PREFIX}-renamed").name),
    ]


def aliases(c):
    c.client.set_registered_model_alias(c.name, "challenger", "2")
    c.client.set_registered_model_alias(c.name, "Second_one-2", "2")
    by_alias = c.client.get_model_version_by_alias(c.name, "challenger")
    c.client.set_registered_model_alias(c.name, "champion", "2")
    moved = [c.client.get_model_version(c.name, version).aliases for version in ("1", "2")]
    c.client.delete_registered_model_alias(c.name, "challenger")
    return [
        by_alias,
        [sorted(found) for found in moved],
        c.client.get_registered_model(c.name).aliases,
        refused(c.client.get_model_version_by_alias, c.name, "challenger"),
        refused(c.client.delete_registered_model_alias, c.name, "challenger"),
    ]


def alias_names(c):
    given = ("v1", "V22", "latest", "Latest", "LATEST", "v1a", "1", "77", "a b", "a/b", "a@b", "é", "", None, "a" * 255, "a" * 256, "None", "Production")
    return {str(alias)[:12]: refused(c.client.set_registered_model_alias, c.name, alias, "1") for alias in given}


def stages(c):
    found = []
    for version, stage in (("1", "Staging"), ("2", "Production"), ("3", "production"), ("1", "Archived"), ("1", "None")):
        found.append(c.client.transition_model_version_stage(c.name, version, stage))
    found.append(refused(c.client.transition_model_version_stage, c.name, "1", "Heaven"))
    found.append(refused(c.client.transition_model_version_stage, c.name, "1", "Archived", archive_existing_versions=True))
    found.append(c.client.transition_model_version_stage(c.name, "1", "Production", archive_existing_versions=True))
    found.append([c.client.get_model_version(c.name, version).current_stage for version in ("1", "2", "3")])
    found.append(c.client.get_model_version_stages(c.name, "1"))
    return found


def latest_versions(c):
    def latest(stages=None):
        return sorted([v.current_stage, v.version] for v in c.client.get_latest_versions(c.name, stages))

    load = mlflow.pyfunc.load_model(f"models:/{c.name}/Production").metadata.run_id
    return [latest(), latest(["Production"]), latest(["archived", "None"]), refused(latest, ["Heaven"]), load]


def update_model_version(c):
    updated = c.client.update_model_version(c.name, "2", "Better.")
    emptied = c.client.update_model_version(c.name, "2", "")
    return [updated, emptied, c.client.get_model_version(c.name, "2").description]


def model_version_tags(c):
    c.client.set_model_version_tag(c.name, "2", "quality", "good")
    c.client.set_model_version_tag(c.name, "2", "quality", "better")
    c.client.set_model_version_tag(c.name, version="2", key="number", value=3)
    c.client.delete_model_version_tag(c.name, "2", "number")
    by_stage = refused(c.client.set_model_version_tag, c.name, stage="Production", key="by stage", value="1")
    return [
        c.client.get_model_version(c.name, "2").tags,
        by_stage,
        refused(c.client.delete_model_version_tag, c.name, "2", "number"),
        refused(c.client.set_model_version_tag, c.name, "2", "k" * 251, "v"),
        refused(c.client.set_model_version_tag, c.name, "2", "a*b", "v"),
        refused(c.client.set_model_version_tag, c.name, "2", "longer", "v" * 100001),
    ]


def bad_sources(c):
    def create(source, run_id=None):
        return refused(lambda: c.client.create_model_version(c.name, source, run_id).status)

    return [
        create("file:///etc"),
        create("/etc/passwd"),
        create("mlflow-artifacts:/../../etc"),
        create("mlflow-artifacts:/%2e%2e/%2e%2e/etc"),
        create("http://example.invalid/../../etc"),
        create(f"models:/{c.name}/77"),
        create("models:/unheard-of/1"),
        create("file:///etc", c.run_trains),
        create(""),
    ]


def search_registered_models_in_pages(c):
    for number in range(5):
        c.client.create_registered_model(f"{PREFIX}-page-{number}")
    pages, token = [], None
    for _ in range(4):
        page = c.client.search_registered_models(f"name LIKE '{PREFIX}-page-%'", max_results=2, order_by=["name DESC"], page_token=token)
        pages.append(names(page))
        token = page.token
        if not token:
            break
    limits = [refused(c.client.search_registered_models, max_results=number) for number in (1001, -1)]
    bad = refused(c.client.search_registered_models, page_token="no token")
    return [pages, limits, bad, c.client.search_registered_models(f"name = '{c.name}'")]


def search_model_versions_in_pages(c):
    pages, token = [], None
    for _ in range(4):
        page = c.client.search_model_versions(f"name = '{c.name}'", max_results=2, order_by=["version_number DESC"], page_token=token)
        pages.append([[version.version for version in page], bool(page.token)])
        token = page.token
        if not token:
            break
    whole = c.client.search_model_versions(f"name = '{c.name}'", order_by=["version_number ASC"])
    by_run = c.client.search_model_versions(f"run_id = '{c.run_trains}'", order_by=["name ASC", "version_number ASC"])
    limits = [refused(lambda: len(c.client.search_model_versions(f"name = '{c.name}'", max_results=n))) for n in (200_001, -1)]
    return [pages, whole, [[version.name, version.version] for version in by_run], limits]


def delete_model_version(c):
    c.client.set_registered_model_alias(c.name, "doomed", "3")
    c.client.delete_model_version(c.name, "3")
    source = f"runs:/{c.run_trains}/model"
    return [
        refused(c.client.get_model_version, c.name, "3"),
        refused(c.client.delete_model_version, c.name, "3"),
        c.client.get_registered_model(c.name).aliases,
        refused(c.client.get_model_version_by_alias, c.name, "doomed"),
        c.client.create_model_version(c.name, source, c.run_trains).version,
    ]


def deleted_version_number(c):
    source = f"runs:/{c.run_trains}/model"
    c.client.delete_model_version(f"{PREFIX}-renamed", "1")
    empty = c.client.get_registered_model(f"{PREFIX}-renamed")
    return [empty.latest_versions, c.client.create_model_version(f"{PREFIX}-renamed", source, c.run_trains).version]


def delete_registered_model(c):
    name = f"{PREFIX}-prod"
    c.client.delete_registered_model(name)
    gone = [
        refused(c.client.get_registered_model, name),
        refused(c.client.get_model_version, name, "1"),
        refused(c.client.delete_registered_model, name),
        names(c.client.search_registered_models(f"name = '{name}'")),
        len(c.client.search_model_versions(f"name = '{name}'")),
    ]
    c.client.create_registered_model(name, description="Another of that name.")
    return [gone, c.client.get_registered_model(name)]


def version_numbers_after_a_model_was_deleted(c):
    source = f"runs:/{c.run_trains}/model"
    return c.client.create_model_version(f"{PREFIX}-prod", source, c.run_trains).version


def delete_staged_model(c):
    return refused(c.client.delete_registered_model, c.name)


# Logged models


@since(3)
def logged_model_of_log_model(c):
    run = c.client.get_run(c.run_trains)
    return [c.client.get_logged_model(c.model_info.model_id), run.outputs, mlflow.get_logged_model(c.model_info.model_id).name]


@since(3)
def create_logged_model(c):
    model = c.client.create_logged_model(
        c.experiment, name="logged", source_run_id=c.run_first, tags={"t": "1", "n": 2}, params={"p": "1", "q": 2.5}, model_type="agent"
    )
    c.logged = model.model_id
    return [model, c.client.get_logged_model(c.logged)]


@since(3)
def finalize_logged_model(c):
    ready = c.client.finalize_logged_model(c.logged, "READY")
    other = c.client.create_logged_model(c.experiment, name="failed upload")
    failed = c.client.finalize_logged_model(other.model_id, "FAILED")
    bad = refused(c.client.finalize_logged_model, c.logged, "PENDING")
    missing = refused(c.client.finalize_logged_model, "m-" + MISSING_RUN, "READY")
    return [ready, failed, bad, missing]


@since(3)
def logged_model_tags(c):
    c.client.set_logged_model_tags(c.logged, {"t": "2", "new": 3})
    c.client.delete_logged_model_tag(c.logged, "n")
    return [
        c.client.get_logged_model(c.logged).tags,
        refused(c.client.delete_logged_model_tag, c.logged, "n"),
        refused(c.client.set_logged_model_tags, "m-" + MISSING_RUN, {"a": "b"}),
        refused(c.client.set_logged_model_tags, c.logged, {"k" * 251: "v"}),
        refused(c.client.set_logged_model_tags, c.logged, {"long": "v" * 8001}),
    ]


@since(3)
def logged_model_params(c):
    c.client.log_model_params(c.logged, {"r": "3"})
    again = refused(c.client.log_model_params, c.logged, {"r": "3"})
    changed = refused(c.client.log_model_params, c.logged, {"r": "4"})
    many = c.client.create_logged_model(c.experiment, name="many", params={f"p{number}": str(number) for number in range(150)})
    return [c.client.get_logged_model(c.logged).params, again, changed, len(c.client.get_logged_model(many.model_id).params)]


@since(3)
def logged_model_names(c):
    given = ("", "a/b", "a:b", "a.b", "a%b", "a'b", 'a"b', "a b", "é", "n" * 500, None)
    answers = {}
    for name in given:
        # In an experiment of their own, because the server invents names that searches would find.
        made = refused(c.client.create_logged_model, c.other_experiment, name=name)
        answers[str(name)[:12]] = made if "refused" in made else (made["let through"].name if name else "let through")
    return answers


@since(3)
def logged_model_metrics(c):
    frame = mlflow.data.from_pandas(pd.DataFrame({"x": [1.0]}), source="https://example.invalid/eval.csv", name="eval")
    with mlflow.start_run(run_id=c.batch("evaluates")):
        mlflow.log_metric("score", 0.5, step=1, timestamp=T0, model_id=c.logged, dataset=frame)
        mlflow.log_metric("score", 0.75, step=2, timestamp=T0 + 1, model_id=c.logged, dataset=frame)
        mlflow.log_metrics({"a": 1.0, "b": 2.0}, step=0, timestamp=T0, model_id=c.logged)
        run = mlflow.active_run().info.run_id
    metrics = plain(c.client.get_logged_model(c.logged).metrics)
    metrics.sort(key=lambda metric: (metric["key"], metric["step"]))
    return [metrics, c.client.get_run(run).inputs, c.client.get_run(run).data.metrics]


@since(3)
def log_inputs_and_outputs(c):
    from mlflow.entities import LoggedModelInput, LoggedModelOutput

    run = c.batch("in and out")
    c.client.log_inputs(run, models=[LoggedModelInput(c.logged)])
    c.client.log_outputs(run, models=[LoggedModelOutput(c.logged, step=4)])
    found = c.client.get_run(run)
    return [found.inputs, found.outputs, refused(c.client.log_outputs, MISSING_RUN, [LoggedModelOutput(c.logged, step=4)])]


@since(3)
def logged_model_artifacts(c):
    folder = c.local("of-logged")
    (folder / "weights.bin").write_bytes(b"12345")
    c.client.log_model_artifact(c.logged, str(folder / "weights.bin"))
    c.client.log_model_artifacts(c.logged, str(folder))
    down = mlflow.artifacts.download_artifacts(f"models:/{c.logged}", dst_path=str(c.local("logged-down")))
    return [c.client.list_logged_model_artifacts(c.logged), tree(down)]


@since(3)
def search_logged_models(c):
    def found(**kwargs):
        page = c.client.search_logged_models([c.experiment], **kwargs)
        return names(page)

    order = [{"field_name": "name", "ascending": True}]
    first = c.client.search_logged_models([c.experiment], max_results=2, order_by=order, filter_string="name LIKE '%a%'")
    second = refused(
        lambda: c.client.search_logged_models(
            [c.experiment], max_results=2, order_by=order, filter_string="name LIKE '%a%'", page_token=first.token
        )
    )
    return [
        found(filter_string="name = 'logged'"),
        found(filter_string="params.p = '1'"),
        found(filter_string="tags.t = '2'"),
        found(filter_string="metrics.score > 0.6"),
        found(filter_string="metrics.score > 0.6", datasets=[{"dataset_name": "eval"}]),
        found(filter_string="metrics.score > 0.6", datasets=[{"dataset_name": "other"}]),
        names(first),
        names(second["let through"]) if "let through" in second else second,
        refused(c.client.search_logged_models, [c.experiment], filter_string="nonsense"),
        refused(c.client.search_logged_models, [c.experiment], order_by=[{"ascending": True}]),
        refused(c.client.search_logged_models, []),
    ]


@since(3)
def delete_logged_model(c):
    other = c.client.create_logged_model(c.experiment, name="to delete").model_id
    c.client.delete_logged_model(other)
    return [
        refused(c.client.get_logged_model, other),
        refused(c.client.delete_logged_model, other),
        refused(c.client.get_logged_model, "m-" + MISSING_RUN),
        names(c.client.search_logged_models([c.experiment], filter_string="name = 'to delete'")),
    ]


def evaluate(c):
    data = pd.DataFrame({"target": c.digits.target[300:360] > 4, "predicted": c.model.predict(c.digits.data[300:360]) > 4})
    with mlflow.start_run(run_name="evaluates") as run:
        result = mlflow.models.evaluate(
            data=data, targets="target", predictions="predicted", model_type="classifier", evaluators="default",
            evaluator_config={"log_explainer": False, "log_model_explainability": False},
        )
    found = c.client.get_run(run.info.run_id)
    return {
        "metrics": found.data.metrics,
        "same": sorted(result.metrics) == sorted(found.data.metrics),
        "artifacts": [file.path for file in c.client.list_artifacts(run.info.run_id)],
        "inputs": len(found.inputs.dataset_inputs),
    }


STEPS = [
    default_experiment,
    create_experiment,
    get_experiment_by_name,
    create_experiment_again,
    create_experiment_with_bad_names,
    rename_experiment,
    experiment_tags,
    delete_experiment_tag,
    experiment_tag_limits,
    delete_experiment,
    search_experiments_by_view,
    restore_experiment,
    deleting_an_experiment_deletes_its_runs,
    experiments_in_pages,
    search_all_experiments,
    missing_experiments,
    experiment_with_artifact_location,
    start_run,
    run_without_a_name,
    run_with_given_times,
    run_name_and_tag_disagree,
    run_name_from_tag,
    nested_runs,
    failing_run,
    resumed_run,
    tags,
    delete_tag,
    tag_limits,
    run_name_by_tag,
    params,
    param_again,
    params_150,
    param_limits,
    metrics_with_steps,
    metric_history,
    metrics_that_are_no_numbers,
    metric_limits,
    log_metrics_2500,
    history_of_1500,
    log_batch,
    log_inputs,
    log_inputs_in_experiment,
    update_run,
    set_terminated,
    delete_run,
    restore_run,
    runs_in_pages,
    search_runs_in_several_experiments,
    search_runs_as_frame,
    missing_runs,
    log_artifacts,
    list_artifacts,
    download_artifacts,
    download_missing_artifacts,
    overwrite_artifact,
    log_text_dict_figure_image,
    log_image_with_key,
    log_table,
    artifacts_of_missing_run,
    bad_artifact_paths,
    asynchronous_logging,
    system_metrics,
    autolog,
    log_and_register_model,
    files_of_the_model,
    alias_and_load,
    model_info_of_version,
    load_what_is_not_there,
    register_again,
    download_uris,
    copy_model_version,
    copies_of_what_lies_elsewhere,
    versions_of_runs_whose_files_lie_elsewhere,
    places_on_other_hosts,
    experiments_on_other_hosts,
    what_happens_to_a_run_does_not_reach_its_version,
    create_registered_model,
    create_registered_model_refusals,
    missing_models,
    missing_versions,
    update_registered_model,
    registered_model_tags,
    rename_registered_model,
    aliases,
    alias_names,
    stages,
    latest_versions,
    update_model_version,
    model_version_tags,
    bad_sources,
    search_registered_models_in_pages,
    search_model_versions_in_pages,
    delete_model_version,
    deleted_version_number,
    delete_registered_model,
    version_numbers_after_a_model_was_deleted,
    logged_model_of_log_model,
    create_logged_model,
    finalize_logged_model,
    logged_model_tags,
    logged_model_params,
    logged_model_names,
    logged_model_metrics,
    log_inputs_and_outputs,
    logged_model_artifacts,
    search_logged_models,
    delete_logged_model,
    evaluate,
    delete_staged_model,
]


def main(uri, out):
    quiet()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    with tempfile.TemporaryDirectory() as folder:
        record(uri, out, STEPS, Context(uri, folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
