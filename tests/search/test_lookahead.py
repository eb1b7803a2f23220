from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from search_toys import TASK, ByTable, Letters, Word, engine, letter, match

from cogitate.core.candidates import Score
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.journal import Tape
from cogitate.core.requests import Generate, Sampling
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.lab.worlds import ChainModel, chains, preset
from cogitate.processes import Answer, Reasoning
from cogitate.scorers import ProcessReward
from cogitate.search import BeamSearch, DiverseTreeSearch, Lookahead, MonteCarloTreeSearch, Solve
from cogitate.search.lookahead import _greedy

WORD = ByTable(match("dacb"))
WARM = Sampling(temperature=0.7)


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


def test_steps_ahead_without_randomness_are_equal_requests_where_their_texts_are():
    """So that a cache answers the parts that the rollouts of a parent and of its child share."""
    from cogitate.core.prompt import Prompt

    @dataclass(frozen=True)
    class Sampled(Letters):
        sampling: Sampling = WARM

        async def step(self, state, seed):
            reply = await Generate(
                Prompt.raw(f"so far: {state.letters}"),
                seed=seed.int(),
                max_tokens=4,
                sampling=self.sampling,
            )
            word = state.letters + reply.text
            return Word(word, len(word) >= self.length)

    def ahead(greedy):
        serve = engine()
        search = Lookahead(BeamSearch(2, 6, depth=4, distinct=False), 2, greedy=greedy)
        run(Solve(Sampled(4), WORD, search)(TASK, Seed(0)), serve)
        return serve.requests

    cold = [r for r in ahead(greedy=True) if r.sampling.temperature == 0]
    assert len(cold) > len({r.prompt.text for r in cold}) == len({r.key() for r in cold})
    assert all(r.sampling.temperature == 0.7 for r in ahead(greedy=False))
    assert len({r.key() for r in ahead(greedy=False)}) == len(ahead(greedy=False))


def test_nothing_but_the_value_is_kept_of_what_was_thrown_away():
    seen = []

    async def steps(task, states):
        return [Score(float(len(s.letters)), steps=(0.5,) * len(s.letters)) for s in states]

    class Watch(BeamSearch):
        async def __call__(self, process, scorer, task, seed):
            half, whole = Word("ab"), Word("abcd", ended=True)
            seen.extend(await scorer(task, [half, whole]))
            return await super().__call__(process, scorer, task, seed)

    run(Lookahead(Watch(1, 1, 4), 1)(Letters(4), steps, TASK, Seed(0)), engine())
    assert [(s.value, s.steps) for s in seen] == [(3.0, ()), (4.0, (0.5,) * 4)]


def test_a_rollout_that_is_refused_is_judged_as_far_as_it_came():
    whole = solved(Lookahead(BeamSearch(2, 3, depth=4), 3))
    for calls in range(0, whole.usage.calls, 5):
        done = solved(Lookahead(BeamSearch(2, 3, depth=4), 3), budget=Budget(calls=calls))
        assert done.usage.calls <= calls
        assert done.idle


def test_a_rollout_that_fails_is_judged_as_far_as_it_came():
    def write(request):
        past = request.prompt.text.removeprefix("so far: ")
        return Failed("down") if len(past) >= 2 else letter(request)

    search = Lookahead(BeamSearch(2, 4, depth=1), 3)
    strategy = Solve(Letters(4), ByTable(lambda text: float(len(text))), search)
    found = run(strategy(TASK, Seed(0)), engine(write)).value
    assert [(len(c.state.text), c.value) for c in found.items] == [(1, 2.0), (1, 2.0)]


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
