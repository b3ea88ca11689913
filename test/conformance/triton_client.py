"""Drives a running server with tritonclient.http and requests, as they come from PyPI.

    python triton_client.py models FOLDER         writes the models to serve
    python triton_client.py check HOST:PORT       one JSON line for each fact that was checked
    python triton_client.py full HOST:PORT        the same, against a server whose queue is full
"""

import asyncio
import json
import os
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import requests
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

SLOW_SIDE = 1024
"""Rows and columns of the slow model: 4 MiB of FP32, more than sockets buffer."""
SLOW_LAYERS = 12
CLIENTS = 8
ADMIN = {"Authorization": f"Bearer {os.environ.get('ADMIN_TOKEN')}"}

ECHOED = {
    "INT64": np.int64,
    "UINT64": np.uint64,
    "INT32": np.int32,
    "UINT32": np.uint32,
    "INT16": np.int16,
    "UINT16": np.uint16,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "FP64": np.float64,
    "FP32": np.float32,
    "FP16": np.float16,
    "BOOL": bool,
    "BYTES": np.object_,
}


def write_models(folder):
    from onnx import TensorProto, helper, numpy_helper, save

    opset = [helper.make_opsetid("", 17)]

    def write(name, nodes, inputs, outputs, weights=()):
        graph = helper.make_graph(nodes, name, inputs, outputs, list(weights))
        save(helper.make_model(graph, opset_imports=opset, ir_version=8), f"{folder}/{name}.onnx")

    def value(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    f32 = TensorProto.FLOAT
    write(
        "arithmetic",
        [helper.make_node("Add", ["A", "B"], ["SUM"]), helper.make_node("Sub", ["A", "B"], ["DIFFERENCE"])],
        [value("A", f32, ["n", 4]), value("B", f32, ["n", 4])],
        [value("SUM", f32, ["n", 4]), value("DIFFERENCE", f32, ["n", 4])],
    )
    for datatype, dtype in ECHOED.items():
        kind = TensorProto.STRING if datatype == "BYTES" else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        write(
            f"echo_{datatype.lower()}",
            [helper.make_node("Identity", ["IN"], ["OUT"])],
            [value("IN", kind, ["n"])],
            [value("OUT", kind, ["n"])],
        )
    bfloat = TensorProto.BFLOAT16
    write("brain", [helper.make_node("Identity", ["IN"], ["OUT"])], [value("IN", bfloat, ["n"])], [value("OUT", bfloat, ["n"])])
    write(
        "wide",
        [helper.make_node("Identity", ["IN"], ["OUT"])],
        [value("IN", f32, ["n", "width"])],
        [value("OUT", f32, ["n", "width"])],
    )
    # Dimension 0 is fixed, so that a request is one run and is neither split nor joined with others.
    side = SLOW_SIDE
    weight = numpy_helper.from_array(np.full((side, side), 1 / side, np.float32), "weight")
    names = ["X", *[f"layer_{layer}" for layer in range(1, SLOW_LAYERS)], "Y"]
    nodes = [helper.make_node("MatMul", [before, "weight"], [after]) for before, after in zip(names, names[1:])]
    write("slow", nodes, [value("X", f32, [side, side])], [value("Y", f32, [side, side])], [weight])


def tensor(name, array, binary=True):
    given = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def echo(client, datatype, array, binary_in, binary_out):
    outputs = [triton.InferRequestedOutput("OUT", binary_data=binary_out)]
    return client.infer(f"echo_{datatype.lower()}", [tensor("IN", array, binary_in)], outputs=outputs).as_numpy("OUT")


BOTH_WAYS = [(binary_in, binary_out) for binary_in in (True, False) for binary_out in (True, False)]


def raised(status, fragments, act):
    """The exception that tritonclient makes of an answer, checked for its status and for the words of the server."""
    try:
        act()
    except InferenceServerException as error:
        assert error.status() == status, f"status {error.status()}: {error.message()}"
        for fragment in fragments:
            assert fragment in error.message(), f"{fragment!r} is not in {error.message()!r}"
        return
    raise AssertionError("nothing was raised")


def pair(rows=3):
    a = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)
    return a, np.full((rows, 4), 0.5, np.float32)


def health(client):
    """liveness, readiness and the readiness of models and versions are told"""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("arithmetic")
    assert client.is_model_ready("arithmetic", "1")
    assert not client.is_model_ready("arithmetic", "9")
    assert not client.is_model_ready("unheard-of")


def server_metadata(client):
    """the metadata of the server has its name, version and extensions"""
    found = client.get_server_metadata()
    assert found["name"] == "slipway" and found["version"], found
    offered = {"binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics", "logging", "generate"}
    assert offered <= set(found["extensions"]), found
    for missing in ("sequence", "system_shared_memory", "cuda_shared_memory", "trace"):
        assert missing not in found["extensions"], found


def model_metadata(client):
    """the metadata of a model has its inputs and outputs as the file declares them"""
    found = client.get_model_metadata("arithmetic")
    assert found["name"] == "arithmetic" and found["versions"] == ["1"], found
    assert found["inputs"] == [{"name": name, "datatype": "FP32", "shape": [-1, 4]} for name in ("A", "B")], found
    assert found["outputs"] == [{"name": name, "datatype": "FP32", "shape": [-1, 4]} for name in ("SUM", "DIFFERENCE")], found
    for datatype in ECHOED:
        found = client.get_model_metadata(f"echo_{datatype.lower()}", "1")
        assert found["inputs"] == [{"name": "IN", "datatype": datatype, "shape": [-1]}], found


def repository_index(client):
    """the repository index lists every model as ready"""
    found = client.get_model_repository_index()
    names = {"arithmetic", "brain", "wide", *(f"echo_{datatype.lower()}" for datatype in ECHOED)}
    assert {entry["name"] for entry in found} == names, found
    assert all(entry["state"] == "READY" and entry["version"] == "1" for entry in found), found


def infer_both_ways(client):
    """inputs and outputs go as JSON and as binary data, in every combination"""
    a, b = pair()
    for binary_in, binary_out in BOTH_WAYS:
        outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in ("SUM", "DIFFERENCE")]
        result = client.infer("arithmetic", [tensor("A", a, binary_in), tensor("B", b, binary_in)], outputs=outputs)
        np.testing.assert_array_equal(result.as_numpy("SUM"), a + b)
        np.testing.assert_array_equal(result.as_numpy("DIFFERENCE"), a - b)
        assert ("parameters" in result.get_output("SUM")) == binary_out
        assert result.get_output("SUM")["datatype"] == "FP32"


def infer_mixed(client):
    """one request may hold a JSON and a binary input, and ask for a JSON and a binary output"""
    a, b = pair()
    outputs = [triton.InferRequestedOutput("SUM", binary_data=False), triton.InferRequestedOutput("DIFFERENCE", binary_data=True)]
    result = client.infer("arithmetic", [tensor("B", b, False), tensor("A", a, True)], outputs=outputs)
    np.testing.assert_array_equal(result.as_numpy("SUM"), a + b)
    np.testing.assert_array_equal(result.as_numpy("DIFFERENCE"), a - b)


def requested_outputs(client):
    """only the requested outputs are answered, in the order in which they were asked for; all of them when none was named"""
    inputs = [tensor(name, array) for name, array in zip("AB", pair())]
    for names in (["SUM"], ["DIFFERENCE"], ["DIFFERENCE", "SUM"]):
        result = client.infer("arithmetic", inputs, outputs=[triton.InferRequestedOutput(name) for name in names])
        assert [output["name"] for output in result.get_response()["outputs"]] == names
    result = client.infer("arithmetic", inputs)
    assert [output["name"] for output in result.get_response()["outputs"]] == ["SUM", "DIFFERENCE"]
    assert result.as_numpy("SUM").shape == (3, 4)


def request_id(client):
    """the id of the request, the model and its version stand in the answer"""
    inputs = [tensor(name, array) for name, array in zip("AB", pair())]
    response = client.infer("arithmetic", inputs, request_id="order-4711 ä", model_version="1").get_response()
    assert response["id"] == "order-4711 ä", response
    assert (response["model_name"], response["model_version"]) == ("arithmetic", "1"), response
    assert "id" not in client.infer("arithmetic", inputs).get_response()


def wide_integers(client):
    """64-bit integers are exact in both encodings"""
    signed = np.array([2**62 + 1, -(2**63), 2**63 - 1, 2**53 + 1, -1, 0], np.int64)
    unsigned = np.array([2**64 - 1, 2**63 + 1, 0], np.uint64)
    for binary_in, binary_out in BOTH_WAYS:
        np.testing.assert_array_equal(echo(client, "INT64", signed, binary_in, binary_out), signed)
        np.testing.assert_array_equal(echo(client, "UINT64", unsigned, binary_in, binary_out), unsigned)


def strings(client):
    """strings keep every character in both encodings"""
    texts = ["", "plain", "naïve Größe", "東京 🚀", 'quo"te\\', "line\nbreak\ttab", "\x01\x7f\u2028", "\ufeffmark", "é" * 5000]
    for binary_in, binary_out in BOTH_WAYS:
        assert_same_texts(echo(client, "BYTES", np.array(texts, np.object_), binary_in, binary_out), texts)


def assert_same_texts(found, texts):
    for item, text in zip(found, texts, strict=True):
        item = item.decode() if isinstance(item, bytes) else item
        assert item == text, f"{item[:80]!r} is not {text[:80]!r}"


def strings_with_nul(client):
    """a string with a NUL inside comes back whole or is refused, and is never cut off in silence"""
    for binary_in, binary_out in BOTH_WAYS:
        try:
            found = echo(client, "BYTES", np.array(["nul\0inside"], np.object_), binary_in, binary_out)
        except InferenceServerException as error:
            assert error.status() == "400", error
        else:
            assert_same_texts(found, ["nul\0inside"])


def bytes_not_text(client):
    """bytes that are not UTF-8 are refused, as strings of ONNX are text"""
    array = np.array([b"\xff\xfe"], np.object_)
    raised("400", ["IN", "UTF-8"], lambda: echo(client, "BYTES", array, True, True))


def other_datatypes(client):
    """the other datatypes come back bit for bit, with their extremes"""
    arrays = {
        "INT32": np.array([-(2**31), 2**31 - 1], np.int32),
        "UINT32": np.array([0, 2**32 - 1], np.uint32),
        "INT16": np.array([-(2**15), 2**15 - 1], np.int16),
        "UINT16": np.array([0, 2**16 - 1], np.uint16),
        "INT8": np.array([-128, 127], np.int8),
        "UINT8": np.array([0, 255], np.uint8),
        "FP64": np.array([5e-324, 1.7976931348623157e308, 0.1, -0.0], np.float64),
        "FP32": np.array([1e-45, 3.4028235e38, 0.1, -0.0, 16777217], np.float32),
        "BOOL": np.array([True, False, True], bool),
    }
    for datatype, array in arrays.items():
        for binary_in, binary_out in BOTH_WAYS:
            found = echo(client, datatype, array, binary_in, binary_out)
            assert found.dtype == array.dtype and found.tobytes() == array.tobytes(), (datatype, binary_in, binary_out, found)


def halves(client):
    """FP16 comes back bit for bit as binary data, which is the only way that this client sends it"""
    array = np.array([0.1, -0.0, 65504, 6e-8, np.inf, np.nan], np.float16)
    assert echo(client, "FP16", array, True, True).tobytes() == array.tobytes()
    np.testing.assert_array_equal(echo(client, "FP16", array, True, False), array)


def brain_floats(client):
    """BF16 comes back bit for bit as binary data, which is the only way that this client sends it"""
    import ml_dtypes

    array = np.array([0.5, -0.0, 3.3895313892515355e38, 1, np.inf], ml_dtypes.bfloat16)
    given = triton.InferInput("IN", [5], "BF16")
    given.set_data_from_numpy(array)
    result = client.infer("brain", [given], outputs=[triton.InferRequestedOutput("OUT")])
    assert result.get_output("OUT")["datatype"] == "BF16"
    np.testing.assert_array_equal(result.as_numpy("OUT").astype(np.float32), array.astype(np.float32))


def not_numbers(client):
    """NaN and the infinities pass in both encodings"""
    for datatype in ("FP32", "FP64"):
        array = np.array([np.nan, np.inf, -np.inf, 1], ECHOED[datatype])
        for binary_in, binary_out in BOTH_WAYS:
            np.testing.assert_array_equal(echo(client, datatype, array, binary_in, binary_out), array)


def no_rows(client):
    """a request without rows is answered without rows"""
    for binary_in, binary_out in BOTH_WAYS:
        assert echo(client, "FP32", np.zeros(0, np.float32), binary_in, binary_out).shape == (0,)
        assert echo(client, "BYTES", np.zeros(0, np.object_), binary_in, binary_out).shape == (0,)


def large(client):
    """a tensor of several megabytes passes in both encodings"""
    for binary_in, binary_out in BOTH_WAYS:
        columns = 1_000_000 if binary_in and binary_out else 100_000
        array = (np.arange(2 * columns, dtype=np.float32) / 7).reshape(2, columns)
        outputs = [triton.InferRequestedOutput("OUT", binary_data=binary_out)]
        found = client.infer("wide", [tensor("IN", array, binary_in)], outputs=outputs).as_numpy("OUT")
        np.testing.assert_array_equal(found, array)


def concurrent(client):
    """concurrent requests get each their own answer"""
    arrays = [np.full(5, number, np.float32) for number in range(40)]
    pending = [client.async_infer("echo_fp32", [tensor("IN", array)]) for array in arrays]
    for array, result in zip(arrays, pending):
        np.testing.assert_array_equal(result.get_result().as_numpy("OUT"), array)


def asyncio_client(client):
    """the asyncio client of the same package gets its answer too"""

    async def ask():
        async with triton_aio.InferenceServerClient(client._parsed_url.netloc) as other:
            array = np.array([2**62 + 1], np.int64)
            result = await other.infer("echo_int64", [tensor("IN", array)])
            np.testing.assert_array_equal(result.as_numpy("OUT"), array)
            return await other.is_model_ready("echo_int64")

    assert asyncio.run(ask())


def unknown_model(client):
    """an unknown model, or version of a model, raises with status 404 and its name"""
    inputs = [tensor("A", pair()[0])]
    raised("404", ["unheard-of"], lambda: client.infer("unheard-of", inputs))
    raised("404", ["unheard-of"], lambda: client.get_model_metadata("unheard-of"))
    raised("404", ["9"], lambda: client.infer("arithmetic", inputs, model_version="9"))


def wrong_inputs(client):
    """inputs that do not fit raise with status 400, the name of the input, what was found and what was expected"""
    a, b = pair()
    wide = np.zeros((3, 5), np.float32)
    raised("400", ["B", "[3, 5]", "[-1, 4]"], lambda: client.infer("arithmetic", [tensor("A", a), tensor("B", wide)]))
    raised("400", ["A", "FP64", "FP32"], lambda: client.infer("arithmetic", [tensor("A", a.astype(np.float64)), tensor("B", b)]))
    raised("400", ["B", "missing"], lambda: client.infer("arithmetic", [tensor("A", a)]))
    raised("400", ["C"], lambda: client.infer("arithmetic", [tensor("A", a), tensor("B", b), tensor("C", b)]))
    raised("400", ["rows"], lambda: client.infer("arithmetic", [tensor("A", a), tensor("B", b[:2])]))
    inputs = [tensor("A", a), tensor("B", b)]
    raised("400", ["PRODUCT", "SUM"], lambda: client.infer("arithmetic", inputs, outputs=[triton.InferRequestedOutput("PRODUCT")]))


def statistics(client):
    """statistics count requests, rows, runs and their parts, for all models, one, and one version of it"""

    def of(found, name):
        return next(model for model in found["model_stats"] if model["name"] == name)

    before = of(client.get_inference_statistics(), "arithmetic")
    began = int(time.time() * 1000)
    a, b = pair(5)
    for _ in range(3):
        client.infer("arithmetic", [tensor("A", a), tensor("B", b)])
    raised("400", ["B"], lambda: client.infer("arithmetic", [tensor("A", a)]))
    found = client.get_inference_statistics("arithmetic")
    assert found == client.get_inference_statistics("arithmetic", "1") and len(found["model_stats"]) == 1, found
    after = found["model_stats"][0]
    assert (after["name"], after["version"]) == ("arithmetic", "1"), after
    assert began - 1000 <= after["last_inference"] <= time.time() * 1000 + 1000, after
    assert after["inference_count"] - before["inference_count"] == 15, (before, after)
    assert after["execution_count"] - before["execution_count"] == 3, (before, after)

    def grown(part):
        earlier, later = before["inference_stats"][part], after["inference_stats"][part]
        return later["count"] - earlier["count"], later["ns"] - earlier["ns"]

    assert grown("success")[0] == 3 and grown("fail")[0] == 1 and grown("queue")[0] == 3, (before, after)
    parts = [grown(part) for part in ("compute_input", "compute_infer", "compute_output")]
    assert [count for count, _ in parts] == [3, 3, 3], (before, after)
    assert parts[1][1] > 0, after
    assert sum(ns for _, ns in [grown("queue"), *parts]) <= grown("success")[1], (before, after)
    five = {batch["batch_size"]: batch for batch in after["batch_stats"]}[5]
    assert five["compute_infer"]["count"] >= 3 and five["compute_infer"]["ns"] > 0, after
    assert sum(batch["compute_infer"]["count"] for batch in after["batch_stats"]) == after["execution_count"], after
    assert grown("cache_hit") == (0, 0) and after["response_stats"] == {}, after
    raised("404", ["unheard-of"], lambda: client.get_inference_statistics("unheard-of"))


def model_config(client):
    """the configuration of a model is what is in force: types, dimensions without the batch, instances, batching"""
    found = client.get_model_config("arithmetic")
    assert (found["name"], found["platform"], found["backend"]) == ("arithmetic", "onnxruntime_onnx", "onnxruntime"), found
    assert found["max_batch_size"] == 32 and "dynamic_batching" in found, found
    described = [(tensor["name"], tensor["data_type"], tensor["dims"]) for tensor in (*found["input"], *found["output"])]
    assert described == [(name, "TYPE_FP32", [4]) for name in ("A", "B", "SUM", "DIFFERENCE")], found
    assert found["instance_group"][0]["count"] == 1 and found["default_model_filename"] == "arithmetic.onnx", found
    assert client.get_model_config("echo_bytes", "1")["input"][0]["data_type"] == "TYPE_STRING"
    raised("404", ["unheard-of"], lambda: client.get_model_config("unheard-of"))


def repository_control(client):
    """an administrator unloads a model and loads it again; a configuration of its own is refused by name, and so is everybody else"""
    inputs = [tensor("IN", np.ones((1, 2), np.float32))]
    raised("401", [], lambda: client.unload_model("wide"))
    client.unload_model("wide", headers=ADMIN)
    raised("404", ["wide"], lambda: client.infer("wide", inputs))
    gone = next(entry for entry in client.get_model_repository_index() if entry["name"] == "wide")
    assert (gone["state"], gone["reason"]) == ("UNAVAILABLE", "unloaded"), gone
    assert not client.is_model_ready("wide")
    raised("501", ["config"], lambda: client.load_model("wide", headers=ADMIN, config="{}"))
    raised("501", ["file:1/model.onnx"], lambda: client.load_model("wide", headers=ADMIN, config="{}", files={"file:1/model.onnx": b"x"}))
    client.load_model("wide", headers=ADMIN)
    client.infer("wide", inputs)
    raised("404", ["unheard-of"], lambda: client.load_model("unheard-of", headers=ADMIN))
    client.unload_model("wide", headers=ADMIN, unload_dependents=True)
    client.load_model("wide", headers=ADMIN)


def classification(client):
    """an output that is asked for as classes has the largest values of each row with their places"""
    a = np.array([[0.25, 4, -1, 0.5], [8, 8, -3, 0]], np.float32)
    inputs = [tensor("A", a), tensor("B", np.zeros_like(a))]
    expected = np.array([["4.000000:1", "0.500000:3"], ["8.000000:0", "8.000000:1"]])
    for binary in (True, False):
        outputs = [triton.InferRequestedOutput("SUM", binary_data=binary, class_count=2), triton.InferRequestedOutput("DIFFERENCE")]
        result = client.infer("arithmetic", inputs, outputs=outputs)
        found = result.as_numpy("SUM")
        found = np.vectorize(lambda item: item.decode() if isinstance(item, bytes) else item)(found)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(result.as_numpy("DIFFERENCE"), a)
    all_of_them = client.infer("arithmetic", inputs, outputs=[triton.InferRequestedOutput("SUM", class_count=99)])
    assert all_of_them.as_numpy("SUM").shape == (2, 4)
    texts = [tensor("IN", np.array(["a"], np.object_))]
    raised("400", ["OUT", "BYTES"], lambda: client.infer("echo_bytes", texts, outputs=[triton.InferRequestedOutput("OUT", class_count=1)]))


def parameters(client):
    """priority and time-out are taken, parameters of the model pass, and sequences are refused by name"""
    inputs = [tensor(name, array) for name, array in zip("AB", pair())]
    client.infer("arithmetic", inputs, priority=1, timeout=5_000_000, parameters={"colour": "blue"})
    raised("400", ["priority"], lambda: client.infer("arithmetic", inputs, priority=77))
    raised("501", ["sequence_id"], lambda: client.infer("arithmetic", inputs, sequence_id=7, sequence_start=True))


def shared_memory(client):
    """no region of shared memory is there, none is registered, and tensors in one are refused by name"""
    assert client.get_system_shared_memory_status() == [] and client.get_cuda_shared_memory_status() == []
    raised("404", ["mine"], lambda: client.get_system_shared_memory_status("mine"))
    raised("501", ["shared memory"], lambda: client.register_system_shared_memory("mine", "/mine", 64))
    raised("501", ["shared memory"], lambda: client.register_cuda_shared_memory("mine", b"handle", 0, 64))
    raised("501", ["shared memory"], lambda: client.unregister_system_shared_memory())
    given = triton.InferInput("IN", [2], "FP32")
    given.set_shared_memory("mine", 8)
    raised("501", ["shared_memory_"], lambda: client.infer("echo_fp32", [given]))
    wanted = triton.InferRequestedOutput("OUT")
    wanted.set_shared_memory("mine", 8)
    inputs = [tensor("IN", np.ones(2, np.float32))]
    raised("501", ["shared_memory_"], lambda: client.infer("echo_fp32", inputs, outputs=[wanted]))


def log_settings(client):
    """the level of the log is told, and an administrator changes it; a combination that there is not is refused"""
    found = client.get_log_settings()
    assert found["log_info"] is True and found["log_verbose_level"] == 0, found
    assert client.update_log_settings({"log_verbose_level": 1}, headers=ADMIN)["log_verbose_level"] == 1
    found = client.update_log_settings({"log_verbose_level": 0, "log_info": False}, headers=ADMIN)
    assert (found["log_info"], found["log_warning"], found["log_error"]) == (False, True, True), found
    assert client.get_log_settings() == found
    raised("400", ["log_warning", "log_error"], lambda: client.update_log_settings({"log_info": True, "log_error": False}, headers=ADMIN))
    raised("501", ["log_file"], lambda: client.update_log_settings({"log_file": "/tmp/x"}, headers=ADMIN))
    raised("401", [], lambda: client.update_log_settings({"log_info": True}))
    assert client.update_log_settings({"log_info": True}, headers=ADMIN)["log_info"] is True


def trace_settings(client):
    """trace settings say that nothing is traced, and a change is refused by name"""
    for name in (None, "arithmetic"):
        assert client.get_trace_settings(name)["trace_level"] == ["OFF"]
    raised("501", ["trace_rate"], lambda: client.update_trace_settings(settings={"trace_rate": "1"}))


def generate_over_http(client):
    """generate takes inputs as members and answers with outputs as members, at once or as events"""

    def ask(path, body):
        return requests.post(f"http://{client._parsed_url.netloc}/v2/models/{path}", json=body, timeout=30)

    known = {"model_name": "echo_bytes", "model_version": "1"}
    answer = ask("echo_bytes/generate", {"id": "42", "IN": "hello", "parameters": {"temperature": 0.5}})
    assert answer.json() == {"id": "42", **known, "OUT": "hello"}, answer.text
    assert ask("echo_bytes/versions/1/generate", {"parameters": {"IN": ["a", "ä"]}}).json() == {**known, "OUT": ["a", "ä"]}
    rows = ask("arithmetic/generate", {"A": [1, 2, 3, 4], "B": [0.5, 0.5, 0.5, 0.5]}).json()
    assert rows["SUM"] == [1.5, 2.5, 3.5, 4.5], rows
    events = ask("echo_bytes/generate_stream", {"IN": "hello"})
    assert events.headers["content-type"].startswith("text/event-stream"), events.headers
    lines = [line for line in events.text.split("\n\n") if line]
    assert [json.loads(line.removeprefix("data: ")) for line in lines] == [{**known, "OUT": "hello"}], events.text
    for path in ("arithmetic/generate", "arithmetic/generate_stream"):
        refused = ask(path, {"A": [1, 2, 3], "B": [1, 2, 3, 4]})
        assert refused.status_code == 400 and "A" in refused.json()["error"], refused.text
        assert refused.headers["content-type"] == "application/json", refused.headers


def compression(client):
    """requests and answers are compressed with gzip and with deflate"""
    a, b = pair(300)
    for binary in (True, False):
        inputs = [tensor("A", a, binary), tensor("B", b, binary)]
        outputs = [triton.InferRequestedOutput("SUM", binary_data=binary)]
        for asked in (None, "gzip", "deflate"):
            for wanted in (None, "gzip", "deflate"):
                compression = {"request_compression_algorithm": asked, "response_compression_algorithm": wanted}
                result = client.infer("arithmetic", inputs, outputs=outputs, **compression)
                np.testing.assert_array_equal(result.as_numpy("SUM"), a + b)


def compression_headers(client):
    """an answer says how it was compressed; a client that lists what it could read gets it as it is; other codings are refused"""
    address = f"http://{client._parsed_url.netloc}/v2/models/wide/infer"
    body = {"inputs": [{"name": "IN", "datatype": "FP32", "shape": [1, 1000], "data": [1] * 1000}]}
    for wanted, coding in (("gzip", "gzip"), ("deflate", "deflate"), ("gzip, deflate", None), ("identity", None)):
        answer = requests.post(address, json=body, headers={"accept-encoding": wanted}, timeout=30)
        assert answer.headers.get("content-encoding") == coding, (wanted, answer.headers)
        assert answer.json()["outputs"][0]["data"] == [1] * 1000
    refused = requests.post(address, data=b"x", headers={"content-encoding": "br"}, timeout=30)
    assert refused.status_code == 415 and refused.headers["accept-encoding"] == "gzip, deflate", refused.headers
    broken = requests.post(address, data=b"x", headers={"content-encoding": "deflate"}, timeout=30)
    assert broken.status_code == 400 and "deflate" in broken.json()["error"], broken.text


CHECKS = [
    health,
    server_metadata,
    model_metadata,
    repository_index,
    infer_both_ways,
    infer_mixed,
    requested_outputs,
    request_id,
    wide_integers,
    strings,
    strings_with_nul,
    bytes_not_text,
    other_datatypes,
    halves,
    brain_floats,
    not_numbers,
    no_rows,
    large,
    concurrent,
    asyncio_client,
    unknown_model,
    wrong_inputs,
    statistics,
    model_config,
    repository_control,
    classification,
    parameters,
    shared_memory,
    log_settings,
    trace_settings,
    generate_over_http,
    compression,
    compression_headers,
]


def slow_body():
    array = np.ones((SLOW_SIDE, SLOW_SIDE), np.float32)
    body, header_length = triton.InferenceServerClient.generate_request_body([tensor("X", array)])
    return body, {"Inference-Header-Content-Length": str(header_length)}


def full_triton(address):
    """tritonclient raises the 503 of a full queue with the words of the server, and the others are answered"""
    array = np.ones((SLOW_SIDE, SLOW_SIDE), np.float32)
    with triton.InferenceServerClient(address, concurrency=CLIENTS, network_timeout=60, connection_timeout=60) as client:
        pending = [client.async_infer("slow", [tensor("X", array)]) for _ in range(CLIENTS)]
        answered = refused = 0
        for result in pending:
            try:
                np.testing.assert_allclose(result.get_result().as_numpy("Y"), array, rtol=1e-3)
                answered += 1
            except InferenceServerException as error:
                assert error.status() == "503", f"{error.status()}: {error.message()}"
                assert "queue" in error.message() and "full" in error.message(), error.message()
                refused += 1
    assert answered >= 1 and refused >= 1, f"{answered} answered, {refused} refused"
    return f"{answered} answered, {refused} refused"


def full_triton_header(address):
    """the response that tritonclient is given for a full queue has Retry-After, and its connection goes on to be used"""
    body, headers = slow_body()
    with triton.InferenceServerClient(address, concurrency=CLIENTS, network_timeout=60, connection_timeout=60) as client:
        posts = [client._pool.spawn(client._post, "v2/models/slow/infer", body, dict(headers), None) for _ in range(CLIENTS)]
        responses = [post.get() for post in posts]
        statuses = [response.status_code for response in responses]
        for response in responses:
            content = response.read()
            if response.status_code == 503:
                assert int(response.get("Retry-After")) >= 1, response.headers
                assert "full" in json.loads(bytes(content))["error"], content
        assert set(statuses) == {200, 503}, statuses
        assert client.is_server_ready()
    return str(statuses)


def full_requests(address):
    """requests sees the 503 with Retry-After while it sends a body of megabytes, and no broken connection"""
    body, headers = slow_body()

    def ask(_):
        with requests.Session() as session:
            response = session.post(f"http://{address}/v2/models/slow/infer", data=body, headers=headers, timeout=60)
            # On the same connection, where it was kept.
            assert session.get(f"http://{address}/v2/health/ready", timeout=60).status_code == 200
            return response

    with ThreadPoolExecutor(CLIENTS) as pool:
        responses = list(pool.map(ask, range(CLIENTS)))
    statuses = [response.status_code for response in responses]
    assert set(statuses) == {200, 503}, statuses
    for response in responses:
        if response.status_code == 503:
            assert int(response.headers["Retry-After"]) >= 1, response.headers
            assert "full" in response.json()["error"], response.text
    return str(statuses)


def full_retries(address):
    """a client that waits as Retry-After says gets its answer in the end"""
    body, headers = slow_body()

    def ask(_):
        with requests.Session() as session:
            retries = requests.adapters.Retry(total=10, status_forcelist=[503], allowed_methods=None, respect_retry_after_header=True)
            session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retries))
            return session.post(f"http://{address}/v2/models/slow/infer", data=body, headers=headers, timeout=60).status_code

    started = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(ask, range(4)))
    assert statuses == [200] * 4, statuses
    return f"{time.monotonic() - started:.1f} s"


FULL_CHECKS = [full_triton, full_triton_header, full_requests, full_retries]


def report(checks, given):
    for check in checks:
        note, error = None, None
        try:
            note = check(given)
        except Exception:
            error = traceback.format_exc()[-2000:]
        print(json.dumps({"fact": check.__doc__, "note": note, "error": error}), flush=True)


if __name__ == "__main__":
    command, argument = sys.argv[1:]
    if command == "models":
        write_models(argument)
    elif command == "check":
        with triton.InferenceServerClient(argument, concurrency=8, network_timeout=30, connection_timeout=30) as opened:
            report(CHECKS, opened)
    elif command == "full":
        report(FULL_CHECKS, argument)
    else:
        sys.exit(f"unknown command {command}")
