from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules.aggregate import AGGREGATES, aggregate, normalised

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=12)
scores = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12)


def test_hand_cases():
    steps = [0.5, 0.2, 0.8]
    assert [round(aggregate(steps, rule), 6) for rule in AGGREGATES] == [0.8, 0.2, 0.5, 0.08, 1.5]


@pytest.mark.parametrize("rule", AGGREGATES)
def test_a_solution_without_steps_is_below_every_probability(rule):
    assert aggregate([], rule) == -1.0
    assert aggregate([], rule, empty=0.5) == 0.5


@given(probabilities)
def test_least_is_at_most_mean_and_last_reads_only_the_last(steps):
    assert aggregate(steps, "min") <= aggregate(steps, "mean") <= max(steps)
    assert aggregate(steps, "last") == aggregate([0.123, *steps[-1:]], "last")


@given(scores, st.sampled_from(["rank", "min_max", "z"]))
def test_normalising_keeps_the_order_and_its_range(values, how):
    out = normalised(values, how)
    for i, a in enumerate(values):
        for j, b in enumerate(values):
            if a == b:
                assert out[i] == out[j]
            if a < b:
                assert out[i] <= out[j]
            if how == "rank":
                assert (a < b) == (out[i] < out[j])
    if how == "min_max":
        assert min(out) >= 0
        assert max(out) == 1
    if how == "rank":
        assert 0 < min(out) <= max(out) <= 1
        assert math.isclose(sum(out), (len(out) + 1) / 2)
    if how == "z":
        assert abs(sum(out)) < 1e-6 * len(out)


def test_equal_values_normalise_to_a_constant():
    assert normalised([3.0, 3.0], "z") == [0.0, 0.0]
    assert normalised([3.0, 3.0], "min_max") == [1.0, 1.0]
    assert normalised([], "rank") == []
