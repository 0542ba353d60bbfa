#!/usr/bin/env python3
"""Writes statistics.json: what SciPy and NumPy make of the times that engine/measure/statistics.hpp is tested with.

    keras/bin/python tests/golden/golden_statistics.py

A bootstrap draws at random: its interval is written as SciPy's over 200,000 draws, and with it the spread of its ends over
20 runs of as many draws as the engine makes, which the test allows.
"""

import pathlib

import numpy as np
import scipy
from scipy import stats

import text_file

DRAWS = 10_000


def trtexec_percentile(times, p):
    ascending = sorted(times)
    share = np.float32(1) - np.float32(p) / np.float32(100)  # its arithmetic is float32
    return ascending[max(len(ascending) - 1 - int(share * np.float32(len(ascending))), 0)]


def ratio(a, b, axis=-1):
    return np.median(a, axis=axis) / np.median(b, axis=axis)


def interval(a, b, draws, seed):
    found = stats.bootstrap((a, b), ratio, n_resamples=draws, method="percentile", vectorized=True, batch=1000,
                            random_state=np.random.default_rng(seed)).confidence_interval
    return [found.low, found.high]


def case(name, a, b):
    a, b = np.round(a, 4), np.round(b, 4)
    repeated = np.array([interval(a, b, DRAWS, seed) for seed in range(20)])
    return {
        "name": name, "a": a, "b": b,
        "percentiles": [[p, trtexec_percentile(a, p)] for p in (0, 10, 50, 90, 95, 99, 100)],
        "median": np.median(a), "relative_iqr": stats.iqr(a) / np.median(a),
        "interval": interval(a, b, 200_000, 99),
        "interval_spread": (repeated.max(axis=0) - repeated.min(axis=0)),
        "p": stats.mannwhitneyu(a, b, alternative="two-sided").pvalue,
    }


def main():
    random = np.random.default_rng(2026)
    nine = random.normal(10, 0.2, 9)
    cases = [
        case("nine against nine, apart", nine, random.normal(11, 0.2, 9)),
        case("nine against nine, alike", nine, random.normal(10, 0.2, 9)),
        case("small samples are counted exactly", random.normal(5, 1, 4), random.normal(6, 1, 7)),
        case("eight against twenty", random.normal(5, 1, 8), random.normal(5.5, 1, 20)),
        case("ties", np.round(random.normal(10, 1, 12)), np.round(random.normal(11, 1, 9))),
        case("small samples with ties", np.array([1.0, 2, 2, 3]), np.array([2.0, 3, 3, 4, 5])),
        case("long tails", random.lognormal(0, 1, 100), random.lognormal(0.2, 1, 77)),
        case("even number of times", random.normal(3, 0.5, 10), random.normal(3, 0.4, 10)),
    ]
    path = pathlib.Path(__file__).parent / "statistics.json"
    text_file.write(path, text_file.encode({"scipy": scipy.__version__, "draws": DRAWS, "cases": cases}))


if __name__ == "__main__":
    main()
