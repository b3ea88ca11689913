"""KServe's own client and model server, as they come from PyPI, and CloudEvents of their own package.

serve PORT FOLDER: KServe's model server, with the models of FOLDER run by ONNX Runtime.
check OURS THEIRS: facts about the server at OURS, one JSON line each; THEIRS is asked the same where there is a difference to be found.
"""

import asyncio
import json
import pathlib
import sys
import urllib.error
import urllib.request


def serve(port, folder):
    import kserve
    import numpy
    import onnxruntime
    from kserve.utils.utils import get_predict_input, get_predict_response

    class OnnxModel(kserve.Model):
        def __init__(self, name, path):
            super().__init__(name)
            self.session = onnxruntime.InferenceSession(path)
            self.ready = True

        def predict(self, payload, headers=None, response_headers=None):
            given = self.session.get_inputs()[0]
            rows = numpy.asarray(get_predict_input(payload), dtype=numpy.float32)
            (outputs,) = self.session.run(None, {given.name: rows})
            return get_predict_response(payload, outputs, self.name)

    models = [OnnxModel(path.parent.parent.name, str(path)) for path in sorted(pathlib.Path(folder).glob("*/1/model.onnx"))]
    kserve.ModelServer(http_port=int(port), enable_grpc=False, workers=1).start(models)


def told(fact, check):
    error = None
    try:
        check()
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    print(json.dumps({"fact": fact, "note": None, "error": error}), flush=True)


def equal(found, expected):
    if found != expected:
        raise AssertionError(f"found {found!r}, expected {expected!r}")


def ask(base, method, path, body=None, headers=None):
    data = body.encode() if isinstance(body, str) else body
    request = urllib.request.Request(base + path, data, headers or {"content-type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, dict(response.headers.items()), response.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers.items()), error.read()


def clients(ours):
    """KServe's client of both protocols."""
    import httpx
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
    import numpy

    async def with_client(protocol, use):
        async with InferenceRESTClient(RESTConfig(protocol=protocol, retries=0)) as client:
            return await use(client)

    def one(protocol, use):
        return asyncio.run(with_client(protocol, use))

    async def fails(call, status, text):
        try:
            await call
        except httpx.HTTPStatusError as error:
            equal(error.response.status_code, status)
            if text not in str(error):
                raise AssertionError(f"the client says {error}")
            return
        raise AssertionError("the client took it")

    rows = [[1.0, 2.0], [3.0, 4.0]]
    told("v1: the server is alive", lambda: equal(one("v1", lambda client: client.is_server_live(ours)), True))
    told("v1: a model is ready", lambda: equal(one("v1", lambda client: client.is_model_ready(ours, "wide")), True))
    told("v1: a model that was not loaded is not ready", lambda: equal(one("v1", lambda client: client.is_model_ready(ours, "broken")), False))
    told(
        "v1: an unknown model is an error with its reason",
        lambda: one("v1", lambda client: fails(client.is_model_ready(ours, "nobody"), 404, "nobody")),
    )
    told(
        "v1: instances become predictions",
        lambda: equal(one("v1", lambda client: client.infer(ours, {"instances": rows}, "wide")), {"predictions": rows}),
    )
    told(
        "v1: what is wrong with instances is told",
        lambda: one("v1", lambda client: fails(client.infer(ours, {"instances": [["a"]]}, "wide"), 400, "expected a number")),
    )
    told(
        "v1: explanations are refused by name",
        lambda: one("v1", lambda client: fails(client.explain(ours, "wide", {"instances": rows}), 501, "no explainer")),
    )
    told("v2: the server is live", lambda: equal(one("v2", lambda client: client.is_server_live(ours)), True))
    told("v2: the server is ready", lambda: equal(one("v2", lambda client: client.is_server_ready(ours)), True))
    told("v2: a model is ready", lambda: equal(one("v2", lambda client: client.is_model_ready(ours, "wide")), True))

    def infer(binary):
        def check():
            given = InferInput("x", [2, 2], "FP32")
            given.set_data_from_numpy(numpy.array(rows, dtype=numpy.float32), binary_data=binary)
            asked = InferRequest("wide", [given], request_id="a", parameters={"binary_data_output": True} if binary else None)
            answer = one("v2", lambda client: client.infer(ours, asked, "wide"))
            equal([answer.model_name, answer.id, answer.outputs[0].as_numpy().tolist()], ["wide", "a", rows])

        return check

    told("v2: tensors as JSON", infer(False))
    told("v2: tensors as bytes", infer(True))


def events(ours):
    """CloudEvents of the package cloudevents."""
    from cloudevents.conversion import to_binary, to_structured
    from cloudevents.http import CloudEvent, from_http

    def check(convert):
        def run():
            event = CloudEvent({"type": "asked", "source": "/a"}, {"instances": [1, 2]})
            headers, body = convert(event)
            status, answered, content = ask(ours, "POST", "/v1/models/half_plus_two:predict", body, dict(headers, **{"content-type": headers.get("content-type", "application/json")}))
            equal(status, 200)
            answer = from_http({name.lower(): value for name, value in answered.items()}, content)
            equal(answer.get_data(), {"predictions": [2.5, 3]})
            equal([answer["type"], answer["source"]], ["io.kserve.inference.response", "io.kserve.inference.half_plus_two"])
            if answer["id"] == event["id"]:
                raise AssertionError("the answer has the id of the question")

        return run

    told("a CloudEvent in binary mode", check(to_binary))
    told("a CloudEvent in structured mode", check(to_structured))


EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "t"}
JSON = {"content-type": "application/json"}
STRUCTURED = {"content-type": "application/cloudevents+json"}
WIDE = "/v1/models/wide:predict"
STORY = json.dumps({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "time": "2026-01-01T00:00:00Z", "data": {"instances": [[1, 2]]}})

# What is asked of both servers, and the status of each where they differ, with the reason.
QUESTIONS = [
    ("alive", "GET", "/", None, JSON, None),
    ("models", "GET", "/v1/models", None, JSON, None),
    ("a model", "GET", "/v1/models/wide", None, JSON, None),
    ("an unknown model", "GET", "/v1/models/nobody", None, JSON, None),
    ("lists", "POST", WIDE, '{"instances": [[1, 2], [3, 4]]}', JSON, None),
    ("inputs instead of instances", "POST", WIDE, '{"inputs": [[1, 2]]}', JSON, None),
    ("parameters", "POST", WIDE, '{"instances": [[1, 2]], "parameters": {"a": 1}}', JSON, None),
    ("no body", "POST", WIDE, "", JSON, None),
    ("broken JSON", "POST", WIDE, '{"instances": [', JSON, None),
    ("instances that are a text", "POST", WIDE, '{"instances": "x"}', JSON, None),
    ("an unknown model to predict with", "POST", "/v1/models/nobody:predict", '{"instances": [1]}', JSON, None),
    ("an event in binary mode", "POST", WIDE, '{"instances": [[1, 2]]}', {**JSON, **EVENT}, None),
    ("an event of an unknown version", "POST", WIDE, '{"instances": [[1, 2]]}', {**JSON, **EVENT, "ce-specversion": "2.0"}, None),
    ("an event in structured mode", "POST", WIDE, STORY, STRUCTURED, None),
    ("an event as plain JSON", "POST", WIDE, STORY, JSON, None),
    ("an explanation", "POST", "/v1/models/wide:explain", '{"instances": [[1, 2]]}', JSON, None),
    ("another method", "PUT", WIDE, "{}", JSON, None),
    ("another path", "GET", "/v1/nothing", None, JSON, None),
    # A client's mistake is one of the server there.
    ("a body that is a list", "POST", WIDE, "[1]", JSON, (400, 500)),
    ("no instances", "POST", WIDE, '{"x": 1}', JSON, (400, 500)),
    ("lists of several lengths", "POST", WIDE, '{"instances": [[1], [1, 2]]}', JSON, (400, 500)),
    ("a text for a number", "POST", WIDE, '{"instances": [["a"]]}', JSON, (400, 500)),
    # The specification wants an id; there the event is taken for plain JSON.
    ("an event without an id", "POST", WIDE, '{"instances": [[1, 2]]}', {**JSON, "ce-specversion": "1.0", "ce-source": "s", "ce-type": "t"}, (400, 200)),
    # Python's own JSON writes these words.
    ("NaN", "POST", WIDE, '{"instances": [[NaN, 1]]}', JSON, (200, 400)),
    ("another type of body", "POST", WIDE, "a,b", {"content-type": "text/csv"}, (415, 500)),
]


def compare(ours, theirs):
    def check(method, path, body, headers, differs):
        def run():
            own, their = ask(ours, method, path, body, headers), ask(theirs, method, path, body, headers)
            equal((own[0], their[0]), differs if isinstance(differs, tuple) else (their[0], their[0]))
            if differs is not None:
                return
            (_, own_headers, own_body), (status, their_headers, their_body) = own, their
            found, expected = json.loads(own_body), json.loads(their_body)
            if status >= 400:
                # Those of the framework below have a form of their own.
                equal(sorted(found), ["error"])
                return
            if path == "/v1/models":
                found, expected = [set(expected["models"]) <= set(found["models"])], [True]
            for name in ("id", "time"):
                if "specversion" in expected:
                    equal(type(found.pop(name)), type(expected.pop(name)))
            equal(found, expected)
            for name in ("content-type", "ce-specversion", "ce-source", "ce-type"):
                pick = lambda given: {key.lower(): value for key, value in given.items()}.get(name)
                equal((name, pick(own_headers)), (name, pick(their_headers)))

        return run

    for fact, method, path, body, headers, differs in QUESTIONS:
        told(f"as KServe's server, asked for {fact}", check(method, path, body, headers, differs))


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "serve":
        serve(*arguments)
    else:
        clients(arguments[0])
        events(arguments[0])
        compare(*arguments)
