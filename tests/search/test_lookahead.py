from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from search_toys import TASK, ByTable, Letters, engine, match

from cogitate.core.errors import InvalidInput
from cogitate.core.journal import Tape
from cogitate.core.requests import Sampling
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.lab.worlds import ChainModel, chains, preset
from cogitate.processes import Answer, Reasoning
from cogitate.scorers import ProcessReward
from cogitate.search import BeamSearch, DiverseTreeSearch, Lookahead, MonteCarloTreeSearch, Solve
from cogitate.search.lookahead import _greedy

WORD = ByTable(match("dacb"))


def solved(search, *, journal=None, budget=None, length=4):
    strategy = Solve(Letters(length), WORD, search)
    return run(strategy(TASK, Seed(0)), engine(), journal=journal, budget=budget)


@pytest.mark.parametrize(
    "search",
    [BeamSearch(2, 3, depth=4), DiverseTreeSearch(2, 3, depth=4), MonteCarloTreeSearch(6, 3, 4)],
    ids=lambda s: type(s).__name__,
)
def test_without_steps_it_is_the_search_itself_call_for_call(search):
    plain, ahead = Tape(), Tape()
    assert solved(search, journal=plain).value == solved(Lookahead(search, 0), journal=ahead).value
    assert plain.records == ahead.records


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_it_costs_as_many_steps_more_as_are_left(steps):
    """A state at depth d of a chain of 4 has min(steps, 4 - d) steps ahead of it."""
    beam = BeamSearch(2, 3, depth=4, distinct=False)
    done, plain = solved(Lookahead(beam, steps)), solved(beam)
    by_depth = [6, 6, 6, 6]
    ahead = sum(n * min(steps, 4 - depth) for depth, n in enumerate(by_depth, start=1))
    assert plain.usage.calls == sum(by_depth)
    assert done.usage.calls == plain.usage.calls + ahead


def test_it_sees_a_trap_that_a_plain_beam_walks_into():
    """`a` looks best and leads nowhere; only one step ahead shows it."""
    values = {"a": 1.0, "b": 0.5, "c": 0.4, "d": 0.3}

    def worth(text):
        if len(text) == 1:
            return values[text]
        return 0.0 if text[0] == "a" else 1.0

    strategy = Solve(Letters(2), ByTable(worth), BeamSearch(1, 12, depth=2))
    blind = run(strategy(TASK, Seed(3)), engine()).value.best
    seeing = run(
        replace(strategy, search=Lookahead(strategy.search, 1))(TASK, Seed(3)), engine()
    ).value.best
    assert (blind.state.text[0], blind.value) == ("a", 0.0)
    assert seeing.state.text[0] != "a"
    assert seeing.value == 1.0


def test_the_steps_ahead_are_greedy_where_the_process_samples():
    assert _greedy(Reasoning()).sampling == Sampling(temperature=0.0)
    assert _greedy(Answer()).sampling == Sampling(temperature=0.0)
    assert _greedy(Letters(3)) == Letters(3)

    @dataclass(frozen=True)
    class Odd:
        sampling: int = 3

    assert _greedy(Odd()) == Odd()


def test_a_rollout_that_is_refused_is_judged_as_far_as_it_came():
    whole = solved(Lookahead(BeamSearch(2, 3, depth=4), 3))
    for calls in range(0, whole.usage.calls, 5):
        done = solved(Lookahead(BeamSearch(2, 3, depth=4), 3), budget=Budget(calls=calls))
        assert done.usage.calls <= calls
        assert done.idle


def test_it_names_the_steps_it_may_look_ahead():
    with pytest.raises(InvalidInput, match="steps=-1"):
        Lookahead(BeamSearch(), -1)
    assert Lookahead(BeamSearch(2, 2, depth=3), 2).states() == BeamSearch(2, 2, depth=3).states()


def test_on_a_world_with_an_outcome_verifier_it_helps_a_beam():
    """A verifier that says nothing before the end leads a beam only where the end is in sight."""
    world = preset("medium", verifier="outcome", auc=0.95, steps=(3, 3))
    problems = chains(world, 150)

    def right(search):
        strategy = Solve(Reasoning(), ProcessReward(), search)
        model = ChainModel(world)
        return sum(
            run(strategy(p.task, Seed(i)), model).value.best.state.answer == p.gold
            for i, p in enumerate(problems)
        )

    beam = BeamSearch(1, 4, depth=5)
    assert right(Lookahead(beam, 4)) > right(beam) + 15
