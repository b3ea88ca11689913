"""Makes sklearn.json: python sklearn_reference.py > sklearn.json"""

import json
import sys
import warnings

import numpy
import scipy
import sklearn
from scipy import stats
from sklearn import metrics

warnings.simplefilter("ignore")
random = numpy.random.default_rng(23)
out = {
    "from": f"scikit-learn {sklearn.__version__}, scipy {scipy.__version__}, numpy {numpy.__version__}, Python {sys.version.split()[0]}; numpy.random.default_rng(23)"
}


def ece(truth, predicted, probabilities, weights, bins=10):
    confidence = probabilities[numpy.arange(len(truth)), predicted]
    index = numpy.digitize(confidence, numpy.linspace(0, 1, bins + 1), right=True) - 1
    sums = [weights[index == b].sum() * abs(numpy.average(truth[index == b] == predicted[index == b], weights=weights[index == b]) - numpy.average(confidence[index == b], weights=weights[index == b])) for b in range(bins) if (index == b).any()]
    return float(sum(sums) / weights.sum())


def classification(rows, classes, decimals):
    truth = random.integers(0, classes, rows)
    logits = random.normal(0, 1, (rows, classes)) + 1.2 * numpy.eye(classes)[truth]
    # Few decimals make ties, which a ROC curve has to share out.
    probabilities = numpy.round(numpy.exp(logits) / numpy.exp(logits).sum(1, keepdims=True), decimals)
    probabilities[:, -1] = numpy.round(1 - probabilities[:, :-1].sum(1), decimals)
    probabilities = numpy.clip(probabilities, 0, 1)
    probabilities /= probabilities.sum(1, keepdims=True)
    predicted = probabilities.argmax(1)
    weights = numpy.round(random.uniform(0.5, 3, rows), 2)
    found = {}
    for name, w in [("plain", numpy.ones(rows)), ("weighted", weights)]:
        of = {"accuracy": metrics.accuracy_score(truth, predicted, sample_weight=w)}
        for metric in ["precision", "recall", "f1"]:
            score = getattr(metrics, f"{metric}_score")
            of[metric] = score(truth, predicted, average="macro", sample_weight=w, zero_division=0)
            of[f"{metric}PerClass"] = score(truth, predicted, average=None, sample_weight=w, zero_division=0).tolist()
        of["logLoss"] = metrics.log_loss(truth, probabilities, sample_weight=w, labels=list(range(classes)))
        if classes == 2:
            of["rocAuc"] = metrics.roc_auc_score(truth, probabilities[:, 1], sample_weight=w)
            of["brier"] = metrics.brier_score_loss(truth, probabilities[:, 1], sample_weight=w)
        else:
            # One-vs-rest by hand: scikit-learn takes weights for two classes only.
            of["rocAuc"] = float(numpy.mean([metrics.roc_auc_score(truth == k, probabilities[:, k], sample_weight=w) for k in range(classes)]))
            of["brier"] = metrics.brier_score_loss(truth, probabilities, sample_weight=w, labels=list(range(classes)))
        of["ece"] = ece(truth, predicted, probabilities, w)
        found[name] = of
    return {
        "classes": classes,
        "truth": truth.tolist(),
        "predicted": predicted.tolist(),
        "probabilities": probabilities.ravel().tolist(),
        "weights": weights.tolist(),
        **found,
    }


out["classification"] = [classification(150, 2, 2), classification(150, 4, 2), classification(60, 3, 6)]

truth = numpy.round(random.normal(5, 3, 120), 3)
predicted = numpy.round(truth + random.normal(0.2, 1, 120), 3)
weights = numpy.round(random.uniform(0.5, 3, 120), 2)
regression = {"truth": truth.tolist(), "predicted": predicted.tolist(), "weights": weights.tolist()}
for name, w in [("plain", numpy.ones(120)), ("weighted", weights)]:
    regression[name] = {
        "mae": metrics.mean_absolute_error(truth, predicted, sample_weight=w),
        "rmse": metrics.root_mean_squared_error(truth, predicted, sample_weight=w),
        "r2": metrics.r2_score(truth, predicted, sample_weight=w),
        "meanError": float(numpy.average(predicted - truth, weights=w)),
    }
out["regression"] = regression

# b rows that only the first has wrong, c that only the second has.
out["mcnemar"] = []
for b, c in [(0, 0), (0, 5), (3, 9), (10, 10), (25, 12), (140, 100), (1200, 1100)]:
    test = stats.binomtest(b, b + c, 0.5) if b + c > 0 else None
    ci = test.proportion_ci(0.95, "exact") if test else None
    out["mcnemar"].append([b, c, test.pvalue if test else 1, float(ci.low) if ci else 0, float(ci.high) if ci else 0])

# Lower end of the score interval of a paired difference, by maximising the restricted likelihood numerically instead of by a formula.
from scipy.optimize import brentq, minimize_scalar


def score(better, worse, rows, difference):
    # p_better - p_worse = difference; the rest of the rows agree.
    def loss(against):
        parts = [(better, against + difference), (worse, against), (rows - better - worse, 1 - 2 * against - difference)]
        return -sum(n * numpy.log(p) for n, p in parts if n > 0)

    low, high = max(0, -difference), (1 - difference) / 2
    against = minimize_scalar(loss, bounds=(low + 1e-12, high - 1e-12), method="bounded", options={"xatol": 1e-14}).x
    return (better - worse - rows * difference) / numpy.sqrt(rows * (2 * against + difference * (1 - difference)))


out["tango"] = []
for better, worse, rows in [(9, 21, 300), (21, 9, 300), (5, 5, 60), (1, 14, 120), (140, 150, 2000)]:
    z = stats.norm.ppf(0.975)
    low = brentq(lambda d: score(better, worse, rows, d) - z, -0.999 + 0.5, (better - worse) / rows - 1e-9, xtol=1e-13)
    out["tango"].append([better, worse, rows, float(low)])

out["quantiles"] = []
values = numpy.round(random.normal(0, 1, 37), 4)
for p in [0, 0.025, 0.31, 0.5, 0.975, 1]:
    out["quantiles"].append([p, float(numpy.quantile(values, p))])
out["quantilesOf"] = values.tolist()


def difference_of(metric):
    return lambda t, a, b, axis=-1: metric(t, a) - metric(t, b)


first, second = numpy.round(truth + random.normal(0, 1, 120), 3), numpy.round(truth + random.normal(0, 1.3, 120), 3)
ci = stats.bootstrap(
    (numpy.abs(second - truth) - numpy.abs(first - truth),), numpy.mean, n_resamples=100_000, method="percentile", rng=numpy.random.default_rng(5)
).confidence_interval
out["bootstrap"] = {"truth": truth.tolist(), "candidate": first.tolist(), "champion": second.tolist(), "low": float(ci.low), "high": float(ci.high)}

json.dump(out, sys.stdout)
