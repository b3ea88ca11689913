"""Asks the real MLflow what it makes of filters and orders, and writes search-reference.json.

    "$(scripts/node scripts/python-env.ts mlflow-3)" test/search/search-reference.py

Each filter and each order goes to the parser of its kind of object, for the parts, and then through a search of an
empty SQL store, because half of the rules (which comparators an attribute has, say) stand there. The answer is the
parts, or the code and words of the refusal; what is not INVALID_PARAMETER_VALUE is mostly an error that nobody meant.
"""

import json
import re
import sys
import tempfile
import warnings
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
from mlflow.store.tracking.dbmodels.models import SqlLoggedModel
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as TrackingStore
from mlflow.utils.search_logged_model_utils import parse_filter_string
from mlflow.utils.search_utils import (
    SearchExperimentsUtils,
    SearchModelUtils,
    SearchModelVersionUtils,
    SearchUtils,
)

# --- filters ---------------------------------------------------------------------------------------------------------

# Of every kind: how a filter is written, whatever the words mean. KEY is a tag of that kind.
EVERYWHERE = [
    "",
    "   ",
    "AND",
    "tags.a = 'x'",
    "tags.a='x'",
    "\n tags.a\t=  'x' \r\n",
    "tags.a = \"x\"",
    "tags.a != 'x'",
    "tags.a LIKE '%x_'",
    "tags.a ILIKE 'X%'",
    "tags.a like 'x'",
    "tags.a NOT LIKE 'x'",
    "tags.a RLIKE 'x'",
    "tags.a IS NULL",
    "tags.a is not null",
    "tags.a IS  NOT   NULL",
    "tags.a IS 'x'",
    "tags.a IN ('x', 'y')",
    "tags.a NOT IN ('x')",
    "tags.a > 'x'",
    "tags.a = 1",
    "tags.a = x",
    "tags.a = `x`",
    "tags.a = ''",
    "tags.a = 'it''s'",
    "tags.a = \"it's\"",
    "tags.a = 'say \"so\"'",
    "tags.a = 'back\\slash'",
    "tags.a = 'a AND b'",
    "tags.a = 'grün ✓'",
    "tags.mlflow.source.name = 'x'",
    "tags.`mlflow.source.name` = 'x'",
    "tags.`a b` = 'x'",
    "tags.\"a b\" = 'x'",
    "tags.'a b' = 'x'",
    "tags.`a.b c` = 'x'",
    "tags.`a-b/c` = 'x'",
    "tags.a-b = 'x'",
    "tags.a/b = 'x'",
    "tags.a:b = 'x'",
    "tags.größe = 'x'",
    "tags.2nd = 'x'",
    "tags.5 = 'x'",
    "tags.a.5 = 'x'",
    "tags.select = 'x'",
    "tags.order = 'x'",
    "tags.AND = 'x'",
    "tags. = 'x'",
    "tags = 'x'",
    "tag.a = 'x'",
    "Tags.a = 'x'",
    "`tags`.a = 'x'",
    "\"tags\".a = 'x'",
    "foo.a = 'x'",
    "foo = 'x'",
    "tags.a = 'x' AND tags.b = 'y'",
    "tags.a = 'x' and tags.b = 'y' And tags.c = 'z'",
    "tags.a = 'x' AND tags.a != 'y'",
    "AND tags.a = 'x' AND",
    "tags.a = 'x' AND AND tags.b = 'y'",
    "tags.a = 'x' tags.b = 'y'",
    "tags.a = 'x' OR tags.b = 'y'",
    "NOT tags.a = 'x'",
    "(tags.a = 'x')",
    "tags.a = 'x' AND (tags.b = 'y' AND tags.c = 'z')",
    "tags.a == 'x'",
    "tags.a <> 'x'",
    "tags.a",
    "tags.a =",
    "= 'x'",
    "'x' = tags.a",
    "tags.a = 'x",
    "tags.a = x'",
    "tags.a = 'x';",
    "tags.a = 'x'; tags.b = 'y'",
    "tags.a = ('x')",
    "tags.a LIKE ('x')",
    "tags.a = 'x' 'y'",
    "tags.a BETWEEN 'x' AND 'y'",
    "hello",
    "hello world",
    "1",
    "'x'",
]

RUNS = [
    "metrics.acc > 0.9",
    "metric.acc >= 0.9",
    "metrics.acc < 1 AND metrics.acc <= 2 AND metrics.acc = 3 AND metrics.acc != 4",
    "metrics.acc>-1",
    "metrics.acc > -.5",
    "metrics.acc > 5.",
    "metrics.acc > 1e-5",
    "metrics.acc > 1.5E3",
    "metrics.acc > 1e+5",
    "metrics.acc > +1",
    "metrics.acc > - 1",
    "metrics.acc > 0x1F",
    "metrics.acc > 1_000",
    "metrics.acc > '0.9'",
    "metrics.acc > x",
    "metrics.acc > NULL",
    "metrics.acc > nan",
    "metrics.acc LIKE '1'",
    "metrics.acc IN (1, 2)",
    "metrics.acc IS NULL",
    "metrics.acc == 1",
    "metrics.acc => 1",
    "metrics.acc <> 1",
    "metrics.acc > 1 metrics.f1 < 2",
    "1 < metrics.acc",
    "metrics.`val acc` > 1",
    "metrics.\"val acc\" > 1",
    "metrics.f1_score > 1",
    "metrics.val.acc > 1",
    "metrics.val-acc > 1",
    "metrics.5m > 1",
    "metrics.1e5 > 1",
    "Metrics.acc > 1",
    "acc > 1",
    "params.lr = '0.01'",
    "param.lr = '0.01'",
    "parameter.lr = '0.01'",
    "parameters.lr = '0.01'",
    "params.lr = 0.01",
    "params.lr != 'x'",
    "params.lr LIKE '0%' AND params.opt ILIKE 'AD_M'",
    "params.lr IS NULL",
    "params.lr IS NOT NULL",
    "params.lr > '1'",
    "params.lr IN ('x')",
    "params.`learning rate` = 'x'",
    "attribute.status = 'FINISHED'",
    "attributes.status = 'FINISHED'",
    "attr.status = 'FINISHED'",
    "run.status = 'FINISHED'",
    "status = 'FINISHED'",
    "status != 'FAILED'",
    "status LIKE 'F%'",
    "status ilike 'f%'",
    "status IN ('FINISHED', 'FAILED')",
    "status IS NULL",
    "status > 'A'",
    "status = FINISHED",
    "status = 1",
    "`status` = 'FINISHED'",
    "\"status\" = 'FINISHED'",
    "attributes.`status` = 'FINISHED'",
    "STATUS = 'FINISHED'",
    "run_id = 'abc'",
    "run_id IN ('abc')",
    "run_id IN ('abc', 'def')",
    "run_id IN (\"abc\", 'def')",
    "run_id in ('abc','def',)",
    "run_id NOT IN ('abc', 'def')",
    "run_id not in ('abc')",
    "attributes.run_id IN('abc')",
    "run_id IN ()",
    "run_id IN (1, 2)",
    "run_id IN ('a', 1)",
    "run_id IN (abc)",
    "run_id IN ('a' ; 'b')",
    "run_id IN ('a',, 'b')",
    "run_id IN ('a'",
    "run_id IN 'a'",
    "run_id IN ('it\\'s', 'a\\\\b')",
    "run_id = ('abc')",
    "run_id IN ('a') AND status = 'FAILED' AND metrics.x > 1",
    "run_name = 'x'",
    "attributes.run_name ILIKE '%x%'",
    "attributes.`run name` = 'x'",
    "attributes.`Run Name` = 'x'",
    "attributes.\"Run name\" = 'x'",
    "\"run name\" = 'x'",
    "run_name IN ('x')",
    "user_id = 'me'",
    "artifact_uri LIKE 's3://%'",
    "start_time > 1700000000000",
    "attributes.start_time >= 1 AND attributes.start_time < 2",
    "end_time != 5",
    "start_time > 1.5",
    "start_time > 'x'",
    "start_time > '1700000000000'",
    "start_time LIKE '1%'",
    "start_time IN (1)",
    "start_time IS NULL",
    "created > 5",
    "attributes.Created < 5",
    "lifecycle_stage = 'active'",
    "experiment_id = '1'",
    "name = 'x'",
    "dataset.name = 'mnist'",
    "datasets.name = 'mnist'",
    "dataset.digest != 'abc'",
    "dataset.context = 'train'",
    "datasets.context ILIKE 'TR%'",
    "dataset.name LIKE 'm%'",
    "dataset.name IN ('a', 'b')",
    "dataset.digest NOT IN ('a')",
    "dataset.context IN ('train')",
    "dataset.schema = 'x'",
    "dataset.name = mnist",
    "dataset.name = 1",
    "dataset.name > 'a'",
    "dataset.name IS NULL",
    "dataset.`name` = 'x'",
    "metrics.a > 1 AND params.b = 'c' AND tags.d = 'e' AND status = 'FINISHED' AND dataset.name = 'f'",
]

EXPERIMENTS = [
    "name = 'x'",
    "attribute.name = 'x'",
    "attributes.name = 'x'",
    "attr.name = 'x'",
    "name != 'x'",
    "name LIKE '%x%'",
    "name ILIKE '%X%'",
    "name like '%x%'",
    "name IN ('a')",
    "name > 'a'",
    "name IS NULL",
    "`name` = 'x'",
    "\"name\" = 'x'",
    "attribute.`name` = 'x'",
    "experiment_id = '1'",
    "experiment_id != '1'",
    "experiment_id = '007'",
    "experiment_id = 1",
    "experiment_id = 'x'",
    "experiment_id = ''",
    "experiment_id = '-1'",
    "experiment_id = ' 1 '",
    "experiment_id = '1.0'",
    "experiment_id LIKE '1%'",
    "experiment_id IN ('1', '2')",
    "experiment_id in ('1')",
    "experiment_id NOT IN ('1', '2')",
    "experiment_id IN ('1', 'x')",
    "creation_time > 5",
    "creation_time >= 5 AND last_update_time < 10",
    "creation_time = -5",
    "creation_time > 5.5",
    "creation_time > '5'",
    "creation_time LIKE '5'",
    "creation_time IN (5)",
    "last_update_time != 3",
    "lifecycle_stage = 'active'",
    "metrics.x > 1",
    "params.x = '1'",
    "tag.`mlflow.note.content` ILIKE '%x%'",
    "name ILIKE 'x%' AND tags.team = 'vision' AND creation_time > 3",
]

MODELS = [
    "name = 'x'",
    "attribute.name = 'x'",
    "attributes.name = 'x'",
    "name != 'x'",
    "name LIKE 'x%'",
    "name ilike '%x'",
    "name IN ('a', 'b')",
    "name in ('a')",
    "name NOT IN ('a', 'b')",
    "name IN ()",
    "name IN (1)",
    "name = ('a')",
    "name > 'a'",
    "name IS NULL",
    "name = 1",
    "name = x",
    "`name` = 'x'",
    "\"name\" = 'x'",
    "attribute.`name` = 'x'",
    "creation_timestamp > 5",
    "last_updated_timestamp > 5",
    "description = 'x'",
    "metrics.x > 1",
    "tag.`mlflow.prompt.is_prompt` != 'true'",
    "tags.`mlflow.prompt.is_prompt` = 'true'",
    "name = 'x' AND tag.`mlflow.prompt.is_prompt` != 'true'",
]

VERSIONS = [
    "name = 'x'",
    "attribute.name = 'x'",
    "attributes.name = 'x'",
    "name='x'",
    "name != 'x'",
    "name LIKE 'x%'",
    "name ILIKE 'x%'",
    "name IN ('a', 'b')",
    "name NOT IN ('a')",
    "name IS NOT NULL",
    "`name` = 'x'",
    "run_id = 'abc'",
    "run_id != 'abc'",
    "run_id IN ('a', 'b')",
    "run_id NOT IN ('a', 'b')",
    "run_id IN ()",
    "run_id IN (1)",
    "run_id LIKE 'a%'",
    "source_path = 's3://x'",
    "source_path LIKE 's3://%'",
    "source_path IN ('x')",
    "source_path = 1",
    "source = 'x'",
    "version_number = 1",
    "version_number > 1 AND version_number <= 7",
    "version_number != 3",
    "version_number = '2'",
    "version_number = ' 2 '",
    "version_number = '1.5'",
    "version_number = 'x'",
    "version_number = 1.5",
    "version_number LIKE '1'",
    "version_number IN ('1')",
    "version_number IN (1)",
    "version = 1",
    "creation_timestamp > 1",
    "last_updated_timestamp > 1",
    "current_stage = 'Production'",
    "name = 1",
    "name = 'x' AND tags.`mlflow.prompt.is_prompt` = 'false' AND version_number > 1",
]

LOGGED_MODELS = [
    "name = 'x'",
    "name = x",
    "name = \"x\"",
    "name = 1",
    "attributes.name = 'x'",
    "attribute.name = 'x'",
    "`name` = 'x'",
    "name LIKE 'x%' AND name ilike 'X%'",
    "name IN ('a', 'b')",
    "name in ('a')",
    "name NOT IN ('a')",
    "name IN ()",
    "name IN (a)",
    "name > 'x'",
    "name IS NULL",
    "model_id = 'm-1'",
    "model_type != 'Agent'",
    "model_type IN ('a')",
    "status = 'READY'",
    "source_run_id = 'abc'",
    "source_run_id IN ('abc', 'def')",
    "creation_timestamp > 5",
    "creation_time >= 5",
    "attributes.creation_timestamp > 5",
    "last_updated_timestamp < 5.5",
    "last_updated_time < 5",
    "creation_timestamp > 'x'",
    "creation_timestamp > '5'",
    "creation_timestamp LIKE '5'",
    "creation_timestamp IN (5)",
    "metrics.acc > 0.9",
    "metrics.acc >= 1 AND metrics.acc <= 2 AND metrics.acc < 3 AND metrics.acc = 4 AND metrics.acc != 5",
    "metrics.acc > -1e-3",
    "metrics.acc > '0.9'",
    "metrics.acc > x",
    "metrics.acc LIKE '1'",
    "metrics.acc IN (1)",
    "metric.acc > 1",
    "metrics.val-acc > 1",
    "metrics.val/acc > 1",
    "metrics.`val acc` > 1",
    "metrics.\"val acc\" > 1",
    "metrics.a.b > 1",
    "params.lr = '0.01'",
    "params.lr = 0.01",
    "params.lr LIKE '0%'",
    "params.lr IN ('a', 'b')",
    "params.lr < 1",
    "params.lr IS NOT NULL",
    "param.lr = 'x'",
    "experiment_id = '1'",
    "artifact_location LIKE 's3%'",
    "artifact_uri LIKE 's3%'",
    "description = 'x'",
    "METRICS.acc > 1",
    "metrics.acc > 1 AND params.lr = '0.01' AND tags.a = 'b' AND name = 'c'",
]

# --- orders ----------------------------------------------------------------------------------------------------------

ORDERS_EVERYWHERE = [[], [""], [" "], ["foo"], ["foo.bar"], ["name foo"], ["name ASC DESC"], ["name,"], ["name ASC, name"], ["1"], ["name; name"]]

RUN_ORDERS = [
    ["start_time"],
    ["start_time ASC"],
    ["start_time desc"],
    ["start_time DESC", "run_id DESC"],
    ["attribute.start_time DESC"],
    ["attributes.start_time   Desc"],
    ["attr.start_time"],
    ["run.start_time"],
    ["`start_time` DESC"],
    ["created"],
    ["Created DESC"],
    ["attributes.`Created` DESC"],
    ["run name"],
    ["run_name"],
    ["end_time"],
    ["status", "user_id DESC", "artifact_uri"],
    ["run_id"],
    ["run_id DESC"],
    ["experiment_id"],
    ["lifecycle_stage"],
    ["metrics.acc"],
    ["metric.acc DESC"],
    ["metrics.`val acc` DESC"],
    ["metrics.`val acc`"],
    ["metrics.\"val acc\" ASC"],
    ["metrics.val-acc DESC"],
    ["metrics.val.acc DESC"],
    ["params.lr", "metrics.acc DESC", "tags.a"],
    ["param.lr DESC"],
    ["parameters.lr"],
    ["parameter.`learning rate`"],
    ["tag.a"],
    ["tags.`mlflow.runName` DESC"],
    ["tags.mlflow.runName DESC"],
    ["dataset.name"],
    ["metrics.acc", "metrics.acc DESC"],
    ["start_time", "attributes.start_time"],
    ["start_time", "created"],
    ["metrics.acc DESC NULLS LAST"],
    ["metrics.acc UP"],
    ["metrics.acc ASC, params.lr"],
    ["Metrics.acc"],
]

EXPERIMENT_ORDERS = [
    ["name"],
    ["name DESC"],
    ["attribute.name ASC"],
    ["attributes.name ASC"],
    ["`name` DESC"],
    ["experiment_id"],
    ["experiment_id DESC"],
    ["creation_time"],
    ["creation_time desc", "name"],
    ["last_update_time DESC", "experiment_id ASC"],
    ["name", "name"],
    ["tags.a"],
    ["lifecycle_stage"],
]

MODEL_ORDERS = [
    ["name"],
    ["name DESC"],
    ["attribute.name"],
    ["attributes.name"],
    ["timestamp"],
    ["timestamp DESC"],
    ["timestamp asc"],
    ["last_updated_timestamp DESC"],
    ["last_updated_timestamp", "name DESC"],
    ["timestamp", "last_updated_timestamp"],
    ["name", "name DESC"],
    ["creation_timestamp"],
    ["`name` DESC"],
    ["`name`"],
    ["tags.a"],
]

VERSION_ORDERS = [
    ["name"],
    ["name DESC"],
    ["attribute.name"],
    ["attributes.name"],
    ["version_number"],
    ["version_number ASC", "name DESC"],
    ["creation_timestamp"],
    ["creation_timestamp DESC"],
    ["last_updated_timestamp"],
    ["last_updated_timestamp DESC", "version_number"],
    ["`name` DESC"],
    ["timestamp"],
    ["run_id"],
    ["name", "name"],
    ["version_number", "version_number DESC"],
]

LOGGED_MODEL_ORDERS = [
    [{"field_name": "creation_timestamp"}],
    [{"field_name": "creation_time", "ascending": False}],
    [{"field_name": "last_updated_timestamp", "ascending": False}],
    [{"field_name": "name"}, {"field_name": "model_id", "ascending": False}],
    [{"field_name": "model_type"}],
    [{"field_name": "status"}],
    [{"field_name": "source_run_id"}],
    [{"field_name": "metrics.acc"}],
    [{"field_name": "metrics.acc", "ascending": False}],
    [{"field_name": "metrics.val acc.top"}],
    [{"field_name": "metrics.acc", "dataset_name": "train"}],
    [{"field_name": "metrics.acc", "dataset_name": "train", "dataset_digest": "abc"}],
    [{"field_name": "metrics.acc", "dataset_digest": "abc"}],
    [{"field_name": "metric.acc"}],
    [{"field_name": "params.lr"}],
    [{"field_name": "foo"}],
    [{"field_name": "last_updated_time"}],
    [{}],
]

KINDS = {
    "runs": (RUNS, RUN_ORDERS),
    "experiments": (EXPERIMENTS, EXPERIMENT_ORDERS),
    "models": (MODELS, MODEL_ORDERS),
    "versions": (VERSIONS, VERSION_ORDERS),
    "loggedModels": (LOGGED_MODELS, LOGGED_MODEL_ORDERS),
}

# --- asking ----------------------------------------------------------------------------------------------------------


class Reference:
    def __init__(self, folder):
        uri = f"sqlite:///{folder}/mlflow.db"
        self.tracking = TrackingStore(uri, folder)
        self.registry = RegistryStore(uri)

    def search(self, kind, filter_string=None, order_by=None):
        if kind == "runs":
            return self.tracking.search_runs(["0"], filter_string, 1, order_by=order_by)
        if kind == "experiments":
            return self.tracking.search_experiments(filter_string=filter_string, order_by=order_by)
        if kind == "models":
            return self.registry.search_registered_models(filter_string, order_by=order_by)
        if kind == "versions":
            return self.registry.search_model_versions(filter_string, order_by=order_by)
        return self.tracking.search_logged_models(["0"], filter_string, order_by=order_by)

    def clauses(self, kind, filter_string):
        self.search(kind, filter_string)
        if kind == "loggedModels":
            subjects = {"attributes": "attribute", "metrics": "metric", "params": "param", "tags": "tag"}
            return [
                clause(subjects[c.entity.type.value], c.entity.key.removesuffix("_ms"), c.op, c.value)
                for c in parse_filter_string(filter_string)
            ]
        parser = {
            "runs": SearchUtils,
            "experiments": SearchExperimentsUtils,
            "models": SearchModelUtils,
            "versions": SearchModelVersionUtils,
        }[kind]
        return [
            clause("param" if c["type"] == "parameter" else c["type"], SearchUtils.translate_key_alias(c["key"]), c["comparator"], c["value"])
            for c in parser.parse_search_filter(filter_string)
        ]

    def order(self, kind, order_by):
        self.search(kind, None, order_by)
        if kind == "loggedModels":
            fields = [(SqlLoggedModel.ALIASES.get(o["field_name"], o["field_name"]), o.get("ascending", True)) for o in order_by]
            return [
                term("metric", field.split(".", 1)[1], ascending) if "." in field else term("attribute", field.removesuffix("_ms"), ascending)
                for field, ascending in fields
            ]
        if kind == "models":
            terms = map(SearchUtils.parse_order_by_for_search_registered_models, order_by)
            # The store has one column for both.
            return [term("attribute", "last_updated_timestamp" if key == "timestamp" else key, asc) for key, asc in terms]
        parse = {
            "runs": SearchUtils.parse_order_by_for_search_runs,
            "experiments": SearchExperimentsUtils.parse_order_by_for_search_experiments,
            "versions": SearchModelVersionUtils.parse_order_by_for_search_model_versions,
        }[kind]
        terms = [parse(o) for o in order_by]
        return [term("param" if t == "parameter" else t, SearchUtils.translate_key_alias(key), asc) for t, key, asc in terms]


def clause(subject, key, operator, value):
    if subject == "metric":
        value = float(value)
    # The stores make whole numbers of these, and the parsers do not.
    if key == "experiment_id" and subject == "attribute":
        value = [str(int(v)) for v in value] if isinstance(value, tuple) else str(int(value))
    if key == "version_number" and subject == "attribute":
        value = int(value)
    return {"subject": subject, "key": key, "operator": operator.upper(), "value": list(value) if isinstance(value, tuple) else value}


def term(subject, key, ascending):
    return {"subject": subject, "key": key, "descending": not ascending}


def answer(ask):
    try:
        return ask()
    except MlflowException as error:
        return {"refused": error.error_code, "message": stable(str(error))}
    except Exception as error:
        return {"refused": type(error).__name__, "message": stable(str(error))}


def stable(message):
    """Sets are printed in another order every time, and objects at another address."""
    return re.sub(r" at 0x[0-9a-f]+", "", message.split("{")[0].split("\n")[0]).strip()


def main():
    warnings.simplefilter("ignore")
    path = Path(__file__).with_suffix(".json")
    if len(sys.argv) > 1:
        path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        reference = Reference(folder)
        filters = []
        orders = []
        for kind, (own_filters, own_orders) in KINDS.items():
            for text in dict.fromkeys(EVERYWHERE + own_filters):
                filters.append({"kind": kind, "filter": text, "answer": answer(lambda: reference.clauses(kind, text))})
            every = [] if kind == "loggedModels" else ORDERS_EVERYWHERE
            for order_by in every + own_orders:
                orders.append({"kind": kind, "orderBy": order_by, "answer": answer(lambda: reference.order(kind, order_by))})
    lines = lambda rows: ",\n".join("    " + json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    path.write_text(
        f'{{\n  "mlflow": "{mlflow.__version__}",\n  "filters": [\n{lines(filters)}\n  ],\n  "orders": [\n{lines(orders)}\n  ]\n}}\n',
        encoding="utf-8",
    )
    accepted = sum(isinstance(row["answer"], list) for row in filters + orders)
    print(f"{path}: {len(filters)} filters and {len(orders)} orders, {accepted} of them accepted")


main()
