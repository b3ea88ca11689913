"""Drives a running server with tritonclient.grpc and grpcio, as they come from PyPI. Prints one JSON line for each fact.

    python grpc_clients.py check HOST:PORT ADMIN_TOKEN
    python grpc_clients.py tls HOST:PORT AUTHORITY CERTIFICATE KEY     a server that wants a certificate of its clients
"""

import asyncio
import json
import queue
import sys
import traceback

import grpc
import ml_dtypes
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

SERVICE = "inference.GRPCInferenceService"

EXTREMES = {
    "INT64": np.array([2**62 + 1, -(2**63), 2**63 - 1, 2**53 + 1, -1, 0], np.int64),
    "UINT64": np.array([2**64 - 1, 2**63 + 1, 0], np.uint64),
    "INT32": np.array([-(2**31), 2**31 - 1, -1], np.int32),
    "UINT32": np.array([2**32 - 1, 0], np.uint32),
    "INT16": np.array([-(2**15), 2**15 - 1], np.int16),
    "UINT16": np.array([2**16 - 1, 0], np.uint16),
    "INT8": np.array([-128, 127, -1], np.int8),
    "UINT8": np.array([0, 255], np.uint8),
    "FP64": np.array([5e-324, 1.7976931348623157e308, 0.1, -0.0, np.nan, np.inf], np.float64),
    "FP32": np.array([1e-45, 3.4028235e38, 0.1, -0.0, 16777217, np.nan, -np.inf], np.float32),
    "FP16": np.array([0.1, -0.0, 65504, 6e-8, np.inf, np.nan], np.float16),
    "BOOL": np.array([True, False, True], bool),
}

TYPED = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}


def tensor(name, array):
    given = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    given.set_data_from_numpy(array)
    return given


def echo(client, datatype, array, **options):
    return client.infer(f"echo_{datatype.lower()}", [tensor("IN", array)], **options).as_numpy("OUT")


def wide(client, datatype, array, **options):
    """The same as one row, so that it is one run."""
    [found] = client.infer(f"wide_{datatype.lower()}", [tensor("IN", array.reshape(1, -1))], **options).as_numpy("OUT")
    return found


def raised(status, fragments, act):
    try:
        act()
    except InferenceServerException as error:
        assert error.status() == f"StatusCode.{status}", f"status {error.status()}: {error.message()}"
        for fragment in fragments:
            assert fragment in error.message(), f"{fragment!r} is not in {error.message()!r}"
        return
    raise AssertionError("nothing was raised")


def health(client, given):
    """liveness, readiness and the readiness of models and versions are told"""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("arithmetic")
    assert client.is_model_ready("arithmetic", "1")
    assert not client.is_model_ready("arithmetic", "9")
    assert not client.is_model_ready("unheard-of")


def metadata(client, given):
    """the metadata of the server and of models is that of their files"""
    found = client.get_server_metadata()
    assert found.name == "slipway" and found.version, found
    assert "statistics" in found.extensions, found
    found = client.get_model_metadata("arithmetic")
    assert (found.name, list(found.versions)) == ("arithmetic", ["1"]), found
    assert [(each.name, each.datatype, list(each.shape)) for each in found.inputs] == [("A", "FP32", [-1, 4]), ("B", "FP32", [-1, 4])], found
    for datatype in EXTREMES:
        [only] = client.get_model_metadata(f"echo_{datatype.lower()}", "1").inputs
        assert (only.datatype, list(only.shape)) == (datatype, [-1]), only


def config(client, given):
    """the configuration of a model is what is in force"""
    found = client.get_model_config("arithmetic").config
    assert (found.name, found.backend, found.platform) == ("arithmetic", "onnxruntime", "onnxruntime_onnx"), found
    assert [(each.name, each.data_type, list(each.dims)) for each in found.input] == [("A", 11, [4]), ("B", 11, [4])], found
    assert found.max_batch_size > 0 and found.dynamic_batching.priority_levels == 9, found
    assert found.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_CPU, found
    assert client.get_model_config("echo_bytes").config.input[0].data_type == model_config_pb2.TYPE_STRING


def pair(rows=3):
    a = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)
    return a, np.full((rows, 4), 0.5, np.float32)


def infer(client, given):
    """outputs are answered as they were asked for; id, model and version come back"""
    a, b = pair()
    inputs = [tensor("B", b), tensor("A", a)]
    for names in (["SUM"], ["DIFFERENCE"], ["DIFFERENCE", "SUM"]):
        result = client.infer("arithmetic", inputs, outputs=[triton.InferRequestedOutput(name) for name in names])
        assert [output.name for output in result.get_response().outputs] == names
    result = client.infer("arithmetic", inputs, request_id="order-4711 ä", model_version="1", priority=2, timeout=10_000_000)
    np.testing.assert_array_equal(result.as_numpy("SUM"), a + b)
    np.testing.assert_array_equal(result.as_numpy("DIFFERENCE"), a - b)
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == ("order-4711 ä", "arithmetic", "1"), response


def datatypes(client, given):
    """every datatype comes back bit for bit, with its extremes"""
    for datatype, array in EXTREMES.items():
        found = echo(client, datatype, array)
        assert found.dtype == array.dtype and found.tobytes() == array.tobytes(), (datatype, found)
        assert echo(client, datatype, array[:0]).shape == (0,), datatype


def bfloats(client, given):
    """BF16, which numpy has not, comes back as it was sent"""
    array = np.array([1.5, -0.0, 3.0e38, 0.0078125], ml_dtypes.bfloat16)
    found = echo(client, "BF16", array)
    assert found.dtype == array.dtype and found.tobytes() == array.tobytes(), found


def strings(client, given):
    """texts keep every character; what is no text is refused"""
    texts = ["", "plain", "naïve Größe", "東京 🚀", "line\nbreak\ttab", "\x01\x7f\u2028", "\ufeffmark", "é" * 5000]
    found = echo(client, "BYTES", np.array(texts, np.object_))
    assert [item.decode() for item in found] == texts
    raised("INVALID_ARGUMENT", ["IN", "UTF-8"], lambda: echo(client, "BYTES", np.array([b"\xff\xfe"], np.object_)))
    many = np.array([f"text {index}" for index in range(400_000)], np.object_)
    assert [item.decode() for item in wide(client, "BYTES", many)] == list(many), "read beside the main thread"


def typed_contents(client, given):
    """typed contents are read for every datatype that has them, and answered as raw ones, or typed where that is asked for"""
    stub = service_pb2_grpc.GRPCInferenceServiceStub(client._channel)
    for datatype, field in TYPED.items():
        array = EXTREMES[datatype]
        request = service_pb2.ModelInferRequest(model_name=f"echo_{datatype.lower()}")
        sent = request.inputs.add(name="IN", datatype=datatype, shape=array.shape)
        getattr(sent.contents, field).extend(array.tolist())
        response = stub.ModelInfer(request)
        assert response.raw_output_contents[0] == array.tobytes(), (datatype, response)
        request.parameters["binary_data_output"].bool_param = False
        response = stub.ModelInfer(request)
        assert not response.raw_output_contents, datatype
        found = np.array(list(getattr(response.outputs[0].contents, field)), array.dtype)
        assert found.tobytes() == array.tobytes(), (datatype, found)
    request = service_pb2.ModelInferRequest(model_name="echo_bytes")
    request.inputs.add(name="IN", datatype="BYTES", shape=[2]).contents.bytes_contents.extend([b"one", "zwei ä".encode()])
    request.parameters["binary_data_output"].bool_param = False
    assert list(stub.ModelInfer(request).outputs[0].contents.bytes_contents) == [b"one", "zwei ä".encode()]


def classification(client, given):
    """an output may be asked for as its largest values"""
    a, b = pair(2)
    inputs = [tensor("A", a), tensor("B", b)]
    found = client.infer("arithmetic", inputs, outputs=[triton.InferRequestedOutput("SUM", class_count=2)]).as_numpy("SUM")
    assert found.tolist() == [[b"3.500000:3", b"2.500000:2"], [b"7.500000:3", b"6.500000:2"]], found


def wrong(client, given):
    """what is wrong raises with its code, the name of what it is, and what was expected"""
    a, b = pair()
    raised("NOT_FOUND", ["unheard-of"], lambda: client.infer("unheard-of", [tensor("A", a)]))
    raised("NOT_FOUND", ["9"], lambda: client.infer("arithmetic", [tensor("A", a)], model_version="9"))
    raised("NOT_FOUND", ["unheard-of"], lambda: client.get_model_metadata("unheard-of"))
    raised("INVALID_ARGUMENT", ["B", "missing"], lambda: client.infer("arithmetic", [tensor("A", a)]))
    raised("INVALID_ARGUMENT", ["B", "[3, 5]"], lambda: client.infer("arithmetic", [tensor("A", a), tensor("B", np.zeros((3, 5), np.float32))]))
    raised("INVALID_ARGUMENT", ["FP64", "FP32"], lambda: client.infer("arithmetic", [tensor("A", a.astype(np.float64)), tensor("B", b)]))
    raised("INVALID_ARGUMENT", ["PRODUCT"], lambda: client.infer("arithmetic", [tensor("A", a), tensor("B", b)], outputs=[triton.InferRequestedOutput("PRODUCT")]))
    raised("UNIMPLEMENTED", ["shared memory"], lambda: client.get_system_shared_memory_status())
    raised("UNIMPLEMENTED", ["sequence"], lambda: client.infer("arithmetic", [tensor("A", a), tensor("B", b)], sequence_id=7, sequence_start=True))


def many_at_once(client, given):
    """requests that are sent without waiting get each their own answer"""
    answers = queue.Queue()
    for number in range(200):
        array = np.full(5, number, np.float32)
        client.async_infer("echo_fp32", [tensor("IN", array)], lambda result, error, array=array: answers.put((array, result, error)))
    for _ in range(200):
        array, result, error = answers.get(timeout=60)
        assert error is None, error
        np.testing.assert_array_equal(result.as_numpy("OUT"), array)


def stream(client, given):
    """a stream answers in the order of its requests; an error is the answer to its request"""
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for number in range(100):
        model = "unheard-of" if number == 50 else "echo_fp32"
        client.async_stream_infer(model, [tensor("IN", np.full(3, number, np.float32))], request_id=str(number), enable_empty_final_response=True)
    for number in range(100):
        result, error = answers.get(timeout=60)
        if number == 50:
            assert "unheard-of" in error.message(), error
        else:
            assert result.as_numpy("OUT")[0] == number
            response = result.get_response()
            assert response.id == str(number) and response.parameters["triton_final_response"].bool_param
    client.stop_stream()


def asyncio_client(client, given):
    """the asyncio client of the same package gets its answers too, in calls and in a stream"""

    async def ask():
        async with triton_aio.InferenceServerClient(given[0]) as other:
            array = np.array([2**62 + 1], np.int64)
            result = await other.infer("echo_int64", [tensor("IN", array)])
            np.testing.assert_array_equal(result.as_numpy("OUT"), array)

            async def requests():
                for number in range(10):
                    yield {"model_name": "echo_fp32", "inputs": [tensor("IN", np.full(2, number, np.float32))]}

            numbers = [result.as_numpy("OUT")[0] async for result, error in other.stream_infer(requests())]
            assert numbers == list(range(10)), numbers

    asyncio.run(ask())


def compression(client, given):
    """requests compressed with gzip and deflate are understood, large and small"""
    for algorithm in ("gzip", "deflate"):
        for size in (3, 500_000):
            array = np.arange(size, dtype=np.float32)
            np.testing.assert_array_equal(wide(client, "FP32", array, compression_algorithm=algorithm), array)


def large(client, given):
    """a tensor of 40 MB passes both ways, through the windows of flow control"""
    array = np.arange(10_000_000, dtype=np.float32)
    np.testing.assert_array_equal(wide(client, "FP32", array), array)


def deadline(client, given):
    """a client whose time is over raises, and the server goes on"""
    raised("DEADLINE_EXCEEDED", [], lambda: client.infer("slow", [tensor("X", np.zeros((512, 512), np.float32))], client_timeout=0.02))
    assert echo(client, "FP32", np.ones(2, np.float32)).tolist() == [1, 1]


def headers(client, given):
    """metadata of a call is taken, and refused by name where it means nothing"""
    array = np.ones(2, np.float32)
    echo(client, "FP32", array, headers={"slipway-priority": "1", "slipway-timeout-ms": "5000", "x-request-id": "mine"})
    raised("INVALID_ARGUMENT", ["slipway-priority"], lambda: echo(client, "FP32", array, headers={"slipway-priority": "now"}))


def statistics(client, given):
    """statistics count what was asked"""
    before = client.get_inference_statistics("echo_int32").model_stats[0]
    for _ in range(3):
        echo(client, "INT32", np.ones((5,), np.int32))
    after = client.get_inference_statistics("echo_int32", "1").model_stats[0]
    assert after.inference_stats.success.count - before.inference_stats.success.count == 3, after
    assert after.inference_stats.success.ns > before.inference_stats.success.ns
    assert after.execution_count > before.execution_count and after.last_inference > 0
    assert len(client.get_inference_statistics().model_stats) > 10


def repository(client, given):
    """models are listed, unloaded and loaded, by whoever has the token"""
    admin = {"authorization": f"Bearer {given[1]}"}
    raised("UNAUTHENTICATED", ["token"], lambda: client.unload_model("echo_int8"))
    client.unload_model("echo_int8", headers=admin)
    assert not client.is_model_ready("echo_int8")
    states = {each.name: each.state for each in client.get_model_repository_index().models}
    assert states["echo_int8"] == "UNAVAILABLE" and states["arithmetic"] == "READY", states
    client.load_model("echo_int8", headers=admin)
    assert client.is_model_ready("echo_int8")
    raised("UNIMPLEMENTED", ["config"], lambda: client.load_model("echo_int8", headers=admin, config="{}"))


def settings(client, given):
    """settings of log and trace are told; the level of the log changes for whoever has the token"""
    admin = {"authorization": f"Bearer {given[1]}"}
    assert client.get_log_settings().settings["log_verbose_level"].uint32_param == 0
    raised("UNAUTHENTICATED", [], lambda: client.update_log_settings({"log_verbose_level": 1}))
    assert client.update_log_settings({"log_verbose_level": 1}, headers=admin).settings["log_verbose_level"].uint32_param == 1
    client.update_log_settings({"log_verbose_level": 0}, headers=admin)
    assert list(client.get_trace_settings().settings["trace_level"].value) == ["OFF"]
    raised("UNIMPLEMENTED", ["trace"], lambda: client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}))


def keep_alive(client, given):
    """a client that asks every second whether the server is there keeps its connection"""
    options = triton.KeepAliveOptions(keepalive_time_ms=1000, keepalive_timeout_ms=1000, keepalive_permit_without_calls=True, http2_max_pings_without_data=0)
    import time

    with triton.InferenceServerClient(given[0], keepalive_options=options) as other:
        for _ in range(3):
            assert echo(other, "FP32", np.ones(1, np.float32)).tolist() == [1]
            time.sleep(1.1)


def health_service(client, given):
    """the general client of health checks finds the server and its service"""
    with grpc.insecure_channel(given[0]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE):
            assert stub.Check(health_pb2.HealthCheckRequest(service=service)).status == health_pb2.HealthCheckResponse.SERVING
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"))
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


def kind(field):
    return (field.number, field.type, field.label == field.LABEL_REPEATED, field.type_name)


def reflection(client, given):
    """reflection describes every message as Triton's own files have it, and a client made of nothing else gets its answer"""
    with grpc.insecure_channel(given[0]) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert SERVICE in database.get_services() and "grpc.health.v1.Health" in database.get_services()
        own = database.FindFileContainingSymbol(SERVICE)
        messages, services = {}, {}
        for module in (service_pb2, model_config_pb2):
            file = FileDescriptorProto()
            module.DESCRIPTOR.CopyToProto(file)
            messages.update({each.name: each for each in file.message_type})
            services.update({each.name: each for each in file.service})
        compared = 0

        def compare(found, expected):
            nonlocal compared
            known = {field.name: kind(field) for field in expected.field}
            for field in found.field:
                assert known[field.name] == kind(field), (found.name, field)
                compared += 1
            nested = {each.name: each for each in expected.nested_type}
            for each in found.nested_type:
                compare(each, nested[each.name])

        for message in own.message_type:
            compare(message, messages[message.name])
        methods = {each.name: (each.input_type, each.output_type, each.client_streaming, each.server_streaming) for each in services["GRPCInferenceService"].method}
        assert {each.name: (each.input_type, each.output_type, each.client_streaming, each.server_streaming) for each in own.service[0].method} == methods
        assert compared > 150, compared
        pool = descriptor_pool.DescriptorPool(database)
        method = pool.FindServiceByName(SERVICE).FindMethodByName("ModelInfer")
        request_class, response_class = (message_factory.GetMessageClass(each) for each in (method.input_type, method.output_type))
        call = channel.unary_unary(f"/{SERVICE}/ModelInfer", request_serializer=request_class.SerializeToString, response_deserializer=response_class.FromString)
        request = request_class(model_name="echo_fp32")
        request.inputs.add(name="IN", datatype="FP32", shape=[3]).contents.fp32_contents.extend([1, 2, 3])
        assert call(request).raw_output_contents[0] == np.array([1, 2, 3], np.float32).tobytes()
        return f"{compared} fields"


CHECKS = [
    health,
    metadata,
    config,
    infer,
    datatypes,
    bfloats,
    strings,
    typed_contents,
    classification,
    wrong,
    many_at_once,
    stream,
    asyncio_client,
    compression,
    large,
    deadline,
    headers,
    statistics,
    repository,
    settings,
    keep_alive,
    health_service,
    reflection,
]


def tls_client(client, given):
    """a client with a certificate is let in over TLS"""
    assert client.is_server_ready()
    assert echo(client, "FP32", np.ones(2, np.float32)).tolist() == [1, 1]


def tls_none(client, given):
    """a client without a certificate is not"""
    with triton.InferenceServerClient(given[0], ssl=True, root_certificates=given[1]) as other:
        raised("UNAVAILABLE", [], lambda: other.get_server_metadata(client_timeout=5))


def report(checks, client, given):
    for check in checks:
        note, error = None, None
        try:
            note = check(client, given)
        except Exception:
            error = traceback.format_exc()[-2000:]
        print(json.dumps({"fact": check.__doc__, "note": note, "error": error}), flush=True)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "check":
        with triton.InferenceServerClient(arguments[0]) as opened:
            report(CHECKS, opened, arguments)
    elif command == "tls":
        target, authority, certificate, key = arguments
        with triton.InferenceServerClient(target, ssl=True, root_certificates=authority, certificate_chain=certificate, private_key=key) as opened:
            report([tls_client, tls_none], opened, arguments)
    else:
        sys.exit(f"unknown command {command}")
