"""Requests that no client makes: incomplete, mistyped, unknown and hostile ones, and files through the artifact proxy.

    python wire.py URI OUT.json

An entry records the status and, of an error, its code and message; of an answer the whole body.
"""

import http.client
import json
import sys
from urllib.parse import urlsplit

from recording import quiet, record

import requests

T0 = 1_700_000_000_000
API = "/api/2.0/mlflow/"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
MISSING_RUN = "0" * 32


class Context:
    def __init__(self, uri):
        self.uri = uri.rstrip("/")
        self.session = requests.Session()
        made = self.session.post(self.uri + API + "experiments/create", json={"name": "wire"}).json()
        self.experiment = made["experiment_id"]
        self.run = self.new_run("wire")
        self.root = self.answer("GET", f"runs/get?run_id={self.run}")["run"]["info"]["artifact_uri"].removeprefix("mlflow-artifacts:")
        self.call("POST", "registered-models/create", {"name": "wire"})
        self.call("POST", "model-versions/create", {"name": "wire", "source": f"runs:/{self.run}/model", "run_id": self.run})

    def new_run(self, name):
        body = {"experiment_id": self.experiment, "run_name": name, "start_time": T0}
        return self.answer("POST", "runs/create", body)["run"]["info"]["run_id"]

    def answer(self, method, path, body=None):
        return self.session.request(method, self.uri + API + path, json=body, timeout=30).json()

    def call(self, method, path, body=None, **kwargs):
        """A call of the API: `path` is under its prefix unless it begins with a slash."""
        url = self.uri + (path if path.startswith("/") else API + path)
        return told(self.session.request(method, url, json=body, timeout=30, **kwargs))

    def raw(self, method, path, body=None, headers=None):
        """As `call`, with the path sent as it stands: clients tidy up what has dots in it."""
        address = urlsplit(self.uri)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        try:
            connection.request(method, address.path + path, body, headers or {})
            response = connection.getresponse()
            return told(response, response.read())
        finally:
            connection.close()


def told(response, content=None):
    status = response.status_code if content is None else response.status
    content = response.content if content is None else content
    try:
        body = json.loads(content) if content else None
    except ValueError:
        # A page for people, or a file.
        body = content.decode(errors="replace") if status < 400 else None
    if status >= 400:
        code = body.get("error_code") if isinstance(body, dict) else None
        return {"status": status, "refused": {"code": code, "message": body.get("message") if code else None}}
    return {"status": status, "body": body}


def status_only(answer):
    """Where the reference leaves the answer to its web framework."""
    return answer["status"]


# Probes


def health(c):
    return c.call("GET", "/health")


def version(c):
    answer = c.session.get(c.uri + "/version", timeout=30)
    return [answer.status_code, [part.isdigit() for part in answer.text.split(".")[:3]]]


def server_info(c):
    answer = c.session.get(c.uri + "/api/3.0/mlflow/server-info", timeout=30)
    return answer.status_code if answer.status_code != 200 else sorted(set(answer.json()) & {"store_type", "workspaces_enabled"})


def unknown_endpoints(c):
    paths = ("nothing", "runs/nothing", "registered-models/nothing", "/api/2.0/nothing", "/api/9.0/mlflow/runs/get")
    return [status_only(c.call("GET", path)) for path in paths]


def wrong_methods(c):
    calls = (("GET", "runs/create"), ("POST", "registered-models/update"), ("PUT", "runs/get"), ("GET", "runs/log-batch"))
    return [status_only(c.call(method, path, {} if method != "GET" else None)) for method, path in calls]


# Required fields

REQUIRED = [
    ("POST", "experiments/create", {}),
    ("GET", "experiments/get", None),
    ("GET", "experiments/get-by-name", None),
    ("POST", "experiments/delete", {}),
    ("POST", "experiments/restore", {}),
    ("POST", "experiments/update", {}),
    ("POST", "experiments/set-experiment-tag", {"experiment_id": "0"}),
    ("POST", "experiments/set-experiment-tag", {"key": "a", "value": "b"}),
    ("POST", "experiments/delete-experiment-tag", {"experiment_id": "0"}),
    ("POST", "experiments/search", {}),
    ("POST", "runs/create", {}),
    ("GET", "runs/get", None),
    ("POST", "runs/update", {}),
    ("POST", "runs/delete", {}),
    ("POST", "runs/restore", {}),
    ("POST", "runs/log-metric", {"run_id": "RUN"}),
    ("POST", "runs/log-metric", {"run_id": "RUN", "key": "a"}),
    ("POST", "runs/log-metric", {"run_id": "RUN", "key": "a", "value": 1}),
    ("POST", "runs/log-metric", {"key": "a", "value": 1, "timestamp": 1}),
    ("POST", "runs/log-parameter", {"run_id": "RUN"}),
    ("POST", "runs/log-parameter", {"run_id": "RUN", "key": "a"}),
    ("POST", "runs/log-parameter", {"key": "a", "value": "b"}),
    ("POST", "runs/set-tag", {"run_id": "RUN"}),
    ("POST", "runs/set-tag", {"run_id": "RUN", "key": "a"}),
    ("POST", "runs/delete-tag", {"run_id": "RUN"}),
    ("POST", "runs/log-batch", {}),
    ("POST", "runs/log-batch", {"run_id": "RUN", "metrics": [{"key": "a"}]}),
    ("POST", "runs/log-batch", {"run_id": "RUN", "metrics": [{"value": 1, "timestamp": 1}]}),
    ("POST", "runs/log-batch", {"run_id": "RUN", "params": [{"key": "a"}]}),
    ("POST", "runs/log-batch", {"run_id": "RUN", "params": [{"value": "a"}]}),
    ("POST", "runs/log-batch", {"run_id": "RUN", "tags": [{"value": "a"}]}),
    ("POST", "runs/log-inputs", {}),
    ("POST", "runs/log-inputs", {"run_id": "RUN", "datasets": [{}]}),
    ("POST", "runs/outputs", {}),
    ("POST", "runs/log-model", {}),
    ("POST", "runs/log-model", {"run_id": "RUN", "model_json": "no json"}),
    ("POST", "runs/search", {}),
    ("GET", "metrics/get-history", None),
    ("GET", "metrics/get-history?run_id=RUN", None),
    ("GET", "artifacts/list", None),
    ("POST", "logged-models", {}),
    ("POST", "logged-models/search", {}),
    ("GET", "logged-models/m-unheard-of", None),
    ("POST", "registered-models/create", {}),
    ("GET", "registered-models/get", None),
    ("PATCH", "registered-models/update", {}),
    ("POST", "registered-models/rename", {}),
    ("POST", "registered-models/rename", {"name": "wire"}),
    ("DELETE", "registered-models/delete", {}),
    ("POST", "registered-models/get-latest-versions", {}),
    ("POST", "registered-models/set-tag", {"name": "wire"}),
    ("DELETE", "registered-models/delete-tag", {"name": "wire"}),
    ("POST", "registered-models/alias", {"name": "wire"}),
    ("POST", "registered-models/alias", {"name": "wire", "alias": "a"}),
    ("GET", "registered-models/alias?name=wire", None),
    ("DELETE", "registered-models/alias", {"name": "wire"}),
    ("POST", "model-versions/create", {}),
    ("POST", "model-versions/create", {"name": "wire"}),
    ("GET", "model-versions/get", None),
    ("GET", "model-versions/get?name=wire", None),
    ("GET", "model-versions/get-download-uri?name=wire", None),
    ("PATCH", "model-versions/update", {"name": "wire"}),
    ("DELETE", "model-versions/delete", {"name": "wire"}),
    ("POST", "model-versions/transition-stage", {"name": "wire", "version": "1"}),
    ("POST", "model-versions/transition-stage", {"name": "wire", "version": "1", "stage": "Staging"}),
    ("POST", "model-versions/set-tag", {"name": "wire", "version": "1"}),
    ("DELETE", "model-versions/delete-tag", {"name": "wire", "version": "1"}),
]


def incomplete(method, path, body):
    def step(c):
        filled = json.loads(json.dumps(body).replace("RUN", c.run))
        return c.call(method, path.replace("RUN", c.run), filled)

    step.__name__ = f"{method} {path} {json.dumps(body)}"
    return step


# Bodies


def bodies_that_are_no_objects(c):
    texts = ("", "{", "[]", "null", "7", '"text"', '{"name": "a",}')
    headers = {"content-type": "application/json"}
    return [c.raw("POST", API + "experiments/create", text, headers) for text in texts]


def the_experiment_and_the_run(c):
    """So that both are known by this step, whatever others are let through."""
    return [c.call("GET", f"experiments/get?experiment_id={c.experiment}"), c.call("GET", f"runs/get?run_id={c.run}")]


def wrong_types(c):
    return [
        c.call("POST", "experiments/create", {"name": 7}),
        c.call("POST", "experiments/create", {"name": ["a"]}),
        c.call("POST", "experiments/create", {"name": "typed", "tags": {"a": "b"}}),
        c.call("POST", "experiments/create", {"name": "typed", "tags": "a"}),
        c.call("POST", "runs/create", {"experiment_id": c.experiment, "start_time": "soon"}),
        c.call("POST", "runs/create", {"experiment_id": c.experiment, "start_time": 1.5}),
        c.call("POST", "runs/update", {"run_id": c.run, "status": "DANCING"}),
        c.call("POST", "runs/update", {"run_id": c.run, "status": 77}),
        c.call("POST", "runs/log-metric", {"run_id": c.run, "key": "a", "value": "one", "timestamp": 1}),
        c.call("POST", "runs/log-metric", {"run_id": c.run, "key": "a", "value": 1, "timestamp": "now"}),
        c.call("POST", "runs/log-metric", {"run_id": c.run, "key": "a", "value": 1, "timestamp": 1, "step": 1.5}),
        c.call("POST", "runs/log-metric", {"run_id": c.run, "key": "a", "value": True, "timestamp": 1}),
        c.call("POST", "runs/log-parameter", {"run_id": c.run, "key": "typed", "value": 7}),
        c.call("POST", "runs/log-batch", {"run_id": c.run, "metrics": "a"}),
        c.call("POST", "runs/log-batch", {"run_id": c.run, "params": [7]}),
        c.call("POST", "runs/search", {"experiment_ids": c.experiment}),
        c.call("POST", "runs/search", {"experiment_ids": [c.experiment], "max_results": "many"}),
        c.call("POST", "runs/search", {"experiment_ids": [c.experiment], "run_view_type": "SOME"}),
        c.call("GET", "registered-models/search?max_results=many"),
        c.call("GET", "model-versions/search?max_results=0"),
    ]


def whole_numbers_as_text(c):
    run = c.answer("POST", "runs/create", {"experiment_id": c.experiment, "run_name": "texts", "start_time": str(T0)})["run"]["info"]["run_id"]
    metric = {"run_id": run, "key": "m", "value": 1, "timestamp": str(T0 + 1), "step": "3"}
    return [
        c.call("POST", "runs/log-metric", metric),
        c.call("POST", "runs/log-batch", {"run_id": run, "metrics": [{"key": "n", "value": "0.5", "timestamp": str(T0), "step": "4"}]}),
        c.call("POST", "runs/update", {"run_id": run, "end_time": str(T0 + 5), "status": "FINISHED"}),
        c.call("GET", f"runs/get?run_id={run}"),
        c.call("POST", "runs/search", {"experiment_ids": [c.experiment], "max_results": "1", "order_by": ["start_time ASC"], "filter": "run_name = 'texts'"}),
    ]


def special_numbers(c):
    run = c.new_run("special")
    answers = []
    for key, value in (("nan", "NaN"), ("inf", "Infinity"), ("minus", "-Infinity"), ("bare", "nan"), ("large", 1e308)):
        answers.append(c.call("POST", "runs/log-metric", {"run_id": run, "key": key, "value": value, "timestamp": T0}))
    batch = [{"key": "batch nan", "value": "NaN", "timestamp": T0}, {"key": "batch inf", "value": "-Infinity", "timestamp": T0}]
    answers.append(c.call("POST", "runs/log-batch", {"run_id": run, "metrics": batch}))
    text = '{"run_id": "%s", "key": "bare", "value": NaN, "timestamp": 1}' % run
    answers.append(c.raw("POST", API + "runs/log-metric", text, {"content-type": "application/json"}))
    answers.append(c.call("GET", f"runs/get?run_id={run}"))
    answers.append(c.call("GET", f"metrics/get-history?run_id={run}&metric_key=minus"))
    return answers


def unknown_fields(c):
    return [
        c.call("POST", "experiments/create", {"name": "wire unknown", "colour": "red"}),
        c.call("GET", f"runs/get?run_id={c.run}&colour=red"),
        c.call("POST", "runs/log-batch", {"run_id": c.run, "metrics": [{"key": "u", "value": 1, "timestamp": T0, "colour": "red"}]}),
        c.call("POST", "registered-models/create", {"name": "wire unknown", "colour": {"red": 1}}),
    ]


def names_of_fields_in_camel_case(c):
    return [c.call("POST", "runs/update", {"runId": c.run, "runName": "camel"}), c.call("GET", f"runs/get?runId={c.run}")]


def run_uuid_for_run_id(c):
    return [
        c.call("GET", f"runs/get?run_uuid={c.run}")["status"],
        c.call("POST", "runs/log-parameter", {"run_uuid": c.run, "key": "by uuid", "value": "1"}),
        c.call("POST", "runs/set-tag", {"run_uuid": c.run, "key": "by uuid", "value": "1"}),
        c.call("POST", "runs/log-metric", {"run_uuid": c.run, "key": "by uuid", "value": 1, "timestamp": T0}),
        c.call("POST", "runs/update", {"run_uuid": c.run, "run_name": "by uuid"})["status"],
        c.call("GET", f"metrics/get-history?run_uuid={c.run}&metric_key=by%20uuid"),
        c.call("GET", f"artifacts/list?run_uuid={c.run}")["status"],
    ]


def a_whole_run(c):
    run = c.new_run("whole")
    c.call("POST", "runs/log-batch", {"run_id": run, "metrics": [{"key": "m", "value": 0.5, "timestamp": T0, "step": 2}], "params": [{"key": "p", "value": "1"}]})
    data = {"name": "d", "digest": "1", "source_type": "http", "source": "{}", "schema": "{}", "profile": "{}"}
    c.call("POST", "runs/log-inputs", {"run_id": run, "datasets": [{"tags": [{"key": "k", "value": "v"}], "dataset": data}]})
    return c.call("GET", f"runs/get?run_id={run}")


def limits_of_the_server(c):
    def batch(**kwargs):
        return c.call("POST", "runs/log-batch", {"run_id": c.run, **kwargs})

    def metric(key):
        return {"key": key, "value": 1, "timestamp": T0}

    def pair(key, value="1"):
        return {"key": key, "value": value}

    return [
        batch(metrics=[metric(f"m{number}") for number in range(1001)]),
        batch(params=[pair(f"p{number}") for number in range(101)]),
        batch(tags=[pair(f"t{number}") for number in range(101)]),
        batch(metrics=[metric(f"m{number}") for number in range(950)], tags=[pair(f"t{number}") for number in range(51)]),
        batch(params=[pair("huge", "x" * 1_000_001)]),
        batch(tags=[pair(f"t{number}", "x" * 11_000) for number in range(100)]),
        batch(metrics=[metric("k" * 251)]),
        batch(params=[pair("k" * 251)]),
        batch(params=[pair("longer", "v" * 6001)]),
        batch(tags=[pair("k" * 251)]),
        batch(tags=[pair("longer", "v" * 8001)]),
        batch(metrics=[metric("../a")]),
        batch(params=[pair("a//b")]),
        batch(tags=[pair("a?b")]),
        batch(metrics=[metric("")]),
        c.call("POST", "runs/log-parameter", {"run_id": c.run, "key": "../a", "value": "1"}),
        c.call("POST", "runs/log-metric", {"run_id": c.run, **metric("/a")}),
        c.call("POST", "runs/set-tag", {"run_id": c.run, **pair("longer", "v" * 8001)}),
        c.call("POST", "runs/set-tag", {"run_id": c.run, **pair("k" * 251)}),
        c.call("POST", "experiments/create", {"name": "n" * 501}),
        c.call("POST", "experiments/set-experiment-tag", {"experiment_id": c.experiment, **pair("longer", "v" * 20_001)}),
        c.call("POST", "experiments/set-experiment-tag", {"experiment_id": c.experiment, **pair("k" * 251)}),
        c.call("POST", "registered-models/set-tag", {"name": "wire", **pair("longer", "v" * 100_001)}),
        c.call("POST", "registered-models/set-tag", {"name": "wire", **pair("k" * 251)}),
        c.call("POST", "model-versions/set-tag", {"name": "wire", "version": "1", **pair("longer", "v" * 100_001)}),
        c.call("POST", "registered-models/alias", {"name": "wire", "version": "1", "alias": "a" * 256}),
        c.call("POST", "registered-models/alias", {"name": "wire", "version": "1", "alias": "a b"}),
        c.call("POST", "registered-models/alias", {"name": "wire", "version": "1", "alias": "v1"}),
        c.call("POST", "registered-models/alias", {"name": "wire", "version": "1", "alias": "Latest"}),
        c.call("POST", "registered-models/alias", {"name": "wire", "version": "one", "alias": "a"}),
    ]


def dataset_limits(c):
    def inputs(tags=(), **kwargs):
        data = {"name": "d", "digest": "1", "source_type": "http", "source": "{}", **kwargs}
        answer = c.call("POST", "runs/log-inputs", {"run_id": c.new_run("data"), "datasets": [{"tags": list(tags), "dataset": data}]})
        return answer

    return [
        inputs(),
        inputs(name=""),
        inputs(name="n" * 501),
        inputs(digest="d" * 37),
        inputs(source="s" * 65_536),
        inputs(schema="s" * 1_048_576),
        inputs(tags=[{"key": "k" * 256, "value": "v"}]),
        inputs(tags=[{"key": "k", "value": "v" * 501}]),
    ]


def pages_of_history(c):
    run = c.new_run("history")
    c.call("POST", "runs/log-batch", {"run_id": run, "metrics": [{"key": "m", "value": n, "timestamp": T0 + n, "step": n} for n in range(5)]})
    answers, token = [], None
    for _ in range(4):
        page = c.answer("GET", f"metrics/get-history?run_id={run}&metric_key=m&max_results=2" + (f"&page_token={token}" if token else ""))
        answers.append([[metric.get("step") for metric in page.get("metrics", [])], "next_page_token" in page])
        token = page.get("next_page_token")
        if not token:
            break
    bad = c.call("GET", f"metrics/get-history?run_id={run}&metric_key=m&max_results=2&page_token=none")
    return [answers, bad]


def empty_answers(c):
    return [
        c.call("POST", "runs/search", {"experiment_ids": ["987654321"]}),
        c.call("POST", "experiments/search", {"max_results": 5, "filter": "name = 'unheard-of'"}),
        c.call("GET", "registered-models/search?filter=name%20%3D%20%27unheard-of%27"),
        c.call("GET", "model-versions/search?filter=name%20%3D%20%27unheard-of%27"),
        c.call("GET", f"metrics/get-history?run_id={c.run}&metric_key=unheard-of"),
        c.call("GET", f"artifacts/list?run_id={c.new_run('empty')}"),
        c.call("POST", "registered-models/get-latest-versions", {"name": "wire", "stages": ["Archived"]}),
        c.call("POST", "runs/log-batch", {"run_id": c.run}),
    ]


def searches_by_get_and_post(c):
    return [
        c.call("GET", "experiments/search?max_results=1&filter=name%20%3D%20%27wire%27"),
        c.call("POST", "experiments/search", {"max_results": 1, "filter": "name = 'wire'"}),
        c.call("GET", "registered-models/get-latest-versions?name=wire&stages=None"),
        c.call("POST", "registered-models/get-latest-versions", {"name": "wire", "stages": ["None"]}),
        c.call("GET", "experiments/search"),
        c.call("POST", "experiments/search", {"max_results": 50_001}),
    ]


def delete_with_a_body(c):
    c.call("POST", "registered-models/create", {"name": "wire deleted", "tags": [{"key": "a", "value": "b"}]})
    c.call("POST", "model-versions/create", {"name": "wire deleted", "source": f"runs:/{c.run}/model", "run_id": c.run})
    c.call("POST", "registered-models/alias", {"name": "wire deleted", "alias": "a", "version": "1"})
    return [
        c.call("DELETE", "registered-models/alias", {"name": "wire deleted", "alias": "a"}),
        c.call("GET", "registered-models/alias?name=wire%20deleted&alias=a"),
        c.call("DELETE", "registered-models/delete-tag", {"name": "wire deleted", "key": "a"}),
        c.call("DELETE", "model-versions/delete", {"name": "wire deleted", "version": "1"}),
        c.call("DELETE", "registered-models/delete", {"name": "wire deleted"}),
        c.call("GET", "registered-models/get?name=wire%20deleted"),
        c.call("DELETE", "registered-models/delete", {"name": "wire deleted"}),
    ]


def missing_things(c):
    return [
        c.call("GET", f"runs/get?run_id={MISSING_RUN}"),
        c.call("GET", "experiments/get?experiment_id=987654321"),
        c.call("GET", "experiments/get-by-name?experiment_name=unheard-of"),
        c.call("GET", "registered-models/get?name=unheard-of"),
        c.call("GET", "model-versions/get?name=wire&version=77"),
        c.call("GET", "registered-models/alias?name=wire&alias=nobody"),
        c.call("GET", "model-versions/get-download-uri?name=wire&version=77"),
        c.call("GET", f"artifacts/list?run_id={MISSING_RUN}"),
        c.call("POST", "registered-models/create", {"name": "wire"}),
        c.call("POST", "experiments/create", {"name": "wire"}),
        c.call("GET", "logged-models/m-" + MISSING_RUN),
        c.call("DELETE", "logged-models/m-" + MISSING_RUN),
        c.call("PATCH", "logged-models/m-" + MISSING_RUN, {"model_id": "m-" + MISSING_RUN, "status": "LOGGED_MODEL_READY"}),
    ]


def browser_prefix(c):
    return [c.call("GET", "/ajax-api/2.0/mlflow/experiments/get?experiment_id=0")["status"], c.call("GET", f"/ajax-api/2.0/mlflow/runs/get?run_id={c.run}")["status"]]


# Files


def put_get_list_delete_file(c):
    name = f"{c.root}/folder/a b.txt".replace(" ", "%20")
    put = c.session.put(c.uri + FILES + name, data=b"content", headers={"content-type": "text/plain"})
    got = c.session.get(c.uri + FILES + name)
    return [
        put.status_code,
        [got.status_code, got.text],
        c.call("GET", f"{FILES}?path={c.root.lstrip('/')}"),
        c.call("GET", f"{FILES}?path={c.root.lstrip('/')}/folder"),
        c.call("GET", f"{FILES}?path={c.root.lstrip('/')}/unheard-of"),
        c.call("GET", f"artifacts/list?run_id={c.run}"),
        c.call("GET", f"artifacts/list?run_id={c.run}&path=folder"),
        c.call("DELETE", FILES + name),
        c.call("GET", FILES + name),
        status_only(c.call("DELETE", FILES + name)),
        c.call("GET", f"artifacts/list?run_id={c.run}&path=folder"),
    ]


def put_empty_and_large_files(c):
    answers = []
    for name, size in (("empty", 0), ("large", 9 * 1024 * 1024 + 1)):
        content = bytes(range(256)) * (size // 256 + 1)
        put = c.session.put(f"{c.uri}{FILES}{c.root}/sizes/{name}", data=content[:size])
        got = c.session.get(f"{c.uri}{FILES}{c.root}/sizes/{name}")
        answers.append([put.status_code, got.status_code, got.content == content[:size]])
    return [answers, c.call("GET", f"artifacts/list?run_id={c.run}&path=sizes")]


def put_chunked_file(c):
    put = c.session.put(f"{c.uri}{FILES}{c.root}/chunked", data=iter([b"one ", b"two"]))
    return [put.status_code, c.session.get(f"{c.uri}{FILES}{c.root}/chunked").text]


def delete_a_folder(c):
    c.session.put(f"{c.uri}{FILES}{c.root}/doomed/deep/a", data=b"a")
    c.session.put(f"{c.uri}{FILES}{c.root}/doomed/b", data=b"b")
    return [c.call("DELETE", f"{FILES}{c.root}/doomed"), c.call("GET", f"artifacts/list?run_id={c.run}&path=doomed")]


def get_a_folder(c):
    c.session.put(f"{c.uri}{FILES}{c.root}/held/a", data=b"a")
    return [status_only(c.call("GET", f"{FILES}{c.root}/held")), status_only(c.call("GET", f"{FILES}{c.root}/unheard-of"))]


def names_of_files(c):
    answers = []
    for name in ("%C3%BC.txt", "a%2Bb", "a+b", "a%25b", "a%23b", "a%3Fb", "a'b", "a;b", "~a", ".hidden", "a...b", "-"):
        path = f"{FILES}{c.root}/names/{name}"
        answers.append([name, c.raw("PUT", path, b"x")["status"], c.raw("GET", path)])
    return [answers, c.call("GET", f"artifacts/list?run_id={c.run}&path=names")]


TRAVERSALS = [
    "{root}/../../../../etc/passwd",
    "{root}/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "{root}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "{root}/%252e%252e%252f%252e%252e%252fetc/passwd",
    "{root}/%25252e%25252e%25252fetc/passwd",
    "//etc/passwd",
    "/%2fetc%2fpasswd",
    "/%2Fetc/passwd",
    "/file:///etc/passwd",
    "/..",
    "/%2e%2e",
    "{root}/a%00b",
    "{root}/a%5c..%5c..%5cb",
    "{root}/..\\..\\b",
    "/C:%5cwindows",
    "{root}/a%0ab",
    "{root}/./a",
    "{root}/a//b",
]


def traversal_by_get(c):
    # That it is refused, and not how: the framework of the reference tidies some of these paths and answers for itself.
    return {path: c.raw("GET", FILES + path.replace("{root}", c.root))["status"] >= 400 for path in TRAVERSALS}


def traversal_by_put(c):
    def refused(path):
        status = c.raw("PUT", FILES + path.replace("{root}", c.root), b"hostile")["status"]
        return 300 <= status < 500

    hostile = [path for path in TRAVERSALS if "/./" not in path and "a//b" not in path and "%0a" not in path]
    return {path: refused(path) for path in hostile if "windows" not in path and "%5c" not in path and "\\" not in path}


def traversal_by_delete(c):
    return {path: c.raw("DELETE", FILES + path.replace("{root}", c.root))["status"] >= 300 for path in TRAVERSALS[:9]}


def traversal_by_list(c):
    paths = ("../..", "/etc", "%2fetc", "..%2f..", "%252e%252e", "a/../../..", "file:///etc", "a\\..\\..", "%00")
    # With %00 the reference lists its whole root, which depends on who came before.
    listed = {path: c.raw("GET", f"{FILES}?path={path}") for path in paths if path != "%00"}
    of_run = {path: c.raw("GET", f"{API}artifacts/list?run_id={c.run}&path={path}") for path in paths}
    return [listed, of_run]


def multipart_is_not_offered_or_works(c):
    body = {"path": "a.bin", "num_parts": 1}
    answer = c.call("POST", f"/api/2.0/mlflow-artifacts/mpu/create{c.root}/big", body)
    if answer["status"] == 200:
        return True
    return (answer["refused"]["message"] or "").startswith("Multipart upload is not supported")


STEPS = [
    the_experiment_and_the_run,
    health,
    version,
    server_info,
    unknown_endpoints,
    wrong_methods,
    *(incomplete(*request) for request in REQUIRED),
    bodies_that_are_no_objects,
    wrong_types,
    whole_numbers_as_text,
    special_numbers,
    unknown_fields,
    names_of_fields_in_camel_case,
    run_uuid_for_run_id,
    a_whole_run,
    limits_of_the_server,
    dataset_limits,
    pages_of_history,
    empty_answers,
    searches_by_get_and_post,
    delete_with_a_body,
    missing_things,
    browser_prefix,
    put_get_list_delete_file,
    put_empty_and_large_files,
    put_chunked_file,
    delete_a_folder,
    get_a_folder,
    names_of_files,
    traversal_by_get,
    traversal_by_put,
    traversal_by_delete,
    traversal_by_list,
    multipart_is_not_offered_or_works,
]


def main(uri, out):
    quiet()
    record(uri, out, STEPS, Context(uri))


if __name__ == "__main__":
    main(*sys.argv[1:])
