"""Against real servers, which test/client/live.test.ts starts."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from slipway_client import Breaker, Feedback, Hedge, Retry, SlipwayClientError, Tensor, connect, connect_grpc

try:
    import numpy as np
except ImportError:
    np = None

SERVER = os.environ["SLIPWAY_SERVER"]
CUSTOMER = {
    "tenure_months": 2,
    "monthly_charges": 95.5,
    "support_calls": 6,
    "plan": "basic",
    "contract": "month-to-month",
    "paperless": True,
}
CASES = json.loads((Path(__file__).parents[2] / "behaviour.json").read_text("utf-8"))["tensors"]


class Live(unittest.TestCase):
    def setUp(self):
        self.client = connect(SERVER, deadline_ms=30_000)
        self.addCleanup(self.client.close)

    def test_rows(self):
        churn = self.client.model("churn")
        one = churn.predict(CUSTOMER, unit="customer 7", request_id="order-1")
        self.assertEqual(one.answer["prediction"], "churn")
        self.assertEqual((one.model, one.version, one.request_id, one.fallback, one.attempts), ("churn", "1", "order-1", False, 1))
        many = churn.predict_many([CUSTOMER, {**CUSTOMER, "support_calls": 0}])
        self.assertEqual(len(many.answer), 2)
        self.assertEqual(many.answer[0], one.answer)
        self.assertEqual(churn.predict_many([]).answer, [])
        self.assertEqual(self.client.model("churn", version="1").predict(list(CUSTOMER.values())).answer, one.answer)
        if np is not None:
            self.assertEqual(churn.predict({**CUSTOMER, "support_calls": np.int64(6), "monthly_charges": np.float64(95.5)}).answer, one.answer)

    def test_tensors(self):
        for case in CASES:
            with self.subTest(case):
                datatype, count = case["datatype"], len(case["values"])
                tensor = Tensor("x", datatype, (count,), bytes.fromhex(case["hex"]))
                result = self.client.model(f"echo_{datatype.lower()}").infer([tensor], outputs=["y"])
                self.assertEqual(result.answer, {"y": Tensor("y", datatype, (count,), tensor.raw)})
                self.assertEqual(result.version, "1")
                if np is not None and datatype != "BF16":
                    again = self.client.model(f"echo_{datatype.lower()}").infer({"x": tensor.numpy()})
                    np.testing.assert_array_equal(again.answer["y"].numpy(), tensor.numpy())

    def test_wrong(self):
        with self.assertRaises(SlipwayClientError) as raised:
            self.client.model("churn").predict({**CUSTOMER, "plan": "gold"})
        self.assertEqual(raised.exception.code, "SLW_INPUT_INVALID")
        self.assertEqual([issue.path for issue in raised.exception.issues], ["inputs[0].plan"])
        with self.assertRaises(SlipwayClientError) as raised:
            self.client.model("nobody").predict({})
        self.assertEqual((raised.exception.code, raised.exception.status), ("SLW_MODEL_NOT_FOUND", 404))
        with self.assertRaises(SlipwayClientError) as raised:
            self.client.model("churn").predict(CUSTOMER, unit="a\nb")
        self.assertEqual((raised.exception.code, raised.exception.attempts), ("SLW_CONFIG_INVALID", 1))
        for url in ("127.0.0.1:8470", "ftp://a", "http://a:b"):
            with self.subTest(url), self.assertRaises(SlipwayClientError):
                connect(url)
        with self.assertRaisesRegex(SlipwayClientError, "deadline_ms: expected a number from 1"):
            connect(SERVER, deadline_ms=0)

    def test_connections_are_kept_and_shared(self):
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: self.client.model("churn").predict(CUSTOMER).answer["prediction"], range(200)))
        self.assertEqual(set(answers), {"churn"})
        self.assertLessEqual(len(self.client._connections._idle), 8)

    @unittest.skipUnless(hasattr(os, "fork"), "there are no forks here")
    def test_forks_have_connections_of_their_own(self):
        # In a process of its own: this one has threads.
        script = """
import os, sys
from slipway_client import Tensor, connect
echo = connect(sys.argv[1], deadline_ms=30_000, retry=None).model("echo_int64")
ask = lambda number: echo.infer([Tensor.of("x", [number] * 200, "INT64")]).answer["y"].values() == [number] * 200
assert ask(-1)
children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        os._exit(0 if all(ask(number) for _ in range(5)) else 1)
    children.append(child)
assert ask(-2)
sys.exit(max(os.waitpid(child, 0)[1] for child in children) >> 8)
"""
        done = subprocess.run([sys.executable, "-c", script, SERVER], capture_output=True, text=True, timeout=90)
        self.assertEqual(done.stderr[-2000:], "")
        self.assertEqual(done.returncode, 0)

    def test_readiness(self):
        self.assertTrue(self.client.ready())
        self.assertTrue(self.client.model("churn").ready())
        self.assertFalse(self.client.model("nobody").ready())

    def test_feedback(self):
        with connect(os.environ["SLIPWAY_FOLLOWER"], deadline_ms=30_000) as judged:
            result = judged.model("judge").predict({"x": [0.7]})
            self.assertEqual(result.variant, "main")
            told = judged.feedback([Feedback(result.prediction_id, 1), Feedback("made-up", 1)])
            self.assertEqual((told.accepted, [one.index for one in told.refused]), (1, [1]))
            self.assertEqual(judged.feedback([]).accepted, 0)

    def test_tls_and_keys(self):
        secured = os.environ["SLIPWAY_SECURED"]
        with self.assertRaisesRegex(SlipwayClientError, "TLS failed.*whose certificates are trusted") as raised:
            connect(secured).model("churn").predict(CUSTOMER)
        self.assertEqual((raised.exception.retryable, raised.exception.attempts), (False, 1))
        with self.assertRaisesRegex(SlipwayClientError, "TLS failed"):
            connect(SERVER.replace("http:", "https:")).model("churn").predict(CUSTOMER)
        context = ssl.create_default_context(cafile=os.environ["SLIPWAY_CA"])
        for key, code in ((None, "SLW_UNAUTHENTICATED"), ("another-key-of-the-tests-1", "SLW_UNAUTHENTICATED"), (os.environ["SLIPWAY_KEY"], None)):
            with self.subTest(key), connect(secured, api_key=key, ssl_context=context) as client:
                try:
                    client.model("churn").predict_many([CUSTOMER] * 500)
                    self.assertIsNone(code)
                except SlipwayClientError as error:
                    self.assertEqual(error.code, code)

    def test_no_thread_is_left(self):
        self.client.model("churn").predict(CUSTOMER)
        self.assertEqual([one.name for one in threading.enumerate() if one.name == "slipway-client"], [])


class OverGrpc(unittest.TestCase):
    def setUp(self):
        self.client = connect_grpc(os.environ["SLIPWAY_GRPC"], deadline_ms=30_000)
        self.addCleanup(self.client.close)

    def test_tensors(self):
        for case in CASES:
            with self.subTest(case):
                datatype, count = case["datatype"], len(case["values"])
                tensor = Tensor("x", datatype, (count,), bytes.fromhex(case["hex"]))
                result = self.client.model(f"echo_{datatype.lower()}", version="1").infer([tensor], outputs=["y"], request_id="order-2")
                self.assertEqual(result.answer, {"y": Tensor("y", datatype, (count,), tensor.raw)})
                self.assertEqual((result.version, result.request_id, result.attempts), ("1", "order-2", 1))
        large = Tensor.of("x", list(range(90_001)), "FP32")
        self.assertEqual(self.client.model("echo_fp32").infer([large]).answer["y"].raw, large.raw)
        self.assertTrue(self.client.ready())
        self.assertTrue(self.client.model("churn").ready())
        self.assertFalse(self.client.model("nobody").ready())

    def test_hedged(self):
        with connect_grpc(os.environ["SLIPWAY_GRPC"], deadline_ms=30_000, hedge=Hedge(after_ms=0)) as client:
            for _ in range(20):
                result = client.model("echo_fp32").infer([Tensor.of("x", [1.5], "FP32")])
                self.assertEqual(result.answer["y"].values(), [1.5])

    def test_errors(self):
        tensor = Tensor.of("x", [1.0], "FP32")
        for name, shape, unit, code, status in (
            ("nobody", (1,), None, "SLW_MODEL_NOT_FOUND", 404),
            ("echo_fp32", (1, 1), None, "SLW_INPUT_INVALID", 400),
            ("echo_fp32", (1,), "a\nb", "SLW_CONFIG_INVALID", None),
        ):
            with self.subTest(code), self.assertRaises(SlipwayClientError) as raised:
                self.client.model(name).infer([Tensor("x", "FP32", shape, tensor.raw)], unit=unit)
            self.assertEqual((raised.exception.code, raised.exception.status), (code, status))

    def test_absent(self):
        with connect_grpc(os.environ["SLIPWAY_NOWHERE"], retry=Retry(base_ms=1), breaker=Breaker(minimum_requests=4)) as client:
            with self.assertRaisesRegex(SlipwayClientError, "nothing listens there") as raised:
                client.model("m").infer([])
            self.assertEqual((raised.exception.code, raised.exception.retryable, raised.exception.attempts), ("SLW_UNREACHABLE", True, 3))
            taken = client.model("m").infer([], fallback={})
            self.assertEqual((taken.fallback, taken.reason.code, taken.attempts), (True, "SLW_UNREACHABLE", 1))
            self.assertEqual(client.breaker_of("m"), "open")
            self.assertFalse(client.ready())

    def test_silent(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with connect_grpc(url, deadline_ms=300) as client, self.assertRaises(SlipwayClientError) as raised:
                client.model("m").infer([])
            self.assertEqual((raised.exception.code, raised.exception.attempts), ("SLW_DEADLINE_EXCEEDED", 1))

    def test_tls_and_keys(self):
        secured, key = os.environ["SLIPWAY_GRPC_SECURED"], os.environ["SLIPWAY_KEY"]
        ca = Path(os.environ["SLIPWAY_CA"]).read_bytes()
        for authorities, api_key, code in ((None, key, "SLW_UNREACHABLE"), (ca, None, "SLW_UNAUTHENTICATED"), (ca, key, "SLW_MODEL_NOT_FOUND")):
            with self.subTest(code), connect_grpc(secured, api_key=api_key, ca=authorities) as client:
                with self.assertRaises(SlipwayClientError) as raised:
                    client.model("nobody").infer([])
                self.assertEqual((raised.exception.code, raised.exception.attempts), (code, 1))


if __name__ == "__main__":
    unittest.main()
