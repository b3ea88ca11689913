"""Makes scipy.json: python scipy_reference.py > scipy.json"""

import json
import sys

import numpy
import scipy
from scipy import special, stats

random = numpy.random.default_rng(11)
out = {"from": f"scipy {scipy.__version__}, numpy {numpy.__version__}, Python {sys.version.split()[0]}; numpy.random.default_rng(11)"}
out["logGamma"] = [[x, float(special.gammaln(x))] for x in [0.1, 0.5, 1, 1.5, 2, 3.7, 10, 123.4, 10000.25, 1e6]]
out["logBeta"] = [[a, b, float(special.betaln(a, b))] for a in [0.3, 1, 7.5, 400] for b in [0.2, 2, 55, 12345]]
out["normal"] = [[z, float(stats.norm.cdf(z))] for z in [-8, -4.5, -3, -1.96, -0.5, 0, 0.3, 1, 2.5, 4, 6]]
out["normalQuantile"] = [[p, float(stats.norm.ppf(p))] for p in [0.001, 0.025, 0.5, 0.8, 0.95, 0.9999]]

# A mixture of binomial likelihood ratios under one share: the same as of the event share, which is a binomial given all events.
factors = [1.1, 1.25, 1.45, 1.7, 2, 2.4, 3, 4, 6, 10, 20]
shares = [0.01, 0.03, 0.08, 0.18, 0.2, 0.12, 0.13, 0.15, 0.07, 0.02, 0.01]
out["worse"] = []
for w in [0.01, 0.05, 0.25, 0.5]:
    for ratio in [1, 1.1, 2]:
        for n in [10, 300, 4000]:
            k = int(random.binomial(n, min(0.99, 1.6 * w)))
            chance = lambda r: r * w / (r * w + 1 - w)
            under = stats.binom.logpmf(k, n, chance(ratio))
            logs = [numpy.log(s) + stats.binom.logpmf(k, n, chance(ratio * f)) - under for f, s in zip(factors, shares)]
            better = [numpy.log(s) + stats.binom.logpmf(k, n, chance(ratio / f)) - under for f, s in zip(factors, shares)]
            out["worse"].append([w, ratio, k, n, float(special.logsumexp(logs)), float(special.logsumexp(better))])

# Dirichlet-multinomial against multinomial: sample ratio mismatch.
out["mismatch"] = []
for w in [0.05, 0.5]:
    for n in [100, 10000, 1000000]:
        for off in [1, 1.05]:
            k = int(random.binomial(n, min(0.99, w * off)))
            mixed = stats.betabinom.logpmf(k, n, 10000 * w, 10000 * (1 - w))
            out["mismatch"].append([w, k, n - k, float(mixed - stats.binom.logpmf(k, n, w))])

out["twoProportion"] = []
for a, n, b, m in [(10, 1000, 20, 1000), (3, 100, 1, 200), (500, 10000, 480, 10000)]:
    pooled = (a + b) / (n + m)
    z = (b / m - a / n) / numpy.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    out["twoProportion"].append([a, n, b, m, float(stats.norm.sf(z))])
json.dump(out, sys.stdout)
