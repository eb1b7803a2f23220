from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import InvalidInput
from cogitate.core.requests import Completion, TokenInfo
from cogitate.core.task import Task
from cogitate.drive import run
from cogitate.scorers import MeanLogprob, SelfCertainty
from cogitate.testing import FakeEngine

TASK = Task.of("?")


def scored(scorer, *pieces):
    [score] = run(scorer(TASK, [Artifact("x", completions=pieces)]), FakeEngine()).value
    return score


def top(*positions):
    return tuple(
        tuple(TokenInfo(str(i), math.log(p)) for i, p in enumerate(ps)) for ps in positions
    )


def test_self_certainty_by_hand():
    uniform = scored(SelfCertainty(), Completion("ab", top=top([0.2] * 5, [0.1] * 5)))
    assert uniform.value == pytest.approx(0.0, abs=1e-12)
    q = [0.7, 0.2, 0.1]
    expected = -sum(math.log(3 * p) for p in q) / 3
    assert scored(SelfCertainty(), Completion("a", top=top(q))).value == pytest.approx(expected)
    both = scored(
        SelfCertainty(), Completion("a", top=top(q)), Completion("b", top=top([0.5, 0.5]))
    )
    assert both.value == pytest.approx(expected / 2)


@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=8), st.floats(0.01, 1.0))
def test_certainty_is_never_negative_and_ignores_scale(weights, factor):
    one = scored(SelfCertainty(top=8), Completion("a", top=top(weights))).value
    other = scored(
        SelfCertainty(top=8), Completion("a", top=top([w * factor for w in weights]))
    ).value
    assert one >= 0
    assert one == pytest.approx(other, abs=1e-9)


def test_sharper_is_surer():
    sharp = scored(SelfCertainty(), Completion("a", top=top([0.97, 0.01, 0.01, 0.01])))
    blunt = scored(SelfCertainty(), Completion("a", top=top([0.4, 0.3, 0.2, 0.1])))
    assert sharp.value > blunt.value


def test_without_alternatives_it_is_unscored():
    for piece in (
        Completion("a"),
        Completion("a", top=top([1.0])),
        Completion("a", logprobs=(-1.0,)),
    ):
        assert isinstance(scored(SelfCertainty(), piece), Unscored)
    with pytest.raises(InvalidInput, match="top=1"):
        SelfCertainty(top=1)


def test_mean_logprob_over_all_pieces():
    score = scored(
        MeanLogprob(), Completion("a", logprobs=(-1.0,)), Completion("bc", logprobs=(-2.0, -6.0))
    )
    assert score == Score(-3.0, features={"tokens": (3.0,)})
    assert isinstance(
        scored(MeanLogprob(), Completion("a", logprobs=(-1.0,)), Completion("b")), Unscored
    )
    assert isinstance(scored(MeanLogprob(), Completion("a", logprobs=(-math.inf,))), Unscored)
    assert isinstance(scored(MeanLogprob()), Unscored)
