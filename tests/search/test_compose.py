from __future__ import annotations

from collections import Counter

import pytest
from search_toys import TASK, Asked, ByTable, Letters, engine, match

from cogitate.core.candidates import Artifact, Candidate, Ranking, Score, Unscored
from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.scorers import Indifferent
from cogitate.search import BestOf, Solve, Vote, verifier_grant


class Fixed:
    """A strategy whose answer is known for each run."""

    def __init__(self, answers):
        self.answers = answers
        self.seeds = []

    async def __call__(self, task, seed):
        self.seeds.append(seed)
        answer = self.answers[len(self.seeds) - 1]
        if isinstance(answer, Exception):
            raise answer
        if answer == "":
            return Ranking(stopped="budget", note="nothing fitted")
        art = Artifact(answer or "mumble", answer)
        return Ranking((Candidate(art, Score(1.0), "7"), Candidate(art, Score(0.0), "8")))


@pytest.mark.parametrize(
    ("answers", "winner"),
    [
        (["x", "y", "y"], "y"),
        (["y", "x"], "x"),
        (["x", None, None], "x"),
        ([None, None, "z"], "z"),
        (["b", Failed("down"), "a", "b"], "b"),
        (["b", OutOfBudget("calls", 1, 0), ""], "b"),
    ],
)
def test_the_majority_of_runs_wins(answers, winner):
    ranking = run(Vote(Fixed(answers), len(answers))(TASK, Seed(0)), engine()).value
    assert ranking.best.state.answer == winner
    assert len({c.id for c in ranking.items}) == len(ranking.items)
    voted = Counter(a for a in answers if isinstance(a, str) and a)
    if len(voted) > 1:
        assert ranking.best.value == pytest.approx(max(voted.values()) / len(answers))


def test_runs_have_seeds_of_their_own_and_the_first_is_the_strategy_itself():
    fixed = Fixed(["a", "b", "c"])
    run(Vote(fixed, 3)(TASK, Seed(5)), engine())
    assert fixed.seeds[0] == Seed(5)
    assert len({s.int() for s in fixed.seeds}) == 3


def test_no_run_with_a_candidate_explains_itself():
    ranking = run(Vote(Fixed(["", Failed("down")]), 2)(TASK, Seed(0)), engine()).value
    assert ranking.items == ()
    assert ranking.stopped == "budget"
    assert "nothing fitted" in ranking.note


def test_a_vote_over_searches_equals_its_runs():
    inner = Solve(Letters(1), ByTable(match("a")), BestOf(2))
    ranking = run(Vote(inner, 5)(TASK, Seed(1)), engine()).value
    seeds = [Seed(1), *(Seed(1).at("run", i) for i in range(1, 5))]
    bests = [run(inner(TASK, s), engine()).value.best.state.answer for s in seeds]
    counted = Counter(bests)
    most = max(counted.values())
    assert ranking.best.state.answer == min(a for a, n in counted.items() if n == most)


def test_the_grant_of_the_verifier():
    left = Budget(tokens_out=1000, calls=10, usd=1.0)
    assert verifier_grant(left, Budget(tokens_out=100, calls=90)) == Budget(tokens_out=100, calls=5)
    assert verifier_grant(Budget(), Budget(calls=4)) is None
    assert verifier_grant(Budget(calls=1), Budget(calls=4)) is None


def test_a_render_that_fails_loses_one_candidate():
    class Fragile(Letters):
        async def preview(self, state):
            return await Letters.render(self, state)

        async def render(self, state):
            if state.letters.startswith("a"):
                raise Failed("cannot be shown")
            return await Letters.render(self, state)

    ranking = run(Solve(Fragile(), Indifferent(), BestOf(12))(TASK, Seed(0)), engine()).value
    assert ranking.items
    assert all(not c.state.text.startswith("a") for c in ranking.items)
    assert "could not be rendered" in ranking.note


def test_a_final_that_judges_nothing_keeps_the_order_of_the_search():
    async def dead(task, states):
        return [Unscored("dead") for _ in states]

    plain = Solve(Letters(), ByTable(match("abc")), BestOf(6))
    ended = Solve(Letters(), ByTable(match("abc")), BestOf(6), dead)
    one, two = (run(s(TASK, Seed(0)), engine()).value for s in (plain, ended))
    assert one == two


def test_nothing_is_set_aside_for_free_scorers():
    events = []
    run(
        Solve(Letters(), ByTable(len), BestOf(2))(TASK, Seed(0)),
        engine(),
        budget=Budget(calls=6),
        listen=events.append,
    )
    assert {type(e.request).__name__ for e in events if hasattr(e, "request")} == {"Generate"}
    events.clear()
    serve = engine(verifier=lambda r: 1.0)
    run(
        Solve(Letters(), Asked(), BestOf(2))(TASK, Seed(0)),
        serve,
        budget=Budget(calls=9),
        listen=events.append,
    )
    assert "SetAside" in {type(e.request).__name__ for e in events if hasattr(e, "request")}
