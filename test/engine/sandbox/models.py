"""Writes models of scikit-learn as MLflow does, and files that are none, into a folder; prints what the models answer."""

import json
import os
import pickle
import sys
from pathlib import Path

import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectFromModel, SelectKBest, f_classif
from sklearn.feature_selection._base import _get_feature_importances
from sklearn.metrics import f1_score, make_scorer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

folder = Path(sys.argv[1])


def save(name, model, question, answer, **options):
    signature = infer_signature(question, answer)
    mlflow.sklearn.save_model(model, folder / name, signature=signature, pip_requirements=[], **options)


digits, labels = load_digits(return_X_y=True)
forest = RandomForestClassifier(8, random_state=0).fit(digits, labels)
save("digits", forest, digits, forest.predict(digits), serialization_format="cloudpickle")
save("skops", forest, digits, forest.predict(digits), serialization_format="skops", skops_trusted_types=["sklearn.tree._tree.Tree"])
save("shares", forest, digits, forest.predict_proba(digits), serialization_format="pickle", pyfunc_predict_fn="predict_proba")
rows = pd.DataFrame({"age": [1.0, 2.0, 3.0, 4.0], "plan": ["a", "b", "a", "b"]})
scaled = ColumnTransformer([("n", make_pipeline(FunctionTransformer(np.log1p), StandardScaler()), ["age"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["plan"])])
bill = make_pipeline(scaled, LinearRegression()).fit(rows, [1.0, 2.5, 3.0, 4.5])
save("bill", bill, rows, bill.predict(rows), serialization_format="cloudpickle")
texts = ["good day", "bad day", "good night", "bad night"] * 5
said = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, np.array(["yes", "no"] * 10))
save("texts", said, texts, said.predict(texts), serialization_format="pickle")
# Given a table, it would read the names of the columns.
save("frame", said, pd.DataFrame({"text": texts}), said.predict(texts), serialization_format="pickle")
mlflow.sklearn.save_model(forest, folder / "unsigned", pip_requirements=[], serialization_format="pickle")


class Calls:
    """What it is made of is a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile(name, thing):
    """As `digits`, with another file."""
    target = folder / name
    target.mkdir()
    (target / "MLmodel").write_text((folder / "digits" / "MLmodel").read_text())
    (target / "model.pkl").write_bytes(thing if isinstance(thing, bytes) else pickle.dumps(thing))


hostile("system", Calls(os.system, f"touch {folder}/was-here"))
hostile("eval", Calls(eval, f"open('{folder}/was-here', 'w')"))
hostile("import", Calls(__import__, "antigravity"))
hostile("datasets", Calls(__import__("sklearn.datasets", fromlist=["x"]).fetch_openml, "adult"))
hostile("memmap", Calls(np.memmap, f"{folder}/was-here", "uint8", "w+", 0, 4))
# A name with a dot reaches into an object: sklearn.base has imported numpy as np, and numpy everything.
hostile("dotted", b"\x80\x04\x8c\x0csklearn.base\x8c\x11np.f2py.os.system\x93\x8c\x04true\x85R.")
# Of a package that has the class from elsewhere.
hostile("borrowed", b"\x80\x04\x8c\x0csklearn.base\x8c\x0bdefaultdict\x93)R.")
hostile("huge", Calls(bytearray, 1 << 34))
hostile("addresses", Calls(np.ndarray, (1,), "O", b"A" * 8))
hostile("runs", b"\x80\x04\x8c\x13numpy.f2py.__main__\x8c\x04main\x93)R.")
hostile("text", b"no pickle at all")
# A function that scikit-learn looks attributes up with, by a text with dots: to the globals of a method, and from there anywhere.
hostile("getter", Calls(_get_feature_importances, SelectKBest(), "fit.__globals__"))
hostile("called", Calls(f_classif, [[1.0], [2.0]], [0, 1]))
scorer = make_scorer(f1_score)
hostile("instance", b"\x80\x04" + pickle.dumps(scorer, 4)[2:-1] + b")R.")
selects = make_pipeline(SelectFromModel(LogisticRegression(), importance_getter="predict.__globals__"), LogisticRegression())
hostile("selects", selects)
# A state for a class is one for all who inherit from it.
hostile("mixin", b"\x80\x04\x8c\x0csklearn.base\x8c\x10TransformerMixin\x93N}\x8c\x0c__setstate__\x8c\x08builtins\x8c\x03int\x93s\x86b.")
hostile("score", b"\x80\x04\x8c\x1fsklearn.metrics._classification\x8c\x0eaccuracy_score\x93N}\x8c\x0c__defaults__)s\x86b.")
hostile("own", b"\x80\x04\x8c\x10sklearn.pipeline\x8c\x08Pipeline\x93)\x81}\x8c\x0c__setstate__\x8c\x08builtins\x8c\x03int\x93sb}b.")

forest.predict = None
hostile("list", [1, 2, 3])

answers = {
    "digits": RandomForestClassifier.predict(forest, digits[:50]).tolist(),
    "shares": forest.predict_proba(digits[:3]).tolist(),
    "rows": digits[:50].tolist(),
    "bill": bill.predict(pd.DataFrame({"age": [2.0, 7.5], "plan": ["b", "never seen"]})).tolist(),
}
print(json.dumps(answers))
