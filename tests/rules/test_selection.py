from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules.selection import order, sample_k, softmax, top_k, top_k_spread

values = st.lists(st.floats(-50, 50) | st.just(-math.inf) | st.just(math.nan), max_size=12)


@given(values, st.integers(0, 14))
def test_selection_is_a_subset_of_the_best(scores, k):
    kept = top_k(scores, k)
    assert len(kept) == len(set(kept)) == min(k, len(scores))
    assert set(kept) <= set(range(len(scores)))
    lost = [scores[i] for i in range(len(scores)) if i not in kept and not math.isnan(scores[i])]
    assert all(scores[i] >= max(lost, default=-math.inf) for i in kept if not math.isnan(scores[i]))


def test_ties_are_stable_and_nan_is_last():
    assert order([1.0, math.nan, 1.0, -math.inf, 2.0]) == [4, 0, 2, 3, 1]


@given(values, st.floats(0.0, 5.0))
def test_weights_normalise(scores, temperature):
    weights = softmax(scores, temperature)
    assert all(0 <= w <= 1 for w in weights)
    if weights:
        assert math.isclose(sum(weights), 1.0)
    for value, weight in zip(scores, weights, strict=True):
        if any(math.isfinite(s) for s in scores) and not math.isfinite(value):
            assert weight == 0


def test_softmax_known_answer_and_its_limits():
    assert softmax([0.0, math.log(3)]) == pytest.approx([0.25, 0.75])
    assert softmax([1.0, 2.0, 2.0], 0.0) == [0.0, 0.5, 0.5]
    assert softmax([1e300, 0.0], 1e-3) == [1.0, 0.0]


@given(values, st.integers(0, 14), st.floats(0.0, 5.0), st.integers(0, 2**31))
def test_samples_are_distinct_and_seeded(scores, k, temperature, seed):
    kept = sample_k(scores, k, temperature, seed)
    assert len(kept) == len(set(kept)) == min(k, len(scores))
    assert kept == sample_k(scores, k, temperature, seed)
    drawn = [scores[i] for i in kept]
    seen_nothing = False
    for value in drawn:
        nothing = not math.isfinite(value)
        assert nothing or not seen_nothing, "what weighs nothing is drawn last"
        seen_nothing = nothing


def test_samples_follow_the_softmax():
    weights = softmax([0.0, 1.0, 2.0])
    counts = [0, 0, 0]
    for seed in range(6000):
        counts[sample_k([0.0, 1.0, 2.0], 1, 1.0, seed)[0]] += 1
    assert [c / 6000 for c in counts] == pytest.approx(weights, abs=0.025)


def test_a_group_is_capped():
    kept = top_k_spread([0.9, 0.8, 0.7, 0.6], "aaab", 3, per_group=2)
    assert kept == [0, 1, 3]
