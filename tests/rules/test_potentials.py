from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules import POTENTIALS, Trace, potential

SCORES = st.lists(st.floats(-5, 5), min_size=1, max_size=10)


def trace(scores: list[float]) -> Trace:
    past = Trace.first(scores[0])
    for score in scores[1:]:
        past = past.then(score)
    return past


@given(SCORES)
def test_potentials_by_their_formulas(scores: list[float]) -> None:
    past = trace(scores)
    assert potential(past, "value") == scores[-1]
    assert potential(past, "max") == max(scores)
    assert potential(past, "sum") == pytest.approx(math.fsum(scores), abs=1e-9)
    assert potential(past, "diff") == scores[-1]  # never weighed: the score itself


@given(SCORES, st.data())
def test_gains_add_up_to_the_last_score_whenever_it_is_weighed(
    scores: list[float], data: st.DataObject
) -> None:
    past, weight = Trace.first(scores[0]), 0.0
    for score in [*scores[1:], None]:
        if score is None or data.draw(st.booleans()):
            weight += potential(past, "diff")
            past = past.weighed()
        if score is not None:
            past = past.then(score)
    assert weight == pytest.approx(scores[-1], abs=1e-9)


@given(SCORES, st.floats(-3, 3))
def test_gains_ignore_a_shift_of_the_whole_past(scores: list[float], shift: float) -> None:
    def gain(by: float) -> float:
        past = Trace.first(scores[0] + by).weighed()
        for score in scores[1:]:
            past = past.then(score + by)
        return potential(past, "diff")

    assert gain(shift) == pytest.approx(gain(0.0), abs=1e-9)


def test_one_score_means_the_same_to_all() -> None:
    assert {potential(Trace.first(0.7), kind) for kind in POTENTIALS} == {0.7}
