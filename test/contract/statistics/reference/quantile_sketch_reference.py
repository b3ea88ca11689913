"""Makes quantile_sketch.json: python quantile_sketch_reference.py > quantile_sketch.json

The sketches of datasketches draw their bits anew in each run: their errors differ from run to run, and their averages little.
"""

import json
import sys
from importlib.metadata import version

import datasketches
import numpy

K, N, POINTS = 200, 20_000, 500
SEEDS = list(range(1, 26))


def uniform(seed):
    """Of a linear congruential generator that has the same values in any language."""
    state, values = seed, []
    for _ in range(N):
        state = (1664525 * state + 1013904223) % 2**32
        values.append(state / 2**32)
    return values


def bell(u):
    return [u[i] + u[(i + 1) % N] + u[(i + 2) % N] + u[(i + 3) % N] - 2 for i in range(N)]


SHAPES = {
    "uniform": lambda u: u,
    "bell": bell,
    "tail": lambda u: [1 / (1 - x) for x in u],
    "rounded": lambda u: [int(50 * x) for x in u],
    "ascending": sorted,
    "descending": lambda u: sorted(u, reverse=True),
    "waves": lambda u: [x + i // 1000 % 10 for i, x in enumerate(u)],
}


def errors(values):
    """The errors of ranks at places that are spread evenly over the sorted values: the largest, and the largest difference of two."""
    sketch = datasketches.kll_doubles_sketch(K)
    sketch.update(numpy.array(values, dtype=float))
    ordered = numpy.sort(values)
    at = numpy.unique(ordered[[(2 * i + 1) * N // (2 * POINTS) for i in range(POINTS)]]).astype(float)
    exact = numpy.searchsorted(ordered, at, side="right") / N
    found = numpy.array(sketch.get_cdf(at, True)[: len(at)])
    off = found - exact
    return float(numpy.abs(off).max()), float(max(off.max(), 0) - min(off.min(), 0))


out = {
    "from": f"datasketches {version('datasketches')}, numpy {numpy.__version__}, Python {sys.version.split()[0]}",
    "k": K,
    "n": N,
    "points": POINTS,
    "seeds": SEEDS,
    "rankError": datasketches.kll_doubles_sketch.get_normalized_rank_error(K, False),
    "shareError": datasketches.kll_doubles_sketch.get_normalized_rank_error(K, True),
    "shapes": {},
}
for name, shape in SHAPES.items():
    found = [errors(shape(uniform(seed))) for seed in SEEDS]
    first = shape(uniform(SEEDS[0]))
    ordered = numpy.sort(first)
    ranks = [[float(x), int(numpy.searchsorted(ordered, x, side="right"))] for x in first[:: N // 5]]
    out["shapes"][name] = {
        "ranks": ranks,
        "worst": [round(worst, 6) for worst, _ in found],
        "spread": [round(spread, 6) for _, spread in found],
    }
json.dump(out, sys.stdout)
