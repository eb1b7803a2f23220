from __future__ import annotations

import math

import pytest

from cogitate.claims import Setting
from cogitate.claims.trials import Constant, lead, shown, trial, tried, world_of
from cogitate.core.errors import InvalidInput
from cogitate.core.requests import Generate, ScoreSteps
from cogitate.lab.worlds import chains, preset, right_chance
from cogitate.processes import Answer, Reasoning
from cogitate.rules import Interval
from cogitate.scorers import Indifferent, Majority, ProcessReward
from cogitate.search import BestOf, Solve

ONE = Solve(Answer(), Indifferent(), BestOf(1))


def test_a_trial_is_as_often_right_as_the_world_says() -> None:
    world = preset("medium")
    found = trial(ONE, world, 200, (0, 1))
    problems = (*chains(world, 200, 0), *chains(world, 200, 1))
    assert found.problems == problems
    assert math.fsum(right_chance(world, p) for p in problems) / 400 in found.accuracy
    assert found.right == tuple(a == p.gold for a, p in zip(found.answers, problems, strict=True))
    assert found.calls == 400


def test_a_trial_can_be_cut_by_difficulty() -> None:
    found = trial(ONE, preset("ladder"), 60)
    easy, hard = found.where(-9.0, 0.5), found.where(0.5, 9.0)
    assert len(easy.right) + len(hard.right) == 60
    assert easy.accuracy.value > hard.accuracy.value
    assert found.part([3, 5]).answers == (found.answers[3], found.answers[5])
    assert found.part([]).accuracy.low == 0.0


def test_no_answer_is_wrong_and_no_candidate_has_none() -> None:
    world = preset("medium")
    cut = tried(Solve(Answer(max_tokens=5), Indifferent(), BestOf(1)), world, chains(world, 3))
    assert cut.answers == (None, None, None)
    dead = tried(ONE, preset("medium", failures=1.0), chains(world, 3))
    assert dead.answers == (None, None, None)
    assert dead.accuracy.value == 0.0


def test_a_lead_is_paired() -> None:
    world = preset("perfect_verifier")
    better = trial(Solve(Answer(), ProcessReward(), BestOf(8)), world, 60)
    plain = trial(ONE, world, 60)
    found = lead(better, plain)
    assert found.value == pytest.approx(better.accuracy.value - plain.accuracy.value)
    assert found.low > 0
    assert lead(plain, plain) == Interval(0.0, 0.0, 0.0)
    assert shown(Interval(0.25, -0.125, 1.0)) == "0.250 [-0.125, 1.000]"


def test_requests_are_noted_and_another_verifier_is_asked() -> None:
    world = preset("medium")
    asked: list[object] = []
    strategy = Solve(Reasoning(), ProcessReward(), BestOf(2))
    own = tried(strategy, world, chains(world, 3), asked=asked)
    assert {type(r) for r in asked} == {Generate, ScoreSteps}
    asked.clear()
    other = tried(strategy, world, chains(world, 3), verifier=Constant(0.25), asked=asked)
    assert {type(r) for r in asked} == {Generate}
    assert {c.value for r in other.rankings for c in r.items} == {0.25}
    assert other.roles["verifier"].calls == own.roles["verifier"].calls


def test_votes_are_graded() -> None:
    found = trial(Solve(Answer(), Majority(), BestOf(9)), preset("scatter"), 60)
    assert found.accuracy.low > trial(ONE, preset("scatter"), 60).accuracy.value


def test_a_setting_names_its_world() -> None:
    assert world_of(Setting(preset="medium", changes={"auc": 0.6})) == preset("medium", auc=0.6)
    with pytest.raises(InvalidInput, match="no world preset"):
        world_of(Setting())
