from __future__ import annotations

import pytest
from successions import TASK, Counting, OneMax, engine

from cogitate.core.candidates import Unscored
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.requests import Call
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.scorers import Majority
from cogitate.search import BestOf, Refinement, Solve

CRITIC = {"critic": True}


def solved(search, *, scorer=None, serve=None, seed=0, process=None, final=None, **driven):
    strategy = Solve(process or OneMax(), scorer or Counting(**CRITIC), search, final)
    return run(strategy(TASK, Seed(seed)), serve or engine(), **driven)


def made(serve):
    return [r.args for r in serve.requests if isinstance(r, Call) and r.name == "made"]


@pytest.mark.parametrize("accept", ["better", "newest", "last"])
@pytest.mark.parametrize("scorer", [Counting, Majority])
def test_no_round_is_best_of_n(accept, scorer):
    want = solved(BestOf(5), scorer=scorer())
    got = solved(Refinement(0, 5, accept), scorer=scorer())
    assert got.value == want.value
    assert got.usage == want.usage


def test_a_perfect_critic_needs_one_round_an_error():
    for seed in range(8):
        serve = engine()
        errors = solved(BestOf(1), seed=seed).value.best.state.text.count("0")
        ranking = solved(Refinement(rounds=9), seed=seed, serve=serve).value
        assert ranking.best.state.text == "1" * 8
        short = solved(Refinement(rounds=errors), seed=seed).value
        assert short.best.state.text == "1" * 8
        if errors:
            before = solved(Refinement(rounds=errors - 1), seed=seed).value
            assert before.best.state.text != "1" * 8


def test_the_critique_reaches_the_process_word_for_word():
    serve = engine()
    solved(Refinement(rounds=1), serve=serve, scorer=Counting(critic=True))
    (start, revise) = made(serve)
    assert start == ("start",)
    assert revise[1].startswith("bit ")
    blind = engine()
    solved(Refinement(rounds=1), serve=blind, scorer=Counting())
    assert made(blind)[1] == ("revise", "")


def test_only_what_is_better_is_gone_on_from():
    """A useless critic and a random reviser: the line never falls, and what was refused is kept in sight."""
    for seed in range(6):
        ranking = solved(Refinement(rounds=6), scorer=Counting(), seed=seed).value
        found = {c.id: c for c in ranking.items}
        assert len(found) == 7
        parents = [found[f"0.{k}"].parent for k in range(1, 7)]
        held = [found[p].value for p in parents]
        assert held == sorted(held)
        for k in range(1, 6):
            better = found[f"0.{k}"].value > found[parents[k - 1]].value
            assert parents[k] == (f"0.{k}" if better else parents[k - 1])
        assert ranking.best.value == max(c.value for c in ranking.items)


def test_an_equal_score_is_no_better():
    level = Counting(lambda text: 1.0)
    ranking = solved(Refinement(rounds=3), scorer=level).value
    assert {c.parent for c in ranking.items} == {None, "0"}
    assert ranking.best.id == "0"


def test_the_newest_is_always_gone_on_from():
    ranking = solved(Refinement(rounds=4, accept="newest"), scorer=Counting(), seed=1).value
    found = {c.id: c.parent for c in ranking.items}
    assert found == {"0": None, "0.1": "0", "0.2": "0.1", "0.3": "0.2", "0.4": "0.3"}
    assert ranking.best.value == max(c.value for c in ranking.items)


def test_the_last_answers_alone_are_ranked_and_vote():
    search = Refinement(rounds=2, width=3, accept="last")
    ranking = solved(search, scorer=Counting(), final=Majority()).value
    assert sorted(c.id for c in ranking.items) == ["0.2", "1.2", "2.2"]
    assert "9 of 9" not in ranking.note


def test_good_enough_ends_a_line():
    serve = engine()
    ranking = solved(Refinement(rounds=20, good_enough=6.0), serve=serve).value
    assert ranking.best.value == 6.0
    assert ranking.stopped == "decided"
    first = solved(BestOf(1)).value.best.value
    assert len(made(serve)) == 1 + max(0, 6 - first)
    assert solved(Refinement(rounds=1, good_enough=99.0)).value.stopped == ""


def test_an_answer_that_does_not_change_ends_a_line():
    class Stubborn(OneMax):
        async def revise(self, state, critique, seed):
            await Call("made", ("revise", critique.text))
            return type(state)(state.bits, critique.text, state.past + 1)

    for stop, asked in ((True, 2), (False, 5)):
        serve = engine()
        search = Refinement(rounds=4, stop_unchanged=stop)
        ranking = solved(search, process=Stubborn(), serve=serve, scorer=Counting(**CRITIC)).value
        assert len(made(serve)) == asked
        assert ranking.stopped == ("decided" if stop else "")


@pytest.mark.parametrize(("rounds", "width"), [(0, 3), (2, 1), (3, 4)])
def test_costs_are_closed_forms(rounds, width):
    search = Refinement(rounds, width, stop_unchanged=False)
    serve, scorer = engine(), Counting()
    solved(search, serve=serve, scorer=scorer)
    assert len(made(serve)) == sum(scorer.batches) == search.states() == width * (rounds + 1)
    together = Counting(separable=False)
    solved(search, scorer=together)
    assert together.batches == [width * k for k in range(1, rounds + 2)]


def test_a_wider_search_re_uses_a_narrow_one():
    narrow, wide = engine(), engine()
    one = solved(Refinement(2, 1), serve=narrow, scorer=Counting()).value
    many = solved(Refinement(2, 4), serve=wide, scorer=Counting()).value
    assert {c.id for c in one.items} < {c.id for c in many.items}
    states = {c.id: c.state for c in many.items}
    assert all(states[c.id] == c.state for c in one.items)


def test_every_cut_of_the_budget_keeps_what_was_paid_for():
    for calls in range(13):
        search = Refinement(2, 4, stop_unchanged=False)
        done = solved(search, scorer=Counting(), budget=Budget(calls=calls))
        assert done.usage.calls == calls == len(done.value.items)
        assert done.value.stopped == ("budget" if calls < 12 else "")
        assert done.idle


def test_one_failure_loses_one_answer():
    for at in range(2, 8):
        seen = iter(range(100))
        serve = engine(lambda r, at=at, seen=seen: Failed("down") if next(seen) == at else None)
        search = Refinement(3, 2, "newest", stop_unchanged=False)
        ranking = solved(search, serve=serve, scorer=Counting()).value
        assert len(ranking.items) == 7
        assert "down" in ranking.note


def test_a_dead_scorer_leaves_answers_unscored():
    async def dead(task, states):
        raise Failed("no critic")

    ranking = solved(Refinement(2, 2, stop_unchanged=False), scorer=dead).value
    assert len(ranking.items) == 6
    assert all(isinstance(c.score, Unscored) for c in ranking.items)


@pytest.mark.parametrize(
    "wrong", [{"rounds": -1}, {"width": 0}, {"accept": "worse"}, {"good_enough": float("nan")}]
)
def test_senseless_numbers_are_refused(wrong):
    with pytest.raises(InvalidInput, match=r"asked for|not a number"):
        Refinement(**wrong)
