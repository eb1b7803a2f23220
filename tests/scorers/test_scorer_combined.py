"""All of, any of and ensembles of scorers, against tables written out here."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.core.candidates import Artifact, Critique, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.protocols import Costly, CountsVotes, ReadsLogprobs, Separable
from cogitate.core.requests import Call
from cogitate.core.task import Task
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.rules.aggregate import NORMALISATIONS, normalised
from cogitate.scorers import (
    AllOf,
    AnyOf,
    Confidence,
    Ensemble,
    Judge,
    Majority,
    MeanLogprob,
    OutcomeReward,
    ProcessReward,
    PTrue,
    Weighted,
)
from cogitate.testing import FakeEngine

TASK = Task.of("?", kind="number")
DEAD = Unscored("it is dead")


class Given:
    """Scores by place; `None` is unscored."""

    def __init__(self, *values):
        self.values = values

    async def __call__(self, task, states):
        return [
            DEAD if v is None else v if isinstance(v, Score) else Score(v)
            for v in self.values[: len(states)]
        ]


def scored(scorer, count=1, **known):
    found = run(scorer(TASK, [Artifact(str(i)) for i in range(count)]), FakeEngine(), **known).value
    return [s.value if isinstance(s, Score) else None for s in found]


@pytest.mark.parametrize("missing", ["abstain", "leave_out"])
def test_marks_are_three_valued_logic(missing):
    """Over every combination of three parts that pass, miss, or cannot tell."""
    for outcomes in itertools.product((True, False, None), repeat=3):
        parts = tuple(Given(None if o is None else 5.0 if o else 4.9) for o in outcomes)
        known = [o for o in outcomes if o is not None]
        unknown = None in outcomes and (missing == "abstain" or not known)
        everything = 0.0 if False in outcomes else None if unknown else 1.0
        anything = 1.0 if True in outcomes else None if unknown else 0.0
        marks = (5.0,) * 3
        assert scored(AllOf(parts, marks, missing=missing)) == [everything]
        assert scored(AnyOf(parts, marks, missing=missing)) == [anything]


def test_without_marks_the_worst_and_the_best_count():
    parts = (Given(1.0, -7.0, None), Given(3.0, -2.0, 4.0))
    assert scored(AllOf(parts), 3) == [1.0, -7.0, None]
    assert scored(AnyOf(parts), 3) == [3.0, -2.0, None]
    assert scored(AllOf(parts, missing="leave_out"), 3) == [1.0, -7.0, 4.0]
    assert scored(AnyOf(parts, missing="leave_out"), 3) == [3.0, -2.0, 4.0]
    assert scored(AllOf((Given(None), Given(None)), missing="leave_out")) == [None]


values = st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=6)


@given(values, st.sampled_from(NORMALISATIONS), st.floats(-3, 3), st.floats(0.1, 3))
def test_an_ensemble_is_the_weighted_mean_on_one_scale(pairs, how, first, second):
    a, b = ([pair[i] for pair in pairs] for i in (0, 1))
    scorer = Ensemble((Given(*a), Given(*b)), (first, second), how)
    left, right = normalised(a, how), normalised(b, how)
    wanted = [
        (first * x + second * y) / (abs(first) + second) for x, y in zip(left, right, strict=True)
    ]
    assert scored(scorer, len(pairs)) == pytest.approx(wanted)
    least = [min(x, y) for x, y in zip(left, right, strict=True)]
    assert scored(AllOf(scorer.scorers, normalise=how), len(pairs)) == least


def test_a_part_that_cannot_judge():
    parts = (Given(1.0, None, 3.0), Given(10.0, 20.0, None))
    assert scored(Ensemble(parts, (1.0, 3.0), "none"), 3) == [7.75, None, None]
    left_out = Ensemble(parts, (1.0, 3.0), "none", missing="leave_out")
    assert scored(left_out, 3) == [7.75, 20.0, 3.0]
    # What is missing takes no rank either.
    assert scored(Ensemble(parts, missing="leave_out"), 3) == [0.5, 1.0, 1.0]
    weightless = Ensemble(parts, (0.0, 1.0), "none", missing="leave_out")
    assert scored(weightless, 3) == [10.0, 20.0, None]


class Broken:
    def __init__(self, outcome):
        self.outcome = outcome

    async def __call__(self, task, states):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(
    "outcome", [Failed("down"), [], [Score(math.nan)], [Score(math.inf)], [Score(1.0)] * 2]
)
def test_a_part_that_breaks_does_not_lose_the_others(outcome):
    parts = (Broken(outcome), Given(2.0))
    assert scored(Ensemble(parts)) == [None]
    assert scored(Ensemble(parts, normalise="none", missing="leave_out")) == [2.0]
    assert scored(AllOf(parts, marks=(0.0, 3.0))) == [0.0]
    assert scored(AnyOf(parts, marks=(0.0, 2.0))) == [1.0]
    [found] = run(Ensemble(parts)(TASK, [Artifact("a")]), FakeEngine()).value
    assert isinstance(found, Unscored)
    assert found.reason


def test_what_the_parts_said_is_kept():
    first = Score(1.0, (0.1, 0.2), Critique("unit", 1), {"marks": (3.0,), "x": (1.0,)})
    second = Score(2.0, (0.9,), Critique("sign", 0), {"marks": (4.0,), "y": (2.0,)})
    parts = (Given(first), Given(second), Given(3.0))
    [found] = run(Ensemble(parts, normalise="none")(TASK, [Artifact("a")]), FakeEngine()).value
    assert (found.value, found.steps) == (2.0, (0.1, 0.2))
    assert found.critique == Critique("unit\n\nsign", 0)
    assert dict(found.features) == {
        "marks": (3.0,),
        "x": (1.0,),
        "y": (2.0,),
        "part0": (1.0,),
        "part1": (2.0,),
        "part2": (3.0,),
    }
    [found] = run(AnyOf((Given(3.0), Given(second)))(TASK, [Artifact("a")]), FakeEngine()).value
    assert (found.value, found.steps, found.critique) == (3.0, (0.9,), Critique("sign", 0))


def test_parts_are_asked_at_once():
    class Asks:
        def __init__(self, name):
            self.name = name

        async def __call__(self, task, states):
            return [Score(float(len(await Call("size", (self.name, s.text))))) for s in states]

    engine = FakeEngine()
    run(Ensemble((Asks("a"), Asks("b"), Asks("c")))(TASK, [Artifact("x")]), engine)
    assert engine.peak["Call"] == 3


@pytest.mark.parametrize("kind", [AllOf, AnyOf, Ensemble])
def test_costs_and_needs_are_those_of_all_parts(kind):
    scorer = kind((Judge(max_tokens=100), OutcomeReward(), Confidence(top=7), MeanLogprob()))
    assert isinstance(scorer, Costly)
    assert isinstance(scorer, ReadsLogprobs)
    assert scorer.reserve(4) == Budget(tokens_out=300, calls=8)
    assert kind((MeanLogprob(), Majority())).reserve(4) is None
    assert (scorer.logprobs, kind((Majority(),)).logprobs) == (7, -1)
    assert kind((Weighted(kind((Confidence(top=3),))),)).logprobs == 3
    assert not isinstance(scorer, CountsVotes)
    assert isinstance(scorer, Separable)
    alone = (ProcessReward(), PTrue())
    for how in NORMALISATIONS:
        assert kind(alone, normalise=how).separable == (how in ("none", "sigmoid"))
    assert not kind((ProcessReward(), Majority()), normalise="none").separable
    assert kind((kind(alone, normalise="none"),), normalise="none").separable


def test_a_refused_part_may_be_left_out():
    parts = (Given(2.0), OutcomeReward())
    refused = {"budget": Budget(calls=0)}
    assert scored(Ensemble(parts), **refused) == [None]
    assert scored(Ensemble(parts, normalise="none", missing="leave_out"), **refused) == [2.0]
    [found] = run(AllOf(parts)(TASK, [Artifact("a")]), FakeEngine(), **refused).value
    assert found.cause == "budget"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: AllOf(()),
        lambda: AllOf((Majority(),), marks=(1.0, 2.0)),
        lambda: AnyOf((Majority(),), marks=(math.nan,)),
        lambda: Ensemble((Majority(),), normalise="max"),
        lambda: Ensemble((Majority(),), missing="zero"),
        lambda: Ensemble((Majority(), Majority()), (0.0, 0.0)),
        lambda: Ensemble((Majority(),), (math.inf,)),
    ],
)
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(InvalidInput):
        wrong()
