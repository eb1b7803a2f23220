from __future__ import annotations

import pytest

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.requests import ScoreSteps
from cogitate.core.task import Task
from cogitate.drive import run
from cogitate.scorers import STEP_VOTES, OutcomeReward, ProcessReward, StepVote, step_vote
from cogitate.testing import Scripted

TASK = Task.of("2 + 2?", kind="number")
REWARDS = {"a1": 0.9, "a2": 0.2, "b1": 0.5, "b2": 0.6, "c1": 0.55, "c2": 0.5}


def art(answer, *steps):
    return Artifact(" ".join(steps), answer, steps=steps)


POOL = [art("7", "a1", "a2"), art("8", "b1", "b2"), art("8", "c1", "c2"), art(None, "a1", "a1")]


def engine(line=None):
    return Scripted({"ScoreSteps": line or (lambda r: tuple(REWARDS[s] for s in r.steps))})


def scored(scorer, found=POOL, serve=None):
    return list(run(scorer(TASK, found), serve or engine()).value)


def test_steps_are_reduced():
    expected = {"last": 0.2, "min": 0.2, "mean": 0.55, "product": 0.18, "sum": 1.1}
    for rule, value in expected.items():
        [score, *_] = scored(ProcessReward(rule))
        assert score.value == pytest.approx(value)
        assert score.steps == (0.9, 0.2)


def test_a_wrong_length_or_nan_is_unscored_and_costs_nobody_else():
    serve = engine(
        lambda r: (
            (0.5,)
            if r.steps[0] == "a1"
            else (0.1, float("nan"))
            if r.steps[0] == "b1"
            else (0.3, 0.4)
        )
    )
    found = scored(ProcessReward(), serve=serve)
    assert [type(s) for s in found] == [Unscored, Unscored, Score, Unscored]
    assert "1 scores for 2 steps" in found[0].reason
    assert found[0].cause == "form"


def test_one_dead_call_never_loses_the_batch():
    serve = engine(lambda r: Failed("down") if r.steps[0] == "b1" else (0.3, 0.4))
    assert [type(s) for s in scored(ProcessReward(), serve=serve)] == [
        Score,
        Unscored,
        Score,
        Score,
    ]


def test_equal_candidates_are_asked_about_once_and_empty_ones_never():
    serve = engine()
    found = scored(ProcessReward(), [POOL[0], POOL[0], Artifact("")], serve)
    assert [s.value for s in found] == [0.2, 0.2, -1.0]
    assert sum(isinstance(r, ScoreSteps) for r in serve.requests) == 1


def test_paragraphs_stand_in_for_steps():
    serve = engine(lambda r: tuple(0.5 for _ in r.steps))
    scored(ProcessReward(), [Artifact("one\n\ntwo\n \nthree")], serve)
    assert serve.requests[0].steps == ("one", "two", "three")


@pytest.mark.parametrize(
    ("name", "winner"),
    [
        ("majority_vote", "8"),
        ("prm_min_max", "8"),
        ("prm_min_vote", "8"),
        ("prm_last_max", "8"),
        ("prm_last_vote", "8"),
        ("prm_avg_max", "7"),
        ("prm_avg_vote", "8"),
    ],
)
def test_the_seven_rules_by_hand(name, winner):
    """7: min .2, last .2, mean .55. 8: min .5 and .5, last .6 and .5, mean .55 and .525."""
    found = scored(step_vote(name, ProcessReward()))
    best = max(
        range(len(POOL)), key=lambda i: (found[i].value if isinstance(found[i], Score) else -9, -i)
    )
    assert POOL[best].answer == winner
    assert isinstance(found[3], Unscored), (
        "what has no answer is left out first, however well it scores"
    )


def test_the_grid_is_whole():
    assert len(STEP_VOTES) == 7
    assert step_vote("prm_avg_vote", ProcessReward()).aggregate == "mean"
    with pytest.raises(InvalidInput, match="prm_best"):
        step_vote("prm_best", ProcessReward())
    with pytest.raises(InvalidInput, match="median"):
        ProcessReward("median")


def test_a_constant_verifier_votes_like_the_majority_and_majority_asks_no_verifier():
    found = scored(
        StepVote(ProcessReward(), "last", "vote"), serve=engine(lambda r: (0.5,) * len(r.steps))
    )
    assert found[1].value == found[2].value == pytest.approx(1.0)
    assert found[0].value == pytest.approx(0.5)
    serve = engine()
    scored(step_vote("majority_vote", ProcessReward()), serve=serve)
    assert not any(isinstance(r, ScoreSteps) for r in serve.requests)


def test_an_outcome_model_sees_the_whole_text_as_one_step():
    serve = engine(lambda r: (float(len(r.steps[0])) - 5.0,))
    found = [art("7", "ab", "cde"), Artifact(""), Artifact("ab cde"), Artifact("x", complete=False)]
    scores = scored(OutcomeReward(), found, serve)
    assert [s.value if isinstance(s, Score) else s.cause for s in scores] == [
        1.0,
        "abstained",
        1.0,
        -4.0,
    ]
    assert [r.steps for r in serve.requests] == [("ab cde",), ("x",)]  # equal texts once
    assert {(r.role, r.prompt.messages) for r in serve.requests} == {("verifier", TASK.messages)}
    assert OutcomeReward().reserve(3).calls == 3


@pytest.mark.parametrize("line", [(), (0.1, 0.2), (float("nan"),), (float("-inf"),)])
def test_an_outcome_without_one_finite_score_is_unscored(line):
    [score] = scored(OutcomeReward(), [Artifact("a")], engine(lambda r: line))
    assert isinstance(score, Unscored)
    assert score.cause == "form"


def test_partial_states_are_scored_step_by_step():
    """A beam grows: each step's score stays what it was, and is asked for with its prefix only."""
    serve = engine(lambda r: tuple(REWARDS[s] for s in r.steps))
    steps = ("a1", "b1", "c1")
    grown = [Artifact("", steps=steps[:k], complete=False) for k in range(1, 4)]
    found = [scored(ProcessReward("min"), [seen], serve)[0] for seen in grown]
    assert [s.steps for s in found] == [(0.9,), (0.9, 0.5), (0.9, 0.5, 0.55)]
    assert [s.value for s in found] == [0.9, 0.5, 0.5]
    assert [r.steps for r in serve.requests] == [steps[:1], steps[:2], steps]
