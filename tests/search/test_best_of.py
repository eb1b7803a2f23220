from __future__ import annotations

import pytest
from search_toys import TASK, Asked, ByTable, Letters, engine, letter, match

from cogitate.core.candidates import Score, Unscored
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.requests import Generate
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.scorers import Majority
from cogitate.search import BestOf, Solve


def solved(n=8, *, scorer=None, serve=None, budget=None, seed=0, listen=None):
    strategy = Solve(Letters(), scorer or ByTable(match("abc")), BestOf(n))
    return run(strategy(TASK, Seed(seed)), serve or engine(), budget=budget, listen=listen)


def test_the_best_scored_of_all_samples_is_first():
    ranking = solved(12).value
    values = [match("abc")(c.state.text) for c in ranking.items]
    assert values == sorted(values, reverse=True) == [c.value for c in ranking.items]
    assert len({c.id for c in ranking.items}) == 12
    assert ranking.stopped == ""


def test_more_samples_re_use_fewer_and_another_scorer_re_uses_them_all():
    few, many, voted = engine(), engine(), engine()
    solved(4, serve=few)
    solved(9, serve=many)
    solved(9, serve=voted, scorer=Majority())
    asked = [{r.key() for r in e.requests if isinstance(r, Generate)} for e in (few, many, voted)]
    assert asked[0] < asked[1] == asked[2]
    assert len(asked[1]) == 27


def test_every_cut_of_the_budget_gives_an_honest_ranking():
    whole = 6 * 3 + 6
    for calls in range(whole + 1):
        done = solved(
            6,
            scorer=Asked(),
            serve=engine(score=["0.5"] * 6, verifier=lambda r: 0.5),
            budget=Budget(calls=calls),
        )
        assert done.usage.calls <= calls
        assert done.idle
        ranking = done.value
        assert ranking.stopped == ("budget" if calls < whole else "")
        assert bool(ranking.items) == (calls >= 1)
        assert ranking.note
        finished = [c for c in ranking.items if c.state.complete]
        assert ranking.items[: len(finished)] == tuple(finished), "what is finished comes first"
        assert len({c.id for c in ranking.items}) == len(ranking.items)


def test_money_that_ends_before_scoring_still_ranks_what_was_paid_for():
    class Greedy(Asked):
        def reserve(self, states):
            return None

    ranking = solved(
        4, scorer=Greedy(), serve=engine(verifier=lambda r: 0.5), budget=Budget(calls=12)
    ).value
    assert len(ranking.items) == 4
    assert all(isinstance(c.score, Unscored) and c.score.cause == "budget" for c in ranking.items)
    assert ranking.stopped == "budget"


def test_the_verifier_is_granted_first():
    strategy = Solve(Letters(1), Asked(), BestOf(6))
    done = run(strategy(TASK, Seed(0)), engine(verifier=lambda r: 0.5), budget=Budget(calls=6))
    assert len(done.value.items) == 3, "half of the grant was set aside"
    assert all(isinstance(c.score, Score) for c in done.value.items)
    assert done.usage.calls == 6


def test_a_spent_reservation_is_topped_up_from_the_rest():
    class Modest(Asked):
        def reserve(self, states):
            return Budget(calls=1)

    done = solved(4, scorer=Modest(), serve=engine(verifier=lambda r: 0.5), budget=Budget(calls=40))
    assert all(isinstance(c.score, Score) for c in done.value.items)


def test_one_failure_at_every_request_loses_at_most_one_sample():
    whole = 4 * 3
    for at in range(whole):
        seen = iter(range(1000))
        serve = engine(
            lambda r, at=at, seen=seen: Failed("down") if next(seen) == at else letter(r)
        )
        ranking = solved(4, serve=serve).value
        assert sum(c.state.complete for c in ranking.items) == 3
        assert ranking.stopped == ""
        assert "down" in ranking.note


def test_nothing_but_failures_explains_itself():
    ranking = solved(3, serve=engine(lambda r: Failed("the server is down"))).value
    assert ranking.items == ()
    assert ranking.stopped == "failed"
    assert "the server is down" in ranking.note


def test_a_scorer_that_breaks_its_word_leaves_candidates_unscored():
    async def short(task, states):
        return [Score(1.0)]

    async def nan(task, states):
        return [Score(float("nan")) for _ in states]

    async def dead(task, states):
        raise Failed("no verifier")

    async def refused(task, states):
        raise OutOfBudget("calls", 1, 0)

    for scorer in (short, nan, dead, refused):
        ranking = solved(3, scorer=scorer).value
        assert [type(c.score) for c in ranking.items] == [Unscored] * 3


def test_events_name_every_candidate():
    events = []
    ranking = solved(4, listen=events.append).value
    noted = [e for e in events if type(e).__name__ == "Noted"]
    expanded = {e.data["id"] for e in noted if e.kind == "expanded"}
    assert {c.id for c in ranking.items} == expanded
    [scored] = [e for e in noted if e.kind == "scored"]
    assert set(scored.data["ids"]) == expanded
    [last] = [e for e in noted if e.kind == "ranked"]
    assert [item["id"] for item in last.data["items"]] == [c.id for c in ranking.items]


def test_one_object_runs_twice_alike():
    strategy = Solve(Letters(), ByTable(match("abc")), BestOf(5))
    one, two = (run(strategy(TASK, Seed(3)), engine()).value for _ in range(2))
    assert one == two
    assert run(strategy(TASK, Seed(4)), engine()).value != one


def test_zero_samples_are_refused():
    with pytest.raises(InvalidInput, match="n=0"):
        BestOf(0)
