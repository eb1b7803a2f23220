"""Intervals cover at the rate they state, in simulation; the repetitions tell 95 % from 90 %."""

from __future__ import annotations

import math
import random

import pytest

from cogitate.bench.metrics import Accuracy, bootstrapped, paired, share
from cogitate.rules import chance
from cogitate.rules.statistics import expanded_tail, permutation_test, quantile, wilson

numpy = pytest.importorskip("numpy")


def covered(held: float, runs: int, rate: float = 0.95, slack: float = 0.0) -> bool:
    """Whether a share of runs agrees with the rate, within four standard errors of so many runs, and the slack."""
    error = 4 * (rate * (1 - rate) / runs) ** 0.5
    return rate - slack - error <= held <= min(1.0, rate + slack + error)


def test_enough_runs_tell_95_from_90():
    assert not covered(0.90, 4000, slack=0.012)
    assert covered(0.945, 4000, slack=0.012)


@pytest.mark.parametrize("n", [20, 60, 200])
def test_wilson_covers_for_binary_answers(n):
    """The exact rate, by summing over all outcomes: it swings with the truth, because counts are whole."""
    intervals = [wilson(k, n) for k in range(n + 1)]
    rates = []
    for truth in [i / 40 for i in range(2, 39)]:
        chances = [math.comb(n, k) * truth**k * (1 - truth) ** (n - k) for k in range(n + 1)]
        rates.append(
            sum(c for c, interval in zip(chances, intervals, strict=True) if truth in interval)
        )
    assert 0.945 <= sum(rates) / len(rates) <= 0.96
    assert min(rates) > 0.92


def simulated_bootstrap(draw, n, runs, resamples=1000):
    """The rate at which a bootstrap over n questions covers 0, and the plain percentiles beside it."""
    state = numpy.random.RandomState(1)
    tails = (expanded_tail(n), 0.025)
    hits = [0, 0]
    for run in range(runs):
        values = draw(state, n)
        means = numpy.sort(chance.resampled_means([values.tolist()], run % 7, resamples)[0])
        for i, tail in enumerate(tails):
            low, high = quantile(means, tail), quantile(means, 1 - tail)
            hits[i] += low <= 0 <= high
    return [h / runs for h in hits]


def fractional(state, n):
    """The share of 8 samples that is right, for questions of very different difficulty, less its mean."""
    return state.binomial(8, state.beta(0.8, 0.8, n)) / 8 - 0.5


def difference(state, n):
    """The paired difference of two shares on the same questions; truly 0 on average."""
    hard = state.beta(0.8, 0.8, n)
    return (state.binomial(4, hard) - state.binomial(4, hard)) / 4


@pytest.mark.parametrize("draw", [fractional, difference])
def test_the_bootstrap_over_questions_covers(draw):
    runs = 1500
    expanded, _ = simulated_bootstrap(draw, 60, runs, resamples=500)
    assert covered(expanded, runs, slack=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("draw", [fractional, difference])
@pytest.mark.parametrize("n", [15, 60, 120])
def test_the_bootstrap_covers_at_its_rate(draw, n):
    runs = 5000
    expanded, plain = simulated_bootstrap(draw, n, runs)
    assert covered(expanded, runs, slack=0.006)
    if n == 15:  # what the wider percentiles are for
        assert plain < 0.935 < expanded


@pytest.mark.slow
def test_the_whole_way_covers_for_binary_and_fractional_values():
    """Through the functions that reports use, at the number of questions of the packaged pool."""
    state = numpy.random.RandomState(2)
    runs, n = 800, 60
    hits = dict.fromkeys(("wilson", "bootstrap", "paired"), 0)
    for run in range(runs):
        hard = state.beta(2, 2, n)
        binary = (state.random_sample(n) < hard).astype(float).tolist()
        shares = (state.binomial(8, hard) / 8).tolist()
        other = (state.binomial(8, hard) / 8).tolist()
        hits["wilson"] += 0.5 in share(Accuracy, binary, run % 5)
        hits["bootstrap"] += 0.5 in bootstrapped(Accuracy, shares, run % 5)
        hits["paired"] += 0.0 in paired(shares, other, run % 5)
    for name, held in hits.items():
        assert covered(held / runs, runs, slack=0.012), (name, held / runs)


def test_a_ninety_percent_interval_would_be_caught():
    """The guard itself: a deliberately narrow interval fails it."""
    state = numpy.random.RandomState(3)
    runs, held = 1500, 0
    for run in range(runs):
        means = sorted(chance.resampled_means([fractional(state, 60).tolist()], run % 7, 500)[0])
        held += quantile(means, 0.05) <= 0 <= quantile(means, 0.95)
    assert not covered(held / runs, runs, slack=0.005)


def test_the_permutation_test_holds_its_level():
    state = numpy.random.RandomState(4)
    runs = 600
    found = [
        permutation_test(difference(state, 40).tolist(), run, draws=399) for run in range(runs)
    ]
    rejected = sum(p <= 0.05 for p in found) / runs
    assert 0.02 <= rejected <= 0.085
    shifted = [
        permutation_test((difference(state, 40) + 0.3).tolist(), run, draws=399)
        for run in range(40)
    ]
    assert sum(p <= 0.05 for p in shifted) >= 38


def test_numpy_changes_the_speed_and_not_the_numbers(monkeypatch):
    draw = random.Random(0)
    columns = [[draw.random() for _ in range(23)] for _ in range(2)]
    fast = (
        chance.resampled_means(columns, 5, 40),
        chance.flipped_sums(columns[0], 5, 40),
        chance.shuffles(23, 5, 40),
    )
    monkeypatch.setattr(chance, "numpy_or_none", lambda: None)
    slow = (
        chance.resampled_means(columns, 5, 40),
        chance.flipped_sums(columns[0], 5, 40),
        chance.shuffles(23, 5, 40),
    )
    assert fast[0] == [pytest.approx(c) for c in slow[0]]
    assert fast[1] == pytest.approx(slow[1])
    assert fast[2] == slow[2]
