"""The revise prompts of the processes, as the chain world reads them: every chance is the stated one."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import pytest

from cogitate.core.candidates import Critique, Score
from cogitate.core.flow import gather
from cogitate.core.seeds import Seed
from cogitate.drive import run
from cogitate.lab.worlds import (
    ChainModel,
    Place,
    chains,
    finish_chance,
    first_error,
    preset,
    right_chance,
)
from cogitate.processes import Answer, Reasoning
from cogitate.search import Evolution, Refinement, SequentialRevision

PROCESSES = pytest.mark.parametrize(
    "process", [Answer(), Reasoning()], ids=lambda p: type(p).__name__
)
WORLD = preset("revising")


async def ended(process, state, seed):
    depth = 1
    while not process.done(state):
        state = await process.step(state, seed.at("step", depth))
        depth += 1
    return state


async def revised(process, state, seed, critique=None):
    return await ended(process, await process.revise(state, critique or Critique(""), seed), seed)


async def is_right(process, chain, state):
    return (await process.render(state)).answer == chain.gold


def near(rights, chances):
    """Whether so many rights are what these chances give, within 4.5 deviations."""
    spread = math.sqrt(sum(p * (1 - p) for p in chances))
    return abs(rights - sum(chances)) <= 4.5 * spread + 1e-9


def of_all(world, process, one, problems=60, tries=20):
    """What `one(chain, first attempt, whether it is right, seed)` gives, for attempts at many problems."""

    async def each(chain, number):
        seed = Seed(number)
        asked = await process.start(chain.task, seed.at("start"))
        first = await ended(process, asked, seed.at("first"))
        right = await is_right(process, chain, first)
        return await one(chain, first, right, seed.at("later"))

    async def all_of_them():
        return await gather(*(each(c, n) for c in chains(world, problems) for n in range(tries)))

    return run(all_of_them(), ChainModel(world)).value


@PROCESSES
def test_a_revision_of_a_wrong_attempt_beats_a_fresh_sample(process):
    async def one(chain, first, right, seed):
        if right:
            return None
        again = await is_right(process, chain, await revised(process, first, seed))
        fresh = right_chance(WORLD, chain)
        return again, fresh, right_chance(WORLD, chain, WORLD.revision)

    found = [f for f in of_all(WORLD, process, one) if f is not None]
    rights = sum(f[0] for f in found)
    assert len(found) > 500
    assert near(rights, [f[2] for f in found])
    assert not near(rights, [f[1] for f in found])
    assert rights > 1.5 * sum(f[1] for f in found)


@PROCESSES
@pytest.mark.parametrize("broken", [0.0, 0.38, 1.0])
def test_right_attempts_are_broken_at_the_stated_rate_at_any_step_alike(process, broken):
    world = preset("revising", broken=broken, difficulty=(-2.0, -1.0), steps=(4, 4), repair=0.5)

    async def one(chain, first, right, seed):
        if not right:
            return None
        again = await process.render(await revised(process, first, seed))
        return again.answer == chain.gold, first_error(chain, again.text)

    found = [f for f in of_all(world, process, one, tries=30) if f is not None]
    assert len(found) > 1000
    assert near(sum(not f[0] for f in found), [broken] * len(found))
    places = Counter(f[1] for f in found if not f[0])
    assert set(places) <= {1, 2, 3, 4}
    assert all(near(places[k], [broken / 4] * len(found)) for k in (1, 2, 3, 4))


@PROCESSES
def test_naming_the_first_error_helps_more(process):
    """Reasoning keeps the steps before the error, so its chance is that of the place where it goes on."""

    async def one(chain, first, right, seed):
        shown = await process.render(first)
        wrong = None if right else first_error(chain, shown.text)
        if wrong is None:
            return None
        again = await revised(process, first, seed, Critique("It does not follow.", wrong - 1))
        kept = Place(wrong - 1) if isinstance(process, Reasoning) else Place()
        chance = finish_chance(WORLD, chain, kept, WORLD.revision + WORLD.feedback)
        without = right_chance(WORLD, chain, WORLD.revision)
        return await is_right(process, chain, again), chance, without

    found = [f for f in of_all(WORLD, process, one) if f is not None]
    assert len(found) > 500
    rights = sum(f[0] for f in found)
    assert near(rights, [f[1] for f in found])
    assert rights > sum(f[2] for f in found) * 1.2


@PROCESSES
def test_a_wrong_blame_helps_as_little_as_none(process):
    async def one(chain, first, right, seed):
        wrong = first_error(chain, (await process.render(first)).text)
        if right or wrong is None or wrong == len(chain.operations):
            return None
        late = Critique("Look.", wrong)  # the step after the first wrong one
        again = await revised(process, first, seed, late)
        return await is_right(process, chain, again), right_chance(WORLD, chain, WORLD.revision)

    found = [f for f in of_all(WORLD, process, one) if f is not None]
    rights = sum(f[0] for f in found)
    if isinstance(process, Answer):
        assert near(rights, [f[1] for f in found])
    else:
        assert rights == 0, "the wrong step was kept, and nothing repairs it"


@dataclass(frozen=True)
class Oracle:
    """Says whether the answer is the right one, and names the first wrong step."""

    chain: object
    process: object
    separable: bool = True

    async def __call__(self, task, states):
        found = []
        for state in states:
            shown = await self.process.render(state)
            right = shown.answer == self.chain.gold
            wrong = None if right else first_error(self.chain, shown.text)
            critique = None if wrong is None else Critique("It does not follow.", wrong - 1)
            found.append(Score(float(right), critique=critique))
        return found


def rights_by_place(search, process, problems=40, tries=10):
    """How often the k-th answers of chains are right, and what is expected of them."""
    rights, chances = Counter(), {}
    for chain in chains(WORLD, problems):
        at, after = right_chance(WORLD, chain), right_chance(WORLD, chain, WORLD.revision)
        for place in range(search.n):
            chances.setdefault(place, []).extend([at] * tries * search.chains)
            at = at * (1 - WORLD.broken) + (1 - at) * after
        for number in range(tries):
            oracle = Oracle(chain, process)
            found = run(search(process, oracle, chain.task, Seed(number)), ChainModel(WORLD)).value
            for candidate in found.items:
                _, _, place = candidate.id.partition(".")
                rights[int(place or 0)] += candidate.value == 1.0
    return rights, chances


@PROCESSES
def test_a_chain_of_revisions_is_the_markov_chain_of_its_two_rates(process):
    rights, chances = rights_by_place(SequentialRevision(n=5, chains=2, context=2), process)
    assert all(near(rights[place], chances[place]) for place in range(5))
    assert sum(chances[4]) > 1.3 * sum(chances[0])


def accuracy(search, process=None, problems=40, tries=4):
    found = []
    for chain in chains(WORLD, problems):
        process = process or Answer()
        for number in range(tries):
            flow = search(process, Oracle(chain, process), chain.task, Seed(number))
            found.append(run(flow, ChainModel(WORLD)).value.best.value)
    return sum(found) / len(found)


def test_what_builds_on_earlier_answers_beats_as_many_samples():
    """Eight answers each, chosen by an oracle: coverage of samples against that of later attempts."""
    samples = accuracy(SequentialRevision(n=1, chains=8))
    assert accuracy(SequentialRevision(n=8)) > samples + 0.05
    assert accuracy(Refinement(rounds=7)) > samples + 0.1
    assert accuracy(Evolution(4, 2, 2, parents=1)) > samples
    assert accuracy(Refinement(rounds=0, width=8)) == samples
    assert accuracy(Evolution(8, 0)) == samples
