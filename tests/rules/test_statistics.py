from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogitate.rules.statistics import (
    bootstrap,
    mcnemar,
    paired_bootstrap,
    pass_at_k,
    wilson,
)


@given(
    st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n)))
)
def test_pass_at_k_equals_enumeration(case):
    n, correct, k = case
    subsets = list(itertools.combinations(range(n), k))
    share = sum(any(i < correct for i in s) for s in subsets) / len(subsets)
    assert pass_at_k(n, correct, k) == pytest.approx(share)


def test_pass_at_k_refuses_what_the_pool_cannot_say():
    with pytest.raises(ValueError, match="pass@5"):
        pass_at_k(4, 1, 5)
    with pytest.raises(ValueError, match="5 correct of 4"):
        pass_at_k(4, 5, 1)


def test_pass_at_k_of_a_large_pool_is_stable():
    assert pass_at_k(10_000, 1, 100) == pytest.approx(0.01)
    assert pass_at_k(10_000, 9_999, 2) == 1.0


@pytest.mark.parametrize("truth", [0.05, 0.3, 0.5, 0.9])
def test_wilson_covers_in_simulation(truth):
    draw = random.Random(7)
    trials = 3000
    held = sum(
        truth in wilson(sum(draw.random() < truth for _ in range(40)), 40) for _ in range(trials)
    )
    assert 0.925 <= held / trials <= 0.99


def test_wilson_known_answer():
    interval = wilson(50, 100)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.4038, 0.5962)
    assert wilson(10, 10).high == 1.0
    assert wilson(0, 0).low == 0.0


def test_bootstrap_covers_the_mean_and_is_seeded():
    draw = random.Random(3)
    held = 0
    for run in range(200):
        values = [draw.gauss(1.0, 2.0) for _ in range(40)]
        held += 1.0 in bootstrap(values, run, draws=200)
    assert 0.88 <= held / 200 <= 0.99
    values = [draw.random() for _ in range(10)]
    assert bootstrap(values, 1, draws=100) == bootstrap(values, 1, draws=100)
    assert bootstrap(values, 1, draws=100) != bootstrap(values, 2, draws=100)


def test_pairing_sees_what_two_separate_intervals_do_not():
    draw = random.Random(5)
    hard = [float(draw.random() < 0.5) for _ in range(200)]
    better = [max(h, float(draw.random() < 0.1)) for h in hard]
    paired = paired_bootstrap(better, hard, 0, draws=500)
    assert paired.low > 0
    assert bootstrap(better, 0, draws=500).low < bootstrap(hard, 0, draws=500).high


def test_mcnemar_counts_disagreements_only():
    first = [True] * 8 + [False] * 2 + [True] * 50
    second = [False] * 8 + [True] * 2 + [True] * 50
    test = mcnemar(first, second)
    assert (test.only_first, test.only_second) == (8, 2)
    assert test.p == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert mcnemar([True], [True]).p == 1.0


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(0, 2**32))
def test_mcnemar_is_symmetric(n, seed):
    draw = random.Random(seed)
    a, b = [draw.random() < 0.5 for _ in range(n)], [draw.random() < 0.5 for _ in range(n)]
    assert mcnemar(a, b).p == mcnemar(b, a).p <= 1.0
