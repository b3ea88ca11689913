"""The client for Python does what clients/behaviour.json says.

SLIPWAY_SCRIPTED_SERVER is the server of test/client/scripted-server.ts, SLIPWAY_NOWHERE an address where nothing listens.
"""

import json
import math
import os
import re
import struct
import time
import unittest
import urllib.request
from pathlib import Path

from slipway_client import Breaker, Hedge, Retry, SlipwayClientError, Tensor, connect
from slipway_client._backoff import pause_ms, retry_after_of
from slipway_client._breaker import Circuit
from slipway_client._budget import Budget
from slipway_client._tensors import bfloat_to_number, number_to_bfloat, tensor_from

BEHAVIOUR = json.loads((Path(__file__).parents[2] / "behaviour.json").read_text("utf-8"))
SERVER = os.environ["SLIPWAY_SCRIPTED_SERVER"]
NOWHERE = os.environ["SLIPWAY_NOWHERE"]


def snake(options):
    return {re.sub("([A-Z])", lambda found: "_" + found[0].lower(), name): value for name, value in options.items()}


def asked(path, body=None):
    with urllib.request.urlopen(SERVER + path, None if body is None else json.dumps(body).encode()) as response:
        return json.load(response)


def client_of(case):
    options = dict(case.get("options", {}))
    retry, breaker, hedge = options.pop("retry", {}), options.pop("breaker", {}), options.pop("hedge", None)
    return connect(
        NOWHERE if case.get("refuses") else SERVER,
        api_key="k",
        random=lambda: 0.5,
        retry=None if retry is False else Retry(**{"base_ms": 2, **snake(retry)}),
        breaker=None if breaker is False else Breaker(**snake(breaker)),
        hedge=None if hedge is None else Hedge(**snake(hedge)),
        **snake(options),
    )


class Pauses(unittest.TestCase):
    def test_pauses(self):
        for case in BEHAVIOUR["backoff"]:
            with self.subTest(case):
                retry = Retry(base_ms=case["baseMs"], max_ms=case["maxMs"])
                self.assertEqual(pause_ms(case["attempt"], case["random"], retry, case.get("retryAfterMs")), case["pauseMs"])

    def test_retry_after(self):
        for case in BEHAVIOUR["retryAfter"]:
            with self.subTest(case):
                self.assertEqual(retry_after_of(case["header"], case.get("epochMs", 0)), case["retryAfterMs"])

    def test_budget(self):
        for case in BEHAVIOUR["budget"]:
            with self.subTest(case["name"]):
                budget = Budget(**snake(case["rules"]), now_ms=0)
                now_ms = 0
                for index, step in enumerate(case["steps"]):
                    now_ms = step.get("atMs", now_ms)
                    for _ in range(step.get("earn", 0)):
                        budget.earn(now_ms)
                    if "take" in step:
                        self.assertEqual(budget.take(now_ms), step["take"], f"step {index}")

    def test_breaker(self):
        for case in BEHAVIOUR["breaker"]:
            with self.subTest(case["name"]):
                circuit = Circuit(Breaker(**snake(case["rules"])))
                sent = []
                now_ms = 0
                for index, step in enumerate(case["steps"]):
                    now_ms = step.get("atMs", now_ms)
                    for _ in range(step.get("ask", 0)):
                        sent.append(circuit.permit(now_ms))
                        self.assertIsNotNone(sent[-1], f"step {index}")
                    for _ in range(step.get("refused", 0)):
                        self.assertIsNone(circuit.permit(now_ms), f"step {index}")
                    for _ in range(step.get("succeed", 0)):
                        sent.pop(0).succeeded(now_ms)
                    for _ in range(step.get("fail", 0)):
                        sent.pop(0).failed(now_ms)
                    for _ in range(step.get("release", 0)):
                        sent.pop(0).released()
                    if "state" in step:
                        self.assertEqual(circuit.state(now_ms), step["state"], f"step {index}")


def number_of(datatype, value):
    if datatype == "FP16":
        return struct.unpack("<e", struct.pack("<H", value))[0]
    if datatype == "BF16":
        return bfloat_to_number(value)
    return int(value) if isinstance(value, str) and datatype != "BYTES" else value


class Tensors(unittest.TestCase):
    def test_binary(self):
        for case in BEHAVIOUR["tensors"]:
            with self.subTest(case):
                datatype = case["datatype"]
                values = [number_of(datatype, value) for value in case["values"]]
                tensor = Tensor.of("x", values, datatype, case["shape"])
                self.assertEqual(tensor.raw.hex(), case["hex"])
                read = tensor_from({"name": "x", "datatype": datatype, "shape": case["shape"]}, bytes.fromhex(case["hex"]))
                self.assertEqual(read, tensor)
                self.assertEqual(read.values(), values)

    def test_numpy(self):
        try:
            import numpy as np
        except ImportError:
            self.skipTest("numpy is not installed")
        for case in BEHAVIOUR["tensors"]:
            with self.subTest(case):
                datatype = case["datatype"]
                read = tensor_from({"name": "x", "datatype": datatype, "shape": case["shape"]}, bytes.fromhex(case["hex"]))
                array = read.numpy()
                self.assertEqual(list(array.shape), case["shape"])
                self.assertEqual(Tensor.of("x", array, "BF16" if datatype == "BF16" else None), read)
                if datatype not in ("BYTES", "BOOL"):
                    self.assertEqual(Tensor.of("x", array.astype(array.dtype.newbyteorder(">")), datatype), read)
        self.assertEqual(Tensor.of("x", np.array(["a", "b"])).datatype, "BYTES")
        self.assertEqual(Tensor.of("x", np.arange(6, dtype=np.int64).reshape(2, 3).T).values(), [0, 3, 1, 4, 2, 5])
        with self.assertRaisesRegex(SlipwayClientError, "an array of float64 is no FP32"):
            Tensor.of("x", np.zeros(2), "FP32")

    def test_halves(self):
        for case in BEHAVIOUR["halves"]:
            with self.subTest(case):
                value = case["value"]
                self.assertEqual(Tensor.of("x", [value], "FP16").raw, struct.pack("<H", case["fp16"]))
                self.assertEqual(number_to_bfloat(value), case["bf16"])
        for bits in range(65_536):
            value = bfloat_to_number(bits)
            if not math.isnan(value):
                self.assertEqual(number_to_bfloat(value), bits)
        self.assertTrue(math.isnan(bfloat_to_number(number_to_bfloat(math.nan))))

    def test_wrong(self):
        for values, datatype, shape, words in (
            ([1, 2], "FP32", [3], "takes 3 values, found 2"),
            ([300], "UINT8", None, "UINT8"),
            ([1], "FLOAT", None, 'there is no datatype "FLOAT"'),
            ([1], None, None, "needs a datatype"),
        ):
            with self.subTest(words), self.assertRaisesRegex(SlipwayClientError, words):
                Tensor.of("x", values, datatype, shape)


class Calls(unittest.TestCase):
    def test_calls(self):
        for case in BEHAVIOUR["calls"]:
            with self.subTest(case["name"]):
                self.run_case(case)

    def run_case(self, case):
        asked("/script", case.get("server", []))
        with client_of(case) as client:
            for index, call in enumerate(case["calls"]):
                self.run_call(client, call, f"call {index}")
        seen = asked("/seen")
        self.assertEqual(len(seen), case["requests"])
        self.assertTrue(all(one["authorization"] == "Bearer k" for one in seen))
        if case.get("oneRequestId"):
            self.assertEqual(len({one["requestId"] for one in seen}), 1)
        end = time.monotonic() + 20
        while "givenUp" in case and sum(one["givenUp"] for one in asked("/seen")) != case["givenUp"]:
            self.assertLess(time.monotonic(), end, "what nobody waits for is given up")
            time.sleep(0.02)
        last = case.get("timeoutsFallFromMs")
        for one in seen if last is not None else []:
            self.assertTrue(0 < one["timeoutMs"] <= last, f"{one['timeoutMs']} after {last}")
            last = one["timeoutMs"] - 1

    def run_call(self, client, call, where):
        time.sleep(call.get("waitMs", 0) / 1000)
        expected, fallback = call["expect"], call.get("fallback")
        if fallback == "function":
            instead = lambda error, row: {"prediction": f"{error.code} of {row['x']}"}  # noqa: E731
        else:
            instead = None if fallback is None else {"prediction": fallback}
        model = client.model("churn", fallback=instead)
        deadline_ms = call.get("deadlineMs")
        result, error = None, None
        started = time.monotonic()
        try:
            if "many" in call:
                result = model.predict_many([{"x": x} for x in range(call["many"])], deadline_ms=deadline_ms)
            else:
                result = model.predict({"x": 5}, deadline_ms=deadline_ms)
            error = result.reason
        except SlipwayClientError as thrown:
            error = thrown
        took_ms = (time.monotonic() - started) * 1000
        answers = [] if result is None else result.answer if isinstance(result.answer, list) else [result.answer]
        one = expected.get("answer", expected.get("fallback"))
        wanted = expected.get("answers", expected.get("fallbacks", [] if one is None else [one]))
        self.assertEqual([str(answer["prediction"]) for answer in answers], wanted, f"{where}: {error}")
        self.assertEqual(result is not None and result.fallback, "fallback" in expected or "fallbacks" in expected, where)
        self.assertEqual(error and error.code, expected.get("code"), f"{where}: {error}")
        for name in ("status", "retryable", "requestId"):
            if name in expected:
                self.assertEqual(getattr(error, next(iter(snake({name: 0})))), expected[name], f"{where}: {name}")
        if "message" in expected:
            self.assertIn(expected["message"], str(error))
        if "issues" in expected:
            self.assertEqual([f"{issue.path}: {issue.message}" for issue in error.issues], expected["issues"])
        if "attempts" in expected:
            self.assertEqual((error if result is None else result).attempts, expected["attempts"], where)
        if "hedged" in expected:
            self.assertEqual(result is not None and result.hedged, expected["hedged"], where)
        if "breaker" in expected:
            self.assertEqual(client.breaker_of("churn"), expected["breaker"], where)
        self.assertGreaterEqual(took_ms, expected.get("atLeastMs", 0), where)
        self.assertLessEqual(took_ms, expected.get("atMostMs", math.inf), where)
        for name, value in snake(expected.get("provenance", {})).items():
            self.assertEqual(getattr(result, name), value, f"{where}: {name}")


if __name__ == "__main__":
    unittest.main()
