from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from search_toys import TASK, Asked, Letters, Word, engine, letter

from cogitate.core.candidates import Artifact
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Limits
from cogitate.core.requests import Generate, Grade
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.drive import run, run_async
from cogitate.scorers import Majority, Weighted
from cogitate.search import BestOf, SelfConsistency, Solve
from cogitate.testing import FakeEngine


def solved(search, write=letter, *, seed=0, scorer=None, budget=None, **scripts):
    serve = engine(write, **scripts)
    strategy = Solve(Letters(1), scorer or Majority(), search)
    done = run(strategy(TASK, Seed(seed)), serve, budget=budget)
    drawn = sum(isinstance(r, Generate) for r in serve.requests)
    return done.value, drawn, serve


def test_the_early_answer_is_the_answer_of_all():
    saved = 0
    for seed in range(40):
        rng = random.Random(seed)
        share = rng.random()

        def write(request, share=share):
            return "a" if random.Random(request.key()).random() < share else letter(request)

        early, drawn, _ = solved(SelfConsistency(9), write, seed=seed)
        late, all_drawn, _ = solved(SelfConsistency(9, stop_early=False), write, seed=seed)
        assert all_drawn == 9
        assert early.best.state.answer == late.best.state.answer
        counted = Counter(c.state.answer for c in late.items)
        assert counted[late.best.state.answer] == max(counted.values())
        saved += 9 - drawn
        assert early.stopped == ("decided" if drawn < 9 else "")
    assert saved > 40


def test_unanimous_samples_stop_at_the_bound_and_waste_nothing():
    ranking, drawn, _ = solved(SelfConsistency(16), lambda r: "a")
    assert (drawn, len(ranking.items), ranking.stopped) == (9, 9, "decided")
    assert "9 of 16" in ranking.note
    _, drawn, _ = solved(SelfConsistency(16, confidence=0.95), lambda r: "a")
    assert drawn == 4
    _, drawn, _ = solved(SelfConsistency(16, confidence=0.95, at_least=7), lambda r: "a")
    assert drawn == 7


def test_a_split_vote_draws_all():
    letters = iter("abababab")
    ranking, drawn, _ = solved(SelfConsistency(8), lambda r: next(letters))
    assert (drawn, ranking.stopped) == (8, "")
    assert ranking.best.state.answer == "a"
    assert "votes 4 : 4" in ranking.note


class Said(Letters):
    """One whole text of the fake engine; its last letter is the answer."""

    async def step(self, state, seed):
        reply = await Generate(Prompt.raw("x or y?"), seed=seed.int(), max_tokens=200)
        return Word(reply.text, ended=True)

    async def render(self, state):
        return Artifact(state.letters, state.letters[-1:])


def test_the_answer_does_not_depend_on_arrival():
    stopped = set()
    for in_flight in (None, 1, 5, 12):
        for seed in range(4):
            strategy = Solve(Said(), Majority(), SelfConsistency(12, in_flight=in_flight))
            calm = run(strategy(TASK, Seed(seed)), FakeEngine(answers=("x", "y"))).value
            slow = FakeEngine(
                answers=("x", "y"), latency_s=0.001, limits=Limits(concurrency=16)
            )  # one a call, so that they arrive out of order
            wild = asyncio.run(run_async(strategy(TASK, Seed(seed)), slow)).value
            assert wild == calm
            stopped.add(wild.stopped)
    assert "decided" in stopped


def test_surplus_is_cancelled_and_left_out():
    ranking, drawn, _ = solved(SelfConsistency(16, in_flight=16), lambda r: "a")
    assert len(ranking.items) == 9
    assert drawn == 16


def test_only_a_scorer_that_counts_votes_is_asked_early():
    ranking, drawn, serve = solved(
        SelfConsistency(8), lambda r: "a", scorer=Weighted(Asked()), verifier=lambda r: 0.5
    )
    assert drawn == 8
    assert ranking.stopped == ""
    assert sum(r.role == "verifier" for r in serve.requests) == 8


def test_counting_is_rare():
    _, _, serve = solved(SelfConsistency(32), lambda r: "a" if r.seed % 3 else "b")
    assert sum(isinstance(r, Grade) for r in serve.requests) <= 12


def test_lost_samples_abstain():
    seen = iter(range(100))
    ranking, drawn, _ = solved(
        SelfConsistency(8), lambda r: Failed("down") if next(seen) % 2 else "a"
    )
    assert ranking.best.state.answer == "a"
    assert drawn <= 8
    assert all(c.state.answer == "a" for c in ranking.items)


def test_every_cut_of_the_budget_gives_a_ranking():
    for tokens in range(0, 60, 3):
        search = SelfConsistency(9, in_flight=9)
        ranking, _, _ = solved(search, budget=Budget(tokens_out=tokens))
        assert bool(ranking.items) == (tokens >= 4)
        assert ranking.note
    ranking, _, _ = solved(SelfConsistency(9), budget=Budget(tokens_out=0))
    assert ranking.stopped == "budget"


def test_the_samples_are_those_of_best_of_n():
    def keys(search):
        _, _, serve = solved(search, stop=None)
        return {r.key() for r in serve.requests if isinstance(r, Generate)}

    assert keys(SelfConsistency(8, stop_early=False)) == keys(BestOf(8))


def test_refusals():
    with pytest.raises(InvalidInput, match="confidence"):
        SelfConsistency(8, confidence=0.4)
    with pytest.raises(InvalidInput, match="in_flight=0"):
        SelfConsistency(8, in_flight=0)
