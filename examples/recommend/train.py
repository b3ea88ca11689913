"""Factorises a matrix of synthetic ratings and writes model.onnx beside this file: who would rate what, and how.

No person is behind any rating: they are drawn from hidden tastes plus noise, as `invent_ratings` says. The same versions of
the packages (scripts/python/train.txt) on the same kind of processor give the same bytes.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
USERS, ITEMS = 400, 300
FACTORS = 8
RATINGS_PER_USER = 60
LIKED = 4.0
CANDIDATES, TOP = 50, 5


def invent_ratings(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, items and ratings from 1 to 5 in steps of a half, from tastes in five hidden genres and noise of 0.5."""
    genres = 5
    tastes = rng.normal(0, 0.55, (USERS, genres))
    traits = rng.normal(0, 0.7, (ITEMS, genres))
    mild, good = rng.normal(0, 0.3, USERS), rng.normal(0, 0.4, ITEMS)
    users = np.repeat(np.arange(USERS), RATINGS_PER_USER)
    items = np.concatenate([rng.choice(ITEMS, RATINGS_PER_USER, replace=False) for _ in range(USERS)])
    ratings = 3.3 + mild[users] + good[items] + (tastes[users] * traits[items]).sum(1) + rng.normal(0, 0.5, len(users))
    return users, items, np.clip(np.rint(ratings * 2) / 2, 1, 5)


class Factors:
    """rating = mean + bias of the user + bias of the item + user vector . item vector, by alternating least squares."""

    def __init__(self, rng: np.random.Generator, users: np.ndarray, items: np.ndarray, ratings: np.ndarray) -> None:
        self.mean = ratings.mean()
        # The last column is the bias, which is solved along with the vector.
        self.user = np.concatenate([rng.normal(0, 0.1, (USERS, FACTORS)), np.zeros((USERS, 1))], axis=1)
        self.item = np.concatenate([rng.normal(0, 0.1, (ITEMS, FACTORS)), np.zeros((ITEMS, 1))], axis=1)
        for _ in range(15):
            solve(self.user, users, self.item, items, ratings - self.mean)
            solve(self.item, items, self.user, users, ratings - self.mean)


def solve(own: np.ndarray, own_ids: np.ndarray, other: np.ndarray, other_ids: np.ndarray, ratings: np.ndarray, penalty: float = 4.0) -> None:
    """The best vector and bias of each row of `own`, the other side held as it is."""
    for row in range(len(own)):
        mine = np.flatnonzero(own_ids == row)
        theirs = other[other_ids[mine]]
        known = np.concatenate([theirs[:, :FACTORS], np.ones((len(mine), 1))], axis=1)
        left = known.T @ known + penalty * np.eye(FACTORS + 1)
        own[row] = np.linalg.solve(left, known.T @ (ratings[mine] - theirs[:, FACTORS]))


def export(factors: Factors) -> onnx.ModelProto:
    """scores[n, m] = user_bias[n] + item_bias[items[n, m]] + user_vectors[user[n]] . item_vectors[items[n, m]]"""
    weights = {
        "user_vectors": factors.user[:, :FACTORS],
        "item_vectors": factors.item[:, :FACTORS],
        "user_bias": factors.user[:, FACTORS:] + factors.mean,
        "item_bias": factors.item[:, FACTORS],
    }
    initializers = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    initializers.append(numpy_helper.from_array(np.array([2], np.int64), "last"))
    nodes = [
        helper.make_node("Gather", ["user_vectors", "user"], ["whose"]),
        helper.make_node("Gather", ["item_vectors", "items"], ["which"]),
        # [N, M, F] x [N, F, 1]: every candidate with the one user of its row.
        helper.make_node("Unsqueeze", ["whose", "last"], ["column"]),
        helper.make_node("MatMul", ["which", "column"], ["products"]),
        helper.make_node("Squeeze", ["products", "last"], ["match"]),
        helper.make_node("Gather", ["user_bias", "user"], ["mildness"]),
        helper.make_node("Gather", ["item_bias", "items"], ["appeal"]),
        helper.make_node("Add", ["match", "appeal"], ["liking"]),
        helper.make_node("Add", ["liking", "mildness"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "recommend",
        [helper.make_tensor_value_info("user", TensorProto.INT64, ["N"]), helper.make_tensor_value_info("items", TensorProto.INT64, ["N", "M"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", "M"])],
        initializers,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="examples/recommend/train.py")
    onnx.checker.check_model(made)
    return made


def main() -> None:
    rng = np.random.default_rng(7)
    users, items, ratings = invent_ratings(rng)
    held_out = rng.random(len(ratings)) < 0.2
    kept = ~held_out
    factors = Factors(rng, users[kept], items[kept], ratings[kept])
    path = HERE / "model.onnx"
    path.write_bytes(export(factors).SerializeToString(deterministic=True))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def scores(user: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        return session.run(None, {"user": user, "items": candidates})[0]

    truth = ratings[held_out]
    predicted = scores(users[held_out], items[held_out][:, None])[:, 0]
    average = np.array([ratings[kept & (items == item)].mean() for item in range(ITEMS)])[items[held_out]]
    print(f"{USERS} users, {ITEMS} items, {kept.sum()} ratings to learn from, {held_out.sum()} held out")
    print(f"RMSE {rmse(truth, predicted):.4f} (always the mean: {rmse(truth, ratings[kept].mean()):.4f}, the mean of the item: {rmse(truth, average):.4f})")

    # One item that a user liked, among others that the user never rated: how often is it one of the first five?
    tries = np.flatnonzero(held_out & (ratings >= LIKED))
    candidates = np.stack([np.append(rng.choice(np.setdiff1d(np.arange(ITEMS), items[users == users[index]]), CANDIDATES - 1, replace=False), items[index]) for index in tries])
    order = np.argsort(-scores(users[tries], candidates), axis=1, kind="stable")
    hits = (order[:, :TOP] == CANDIDATES - 1).any(1).mean()
    print(f"hit rate: {hits:.4f} of {len(tries)} liked items are among the first {TOP} of {CANDIDATES} candidates (chance: {TOP / CANDIDATES:.4f})")

    for user, asked in ((3, range(1, 13)), (42, range(100, 300, 25)), (0, (5, 250, 17))):
        asked = np.array([asked])
        (values,) = scores(np.array([user]), asked)
        best = np.argsort(-values, kind="stable")[:TOP]
        print(f"user {user}, items {asked[0].tolist()} ->", ", ".join(f"{asked[0, index]}: {values[index]:.6f}" for index in best))


def rmse(truth: np.ndarray, predicted: np.ndarray | float) -> float:
    return float(np.sqrt(np.mean((truth - predicted) ** 2)))


if __name__ == "__main__":
    main()
