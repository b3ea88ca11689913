"""Against real servers, which test/client/live.test.ts starts."""

import json
import os
import ssl
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from slipway_client import Feedback, SlipwayClientError, Tensor, connect

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


if __name__ == "__main__":
    unittest.main()
