"""Search filters and orders against a small set of runs, experiments, models, versions and logged models.

    python filters.py URI OUT.json

Each entry of the tables is a step of its own: the names of what was found, in their order, or what it was refused with.
"""

import math
import sys
import time

from recording import MAJOR, quiet, record, refused

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType

T0 = 1_700_000_000_000
PREFIX = f"filters{MAJOR}"

# name, start after T0 (s), ended after (s), metrics, params, tags
RUNS = [
    ("alpha", 0, 100, {"loss": 0.5, "acc": 0.9}, {"lr": "0.1", "opt": "adam"}, {"team": "vision", "with space": "x"}),
    ("beta", 10, None, {"loss": 0.25, "acc": 0.8}, {"lr": "0.01", "opt": "SGD"}, {"team": "Vision"}),
    ("gamma", 20, 300, {"loss": math.nan, "acc": 0.7}, {"lr": "0.1", "opt": "sgd"}, {"team": "audio", "dotted.key": "x"}),
    ("delta", 30, 50, {"loss": math.inf}, {"opt": "adam"}, {"note": "50%_off"}),
    ("epsilon", 40, 60, {"acc": 0.9, "a/b c.d": 1.0}, {"lr": "1"}, {"team": "it's"}),
    ("Alpha two", 50, None, {"loss": -math.inf, "acc": -0.5}, {}, {"empty": ""}),
    ("zeta_1", 60, 90, {}, {"lr": "10", "long": "x" * 500}, {}),
    ("zeta%1", 70, 80, {"loss": 0.25}, {"opt": "adam"}, {"team": "vision", "note": "quote \" in it"}),
]
STATUS = {"beta": None, "gamma": "FAILED", "Alpha two": None, "delta": "KILLED"}

RUN_FILTERS = """

metrics.loss > 0.3
metrics.loss >= 0.25
metrics.loss < 0.5
metrics.loss <= 0.5
metrics.loss = 0.25
metrics.loss == 0.25
metrics.loss != 0.25
metrics.loss = 0.5 AND metrics.acc > 0.85
metric.loss > 0.3
metrics.acc > -1
metrics.acc < 0
metrics.acc < -.4
metrics.loss > 1e300
metrics.loss < -1e300
metrics.`a/b c.d` = 1
metrics."a/b c.d" = 1
metrics.loss > .3
metrics.loss > 3e-1
metrics.loss = '0.25'
metrics.loss = 'a'
metrics.loss LIKE '0%'
metrics.loss IN (0.25)
metrics.unheard > 0
metrics.loss != 0.25 AND metrics.loss != 0.5
metrics.loss IS NULL
metrics.loss IS NOT NULL
metrics.loss = NaN
metrics.loss
metrics.loss >
params.lr = '0.1'
params.lr = "0.1"
params.lr != '0.1'
param.lr = '0.1'
parameter.lr = '0.1'
parameters.lr = '0.1'
params.lr LIKE '0%'
params.lr LIKE '_'
params.lr LIKE '1_'
params.opt LIKE 'ad%'
params.opt LIKE 'AD%'
params.opt ILIKE 'AD%'
params.opt ILIKE 'sgd'
params.opt LIKE 'sgd'
params.opt = 'sgd'
params.lr = 0.1
params.lr > '0.1'
params.lr IN ('0.1', '1')
params.lr IS NULL
params.lr IS NOT NULL
params.opt IS NULL AND params.lr IS NOT NULL
params.unheard IS NULL
params.unheard != 'x'
params.`lr` = '0.1'
params."lr" = '0.1'
params.long LIKE 'xxx%'
tags.team = 'vision'
tag.team = 'vision'
tags.team != 'vision'
tags.team LIKE 'v%'
tags.team LIKE '%ision'
tags.team LIKE '%SION'
tags.team ILIKE '%SION'
tags.team ILIKE 'V_sion'
tags.`with space` = 'x'
tags."with space" = 'x'
tags.with space = 'x'
tags.dotted.key = 'x'
tags.`dotted.key` = 'x'
tags."dotted.key" = 'x'
tags.team = "it's"
tags.team = 'it''s'
tags.team = 'it\\'s'
tags.note = 'quote " in it'
tags.note LIKE '%\\%%'
tags.note LIKE '50%'
tags.note LIKE '%_off'
tags.empty = ''
tags.empty != ''
tags.team IS NULL
tags.team IS NOT NULL
tags.team is not null
tags.team IS NULL AND tags.note IS NOT NULL
tags.team NOT LIKE 'v%'
tags.team IN ('vision', 'audio')
tags.team = vision
tags.team > 'a'
tags.mlflow.runName = 'alpha'
tags.`mlflow.runName` LIKE '%a'
attributes.run_name = 'alpha'
attribute.run_name = 'alpha'
attr.run_name = 'alpha'
run.run_name = 'alpha'
run_name = 'alpha'
`run_name` = 'alpha'
run_name != 'alpha'
run_name LIKE 'alpha%'
run_name ILIKE 'alpha%'
run_name ILIKE '%A'
run_name LIKE 'zeta_1'
run_name LIKE 'zeta%1'
run_name LIKE '%'
run_name LIKE ''
run_name IN ('alpha', 'beta')
run_name NOT IN ('alpha', 'beta')
run_name IS NULL
attributes.`run name` = 'alpha'
attributes."Run name" = 'alpha'
attributes.`Run Name` = 'alpha'
status = 'FINISHED'
attributes.status = 'RUNNING'
status != 'FINISHED'
status = 'finished'
status LIKE 'F%'
status ILIKE 'f%'
status IN ('FAILED', 'KILLED')
status = FINISHED
user_id = 'grace'
attributes.user_id LIKE 'gr%'
attributes.experiment_id = '1'
attributes.lifecycle_stage = 'active'
lifecycle_stage = 'deleted'
artifact_uri LIKE '%artifacts'
artifact_uri = 'x'
run_id = '{alpha}'
run_id != '{alpha}'
run_id IN ('{alpha}', '{beta}')
run_id NOT IN ('{alpha}', '{beta}')
run_id IN ('{alpha}')
run_id IN ()
run_id IN ('{alpha}',)
run_id IN '{alpha}'
attributes.run_id LIKE '{alpha}'
run_id = 'unheard-of'
start_time > 1700000030000
attributes.start_time >= 1700000030000
start_time < 1700000030000
start_time <= 1700000030000
start_time = 1700000030000
start_time != 1700000030000
created > 1700000030000
attributes.created > 1700000030000
Created > 1700000030000
start_time > '1700000030000'
start_time LIKE '17%'
start_time > 1.7e12
start_time > 1700000030000.5
end_time > 1700000080000
end_time = 1700000080000
end_time IS NULL
end_time != 1700000080000
attributes.unheard = 'x'
unheard = 'x'
unheard.key = 'x'
dataset.name = 'train'
datasets.name = 'train'
dataset.name LIKE 'tr%'
dataset.name ILIKE 'TR%'
dataset.name != 'train'
dataset.name IN ('train', 'test')
dataset.digest = 'd-test'
dataset.digest IN ('d-train')
dataset.context = 'training'
dataset.context LIKE 'train%'
dataset.context IN ('eval')
dataset.name = 'train' AND dataset.context = 'training'
dataset.name = 'train' AND dataset.context = 'eval'
dataset.source = 'x'
dataset.`name` = 'train'
dataset = 'train'
metrics.loss > 0.1 AND params.opt = 'adam'
metrics.loss > 0.1 and params.opt = 'adam'
metrics.loss > 0.1 AND params.opt = 'adam' AND tags.team = 'vision'
metrics.loss > 0.1 OR params.opt = 'adam'
metrics.loss > 0.1 AND
AND metrics.loss > 0.1
metrics.loss > 0.1 AND AND params.opt = 'adam'
(metrics.loss > 0.1)
(metrics.loss > 0.1) AND (params.opt = 'adam')
NOT metrics.loss > 0.1
metrics.loss > 0.1; params.opt = 'adam'
metrics.loss > 0.1;
metrics.loss > 0.1 -- note
metrics.loss>0.3
metrics.loss>0.3 AND params.opt='adam'
  metrics.loss   >   0.3
0.3 < metrics.loss
'adam' = params.opt
params.opt = params.lr
params.opt = 'adam
params.opt = adam'
params. = 'adam'
params = 'adam'
params.opt 'adam'
params.opt == 'adam'
params.opt <> 'adam'
params.opt = ''
nonsense
metrics.loss > 0.1 metrics.acc > 0.1
metrics.loss BETWEEN 0 AND 1
tags.team ILIKE 'VISION' AND run_name LIKE '%a'
params.opt LIKE '%D%' AND metrics.loss < 1
METRICS.loss > 0.3
Params.opt = 'adam'
tags.team like 'v%'
tags.team ilike 'V%'
"""

RUN_ORDERS = """
metrics.loss
metrics.loss ASC
metrics.loss DESC
metrics.acc asc
metrics.acc DESC
metric.loss DESC
metrics.`a/b c.d` DESC
metrics.unheard
params.lr
params.lr DESC
params.opt ASC, params.lr DESC
param.opt DESC
tags.team
tags.team DESC
tags.`with space`
tag.note DESC
attributes.run_name
attribute.run_name DESC
run_name DESC
run.run_name
attributes.`Run name` DESC
start_time
start_time ASC
attributes.start_time DESC
created ASC
Created DESC
end_time ASC
end_time DESC
status
status DESC, run_name ASC
user_id, start_time DESC
duration
attributes.duration DESC
metrics.acc DESC, metrics.loss ASC
params.opt
metrics.loss UP
metrics.loss ASC DESC
metrics
unheard
unheard.key
attributes.unheard
dataset.name
metrics.loss,
'metrics.loss'
metrics.loss; metrics.acc
"""

EXPERIMENTS = [("one", {"team": "vision"}), ("two", {"team": "Vision", "a b": "x"}), ("One", {}), ("t_o", {"note": "50%"})]
EXPERIMENT_FILTERS = """

name = '{prefix}-one'
name != '{prefix}-one'
name LIKE '{prefix}-%'
name LIKE '{PREFIX}-%'
name ILIKE '{PREFIX}-ONE'
name LIKE '{prefix}-t_o'
name IN ('{prefix}-one')
name = one
name > 'a'
attribute.name = '{prefix}-one'
attributes.name = '{prefix}-one'
attr.name = '{prefix}-one'
experiment.name = '{prefix}-one'
tags.team = 'vision'
tag.team = 'vision'
tags.team != 'vision'
tags.team LIKE '%ision'
tags.team ILIKE 'VISION'
tags.`a b` = 'x'
tags."a b" = 'x'
tags.note LIKE '50%'
tags.team IS NULL
tags.team IS NOT NULL
creation_time > 1700000000000
creation_time < 1700000000000
creation_time = 1
creation_time > '1'
last_update_time >= 1700000000000
last_update_time != 5
creation_time LIKE '1%'
experiment_id = '{one}'
experiment_id != '{one}'
lifecycle_stage = 'active'
metrics.a > 1
unheard = 'x'
name = '{prefix}-one' AND tags.team = 'vision'
name = '{prefix}-one' OR tags.team = 'vision'
name
"""
EXPERIMENT_ORDERS = """
name
name ASC
name DESC
experiment_id
experiment_id DESC
creation_time
creation_time DESC
last_update_time DESC
last_update_time ASC, name
attribute.name DESC
tags.team
unheard
name UP
"""

MODELS = [("one", {"team": "vision"}), ("two", {"team": "Vision", "a b": "x"}), ("One", {}), ("t_o", {"note": "50%"})]
MODEL_FILTERS = """

name = '{prefix}-one'
name != '{prefix}-one'
name LIKE '{prefix}-%'
name LIKE '{PREFIX}-%'
name ILIKE '{PREFIX}-ONE'
name LIKE '{prefix}-t_o'
name IN ('{prefix}-one', '{prefix}-two')
name NOT IN ('{prefix}-one')
name > 'a'
name = one
attribute.name = '{prefix}-one'
tags.team = 'vision'
tag.team = 'vision'
tags.team != 'vision'
tags.team LIKE '%ision'
tags.team ILIKE 'VISION'
tags.`a b` = 'x'
tags."a b" = 'x'
tags.unheard != 'x'
tags.team IS NULL
tags.team IS NOT NULL
tags.team IN ('vision')
tags.team = 'vision' AND name LIKE '%one'
tags.team = 'vision' AND tags.note = 'x'
tags.team = 'vision' OR tags.note = 'x'
creation_timestamp > 0
description = 'x'
unheard = 'x'
name
"""
MODEL_ORDERS = """
name
name ASC
name DESC
creation_timestamp
creation_timestamp DESC
last_updated_timestamp ASC
last_updated_timestamp DESC
timestamp DESC
last_updated_timestamp DESC, name ASC
last_updated_timestamp DESC, last_updated_timestamp ASC
tags.team
unheard
name UP
"""

VERSION_FILTERS = """

name = '{prefix}-one'
name != '{prefix}-one'
name LIKE '{prefix}-%'
name ILIKE '{PREFIX}-%'
name IN ('{prefix}-one', '{prefix}-two')
version_number = 1
version_number > 1
version_number >= 1
version_number != 1
version_number = '1'
version_number LIKE '1'
version = '1'
run_id = '{alpha}'
run_id != '{alpha}'
run_id IN ('{alpha}', '{beta}')
run_id IN ('{alpha}')
run_id IN ()
run_id NOT IN ('{alpha}')
run_id LIKE '{alpha}%'
run_id ILIKE '{alpha}'
source_path = '{source}'
source_path LIKE '%/artifacts/nothing'
source_path LIKE '%/model-2'
source_path ILIKE '%/MODEL-2'
tags.kind = 'a'
tag.kind = 'a'
tags.kind != 'a'
tags.kind LIKE '%'
tags.kind = 'a' AND tags.other = 'b'
tags.kind = 'a' AND name = '{prefix}-one'
tags.kind IS NULL
current_stage = 'None'
stage = 'None'
status = 'READY'
user_id = 'x'
attribute.name = '{prefix}-one'
creation_timestamp > 0
last_updated_timestamp > 0
unheard = 'x'
name = '{prefix}-one' OR name = '{prefix}-two'
name
"""
VERSION_ORDERS = """
name
name DESC
version_number
version_number DESC
version_number ASC, name DESC
creation_timestamp
creation_timestamp DESC
last_updated_timestamp
last_updated_timestamp DESC
timestamp
run_id
tags.kind
unheard
name UP
"""

LOGGED = [
    ("one", "agent", {"p": "1", "q": "x"}, {"t": "a"}, {"acc": 0.5}, "READY"),
    ("two", "tool", {"p": "2"}, {"t": "A", "a b": "x"}, {"acc": 0.75, "loss": 1.0}, "READY"),
    ("One", "agent", {}, {}, {"acc": 0.25}, "FAILED"),
    ("t_o", None, {"p": "10"}, {"t": "b"}, {}, None),
]
LOGGED_FILTERS = """

name = 'one'
name != 'one'
name LIKE 't%'
name LIKE 't_o'
name ILIKE 'ONE'
name IN ('one', 'two')
name NOT IN ('one', 'two')
name > 'a'
attributes.name = 'one'
attribute.name = 'one'
model_type = 'agent'
model_type != 'agent'
model_type IS NULL
model_id = '{m_one}'
model_id IN ('{m_one}', '{m_two}')
status = 'READY'
status = 'LOGGED_MODEL_READY'
status != 'READY'
status IN ('READY', 'FAILED')
status = 'FAILED'
status LIKE 'R%'
status = 'BROKEN'
source_run_id = '{alpha}'
source_run_id = 'unheard-of'
experiment_id = '1'
artifact_location LIKE '%artifacts'
creation_timestamp > 0
creation_time > 0
creation_timestamp < 5
creation_timestamp > '0'
last_updated_timestamp > 0
last_updated_time > 0
params.p = '1'
params.p != '1'
params.p LIKE '1%'
params.p IN ('1', '2')
params.p > '1'
param.p = '1'
params.p IS NULL
tags.t = 'a'
tags.t ILIKE 'A'
tags.t != 'a'
tags.`a b` = 'x'
tags."a b" = 'x'
metrics.acc > 0.3
metrics.acc >= 0.5
metrics.acc < 0.5
metrics.acc = 0.5
metrics.acc == 0.5
metrics.acc != 0.5
metrics.acc > '0.3'
metrics.acc LIKE '0'
metrics.acc > 0.3 AND metrics.loss > 0
metrics.acc > 0.3 AND params.p = '1'
metrics.acc > 0.3 OR params.p = '1'
unheard = 'x'
unheard.key = 'x'
name
(name = 'one')
"""
LOGGED_ORDERS = [
    [{"field_name": "name", "ascending": True}],
    [{"field_name": "name", "ascending": False}],
    [{"field_name": "name"}],
    [{"field_name": "creation_timestamp", "ascending": True}],
    [{"field_name": "creation_time", "ascending": True}],
    [{"field_name": "last_updated_timestamp", "ascending": True}],
    [{"field_name": "metrics.acc", "ascending": True}],
    [{"field_name": "metrics.acc", "ascending": False}],
    [{"field_name": "metrics.acc", "ascending": True, "dataset_name": "eval"}],
    [{"field_name": "metrics.acc", "ascending": True, "dataset_name": "eval", "dataset_digest": "d-eval"}],
    [{"field_name": "metrics.acc", "ascending": True, "dataset_digest": "d-eval"}],
    [{"field_name": "metrics.unheard", "ascending": True}, {"field_name": "name", "ascending": True}],
    [{"field_name": "params.p", "ascending": True}],
    [{"field_name": "tags.t", "ascending": True}],
    [{"field_name": "model_type", "ascending": True}, {"field_name": "name", "ascending": True}],
    [{"field_name": "status", "ascending": True}, {"field_name": "name", "ascending": True}],
    [{"field_name": "unheard", "ascending": True}],
    [{"field_name": "attributes.name", "ascending": True}],
]


class Context:
    """The data set, and what its names stand for in a filter: `{alpha}` is the id of the run of that name."""

    def __init__(self, uri):
        self.client = client = MlflowClient(uri, uri)
        self.words = {"prefix": PREFIX, "PREFIX": PREFIX.upper()}
        self.make_runs(client)
        self.make_experiments(client)
        self.make_models(client)
        if MAJOR >= 3:
            self.make_logged(client)

    def make_runs(self, client):
        self.experiment = client.create_experiment(f"{PREFIX}-runs")
        for name, start, end, metrics, params, tags in RUNS:
            run = client.create_run(self.experiment, T0 + start * 1000, {"mlflow.user": "grace", **tags}, name).info.run_id
            client.log_batch(
                run,
                [Metric(key, value, T0, 0) for key, value in metrics.items()],
                [Param(key, value) for key, value in params.items()],
                [RunTag("mlflow.user", "grace" if start < 40 else "ada")],
            )
            if end is not None:
                client.set_terminated(run, STATUS.get(name) or "FINISHED", T0 + end * 1000)
            self.words[name] = run
        # A run that searches must not find.
        hidden = client.create_run(self.experiment, T0 + 5000, {"team": "vision"}, "hidden").info.run_id
        client.delete_run(hidden)
        # Only the latest value of a metric counts.
        client.log_metric(self.words["alpha"], "late", 1.0, T0, 5)
        client.log_metric(self.words["alpha"], "late", 9.0, T0 + 5, 1)
        for run, name, context in (("alpha", "train", "training"), ("alpha", "test", "eval"), ("beta", "train", "eval"), ("gamma", "Train", None)):
            tags = [] if context is None else [InputTag("mlflow.data.context", context)]
            data = Dataset(name, f"d-{name.lower()}", "http", '{"url": "https://example.invalid"}')
            client.log_inputs(self.words[run], [DatasetInput(data, tags)])

    def make_experiments(self, client):
        for name, tags in EXPERIMENTS:
            time.sleep(0.005)
            self.words[name] = client.create_experiment(f"{PREFIX}-{name}", tags=tags)
        time.sleep(0.005)
        client.set_experiment_tag(self.words["two"], "later", "x")
        client.delete_experiment(client.create_experiment(f"{PREFIX}-hidden"))

    def make_models(self, client):
        for name, tags in MODELS:
            time.sleep(0.005)
            client.create_registered_model(f"{PREFIX}-{name}", tags)
        root = client.get_run(self.words["alpha"]).info.artifact_uri
        self.words["source"] = f"{root}/model-1"
        for number, (name, run) in enumerate([("one", "alpha"), ("two", "beta"), ("one", "beta"), ("one", "alpha"), ("t_o", "gamma")]):
            time.sleep(0.005)
            source = f"{client.get_run(self.words[run]).info.artifact_uri}/model-{number + 1}"
            client.log_text(self.words[run], "x", f"model-{number + 1}/MLmodel")
            tags = [{"kind": "a"}, {"kind": "a", "other": "b"}, {"kind": "A"}, {}, {"other": "b"}][number]
            client.create_model_version(f"{PREFIX}-{name}", source, self.words[run], tags=tags)
        time.sleep(0.005)
        client.update_model_version(f"{PREFIX}-one", "1", "touched")
        time.sleep(0.005)
        client.update_registered_model(f"{PREFIX}-two", "touched")

    def make_logged(self, client):
        data = Dataset("eval", "d-eval", "http", '{"url": "https://example.invalid"}')
        client.log_inputs(self.words["beta"], [DatasetInput(data)])
        for name, kind, params, tags, metrics, status in LOGGED:
            time.sleep(0.005)
            model = client.create_logged_model(self.experiment, name, self.words["alpha"], tags, params, kind)
            self.words[f"m_{name}"] = model.model_id
            for key, value in metrics.items():
                client.log_metric(self.words["beta"], key, value, timestamp=T0, step=1, model_id=model.model_id)
                client.log_metric(
                    self.words["beta"], key, 1 - value, timestamp=T0 + 1, step=1, model_id=model.model_id,
                    dataset_name="eval", dataset_digest="d-eval",
                )
            if status is not None:
                client.finalize_logged_model(model.model_id, status)
        # Of a later step, and an earlier time.
        client.log_metric(self.words["beta"], "acc", 0.45, timestamp=T0 - 5, step=2, model_id=self.words["m_two"])

    def filled(self, text):
        for word, value in self.words.items():
            text = text.replace("{" + word + "}", value)
        return text


def names(found):
    return [item.info.run_name if hasattr(item, "info") else item.name for item in found]


def of_this_client(found):
    return [name for name in names(found) if name.startswith(PREFIX)]


def runs_found(c, **kwargs):
    return names(c.client.search_runs([c.experiment], **kwargs))


def experiments_found(c, **kwargs):
    return of_this_client(c.client.search_experiments(**kwargs))


def models_found(c, **kwargs):
    return of_this_client(c.client.search_registered_models(**kwargs))


def versions_found(c, **kwargs):
    found = c.client.search_model_versions(**kwargs)
    return [f"{version.name} {version.version}" for version in found if version.name.startswith(PREFIX)]


def logged_found(c, **kwargs):
    return names(c.client.search_logged_models([c.experiment], **kwargs))


def step(name, search, **kwargs):
    def run(c):
        filled = {key: c.filled(value) if isinstance(value, str) else value for key, value in kwargs.items()}
        return refused(search, c, **filled)

    run.__name__ = name
    return run


def table(kind, search, filters, orders):
    # The first line of a table of filters is the empty filter.
    for text in filters.split("\n")[1:-1]:
        yield step(f"{kind}: {text}", search, filter_string=text)
    for text in orders.strip().split("\n"):
        yield step(f"{kind} by {text}", search, order_by=text.split(", "))


STEPS = [
    *table("runs", runs_found, RUN_FILTERS, RUN_ORDERS),
    step("runs by one text of two orders", runs_found, order_by=["params.opt ASC, params.lr DESC"]),
    step("runs by nothing", runs_found, order_by=[]),
    step("deleted runs", runs_found, run_view_type=ViewType.DELETED_ONLY),
    step("all runs", runs_found, run_view_type=ViewType.ALL, filter_string="tags.team = 'vision'"),
    step("runs by the latest metric", runs_found, filter_string="metrics.late > 5"),
    *table("experiments", experiments_found, EXPERIMENT_FILTERS, EXPERIMENT_ORDERS),
    step("deleted experiments", experiments_found, view_type=ViewType.DELETED_ONLY),
    *table("models", models_found, MODEL_FILTERS, MODEL_ORDERS),
    *table("versions", versions_found, VERSION_FILTERS, VERSION_ORDERS),
]
if MAJOR >= 3:
    STEPS += [step(f"logged models: {text}", logged_found, filter_string=text) for text in LOGGED_FILTERS.split("\n")[1:-1]]
    STEPS += [step(f"logged models by {order}", logged_found, order_by=order) for order in LOGGED_ORDERS]


def main(uri, out):
    quiet()
    mlflow.set_tracking_uri(uri)
    record(uri, out, STEPS, Context(uri))


if __name__ == "__main__":
    main(*sys.argv[1:])
