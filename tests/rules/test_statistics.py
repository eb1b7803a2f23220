from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogitate.rules.statistics import (
    bootstrap,
    expanded_tail,
    holm,
    mcnemar,
    paired_bootstrap,
    pass_at_k,
    permutation_test,
    quantile,
    ratio_bootstrap,
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


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), max_size=8))
def test_permutation_equals_enumeration(differences):
    signs = itertools.product((1, -1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(sign, differences, strict=True))) for sign in signs]
    exact = sum(s >= abs(sum(differences)) - 1e-12 for s in sums) / len(sums)
    assert permutation_test(differences, 0) == pytest.approx(exact)


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=12))
def test_permutation_of_binary_answers_is_mcnemar(differences):
    first, second = [d > 0 for d in differences], [d < 0 for d in differences]
    assert permutation_test(differences, 0) == pytest.approx(mcnemar(first, second).p)


def test_permutation_by_random_signs_agrees_with_the_exact_one():
    draw = random.Random(2)
    differences = [draw.choice([-1.0, 1.0, 1.0]) for _ in range(30)]
    exact = mcnemar([d > 0 for d in differences], [d < 0 for d in differences]).p
    sampled = permutation_test(differences, 1, draws=4000)
    assert abs(sampled - exact) < 4 * (exact * (1 - exact) / 4000) ** 0.5 + 1 / 4000
    assert permutation_test([1.0] * 100, 0, draws=99) == 0.01  # never 0


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_lies_between_plain_and_bonferroni_and_keeps_the_order(values):
    adjusted = holm(values)
    for plain, wide in zip(values, adjusted, strict=True):
        assert plain <= wide <= min(1.0, plain * len(values)) + 1e-12
    order = sorted(range(len(values)), key=values.__getitem__)
    assert [adjusted[i] for i in order] == sorted(adjusted)


def test_expanded_percentiles_are_as_wide_as_student():
    from statistics import NormalDist

    for size, student in ((5, 2.7764), (10, 2.2622), (60, 2.0010)):
        wide = -NormalDist().inv_cdf(expanded_tail(size)) / (size / (size - 1)) ** 0.5
        assert wide == pytest.approx(student, rel=0.005)
    assert expanded_tail(2) == 0.0
    draw = random.Random(1)
    values = [draw.random() for _ in range(12)]
    wide, plain = bootstrap(values, 0, expanded=True), bootstrap(values, 0)
    assert wide.low < plain.low < plain.high < wide.high


def test_the_fast_bootstrap_is_the_plain_one():
    """Any other way of taking the mean resamples one by one, with the same random numbers."""
    draw = random.Random(1)
    values = [draw.random() for _ in range(30)]
    fast, slow = bootstrap(values, 4), bootstrap(values, 4, statistic=lambda v: sum(v) / len(v))
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high))


def test_a_ratio_of_costs_is_paired():
    draw = random.Random(1)
    below = [draw.uniform(1, 100) for _ in range(50)]
    above = [2 * b + draw.uniform(-0.1, 0.1) for b in below]
    found = ratio_bootstrap(above, below, 0)
    assert found.value == pytest.approx(2.0, abs=0.01)
    assert found.high - found.low < 0.01
    assert ratio_bootstrap([1.0], [0.0], 0).high == float("inf")


def test_a_quantile_of_infinities_is_no_nan():
    assert quantile([1.0, float("inf"), float("inf")], 0.9) == float("inf")
