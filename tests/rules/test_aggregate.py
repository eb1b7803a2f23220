from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules.aggregate import AGGREGATES, NORMALISATIONS, aggregate, normalised

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


@given(scores, st.sampled_from(NORMALISATIONS), st.randoms())
def test_every_rule_keeps_order_and_forgets_places(values, how, rng):
    out = normalised(values, how)
    assert all(map(math.isfinite, out))
    for i, a in enumerate(values):
        for j, b in enumerate(values):
            if a <= b:
                assert out[i] <= out[j]
    order = list(range(len(values)))
    rng.shuffle(order)
    assert normalised([values[i] for i in order], how) == [out[i] for i in order]


@given(st.floats(-1e6, 1e6), st.integers(1, 9), st.sampled_from(NORMALISATIONS))
def test_equal_values_stay_equal(value, count, how):
    assert len(set(normalised([value] * count, how))) == 1


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=8))
def test_sigmoid_and_softmax_by_their_formulas(values):
    wanted = [1 / (1 + math.exp(-v)) for v in values]
    assert normalised(values, "sigmoid") == pytest.approx(wanted)
    total = sum(math.exp(v) for v in values)
    assert normalised(values, "softmax") == pytest.approx([math.exp(v) / total for v in values])
    assert math.isclose(sum(normalised(values, "softmax")), 1)
    assert normalised([-1e300, 1e300], "sigmoid")[1] == 1.0
