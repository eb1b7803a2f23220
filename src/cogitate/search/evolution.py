"""Evolution: the best answers are parents of the next ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Generic, Literal, Protocol, TypeVar, cast

from cogitate.core.candidates import Ranking, Unscored
from cogitate.core.errors import InvalidInput
from cogitate.core.flow import Flow, gather, note
from cogitate.core.protocols import Mutable, MutableProcess, Scorer, Tempered
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.rules.evolving import elite, tournament, truncation

from ._succession import Verdicts, cause, finished, follow, judges_alone, refused, told
from .rollout import Lost, Rollout, rollout
from .schedules import Schedule, at, check_count

S = TypeVar("S")


class Mating(Protocol):
    """Chooses k different parents by their values; returns indices, the most important first."""

    def __call__(self, values: Sequence[float], k: int, seed: Seed) -> Sequence[int]: ...


@dataclass(frozen=True)
class Tournament:
    """Each parent wins a tournament of `size` drawn at random; more makes the best win oftener.

    >>> Tournament(2)([0.1, 0.9], 1, Seed(0))
    [1]
    """

    size: int = 3

    def __post_init__(self) -> None:
        check_count("size", self.size)

    def __call__(self, values: Sequence[float], k: int, seed: Seed) -> Sequence[int]:
        return tournament(values, k, self.size, seed.int())


@dataclass(frozen=True)
class Truncation:
    """Parents are any of the `size` best; as many parents as that are these, best first.

    >>> Truncation(2)([0.1, 0.9, 0.5], 2, Seed(0))
    [1, 2]
    """

    size: int = 4

    def __post_init__(self) -> None:
        check_count("size", self.size)

    def __call__(self, values: Sequence[float], k: int, seed: Seed) -> Sequence[int]:
        return truncation(values, k, self.size, seed.int())


@dataclass(eq=False)
class _Run(Generic[S]):
    """One run, as far as it came."""

    # Mutable on purpose: where one run stands.
    verdicts: Verdicts[S]
    samples: list[Rollout[S] | Lost] = field(default_factory=list["Rollout[S] | Lost"])
    parents: dict[str, str] = field(default_factory=dict[str, str])
    living: list[Rollout[S]] = field(default_factory=list["Rollout[S]"])
    """The population: different states only."""
    ended: bool = False

    def value(self, sample: Rollout[S]) -> float:
        score = self.verdicts.scores[sample.id]
        return float("-inf") if isinstance(score, Unscored) else score.value


@dataclass(frozen=True)
class Evolution:
    """Keep the elites of each generation, and make the rest of the next of selected parents.

    The first population are samples 0 to n - 1, so that no generation at all is exactly best-of-N. Equal
    states live once. A scorer that judges every state by itself is asked about each once, so elites cost
    nothing; one that compares, such as a vote, is asked each generation about all so far. The best ever is never
    lost: the ranking holds all that was made. The process must be able to mutate.

    >>> Evolution(population=6, generations=2, elites=2).states()
    14

    Reference:
        @article{zeng2025satori,
          title={Satori-SWE: Evolutionary Test-Time Scaling for Sample-Efficient Software Engineering},
          author={Zeng, Guangtao and others},
          journal={arXiv preprint arXiv:2505.23604},
          year={2025}
        }
        @article{he2025scaling,
          title={Scaling Image and Video Generation via Test-Time Evolutionary Search},
          author={He, Haoran and others},
          journal={arXiv preprint arXiv:2505.17618},
          year={2025}
        }
    """

    population: int | Schedule = 8
    """Size at each generation, the first being 0."""
    generations: int = 3
    """How often children are made."""
    elites: int = 2
    """The best, which live on as they are, and leave at least one place to a child; 0: all are new."""
    select: Mating = Tournament(3)
    parents: int | Schedule = 2
    """Earlier answers that a child is made of."""
    strength: float | Schedule | None = None
    """Of mutation, at each generation, for processes that have one; for texts it is the temperature."""
    breed: Literal["living", "ever"] = "living"
    """Whether elites and parents are of the last population, or of all that were ever scored."""
    rank: Literal["ever", "last"] = "ever"
    """Whether all answers are ranked, or the last generation only, as without a scorer."""

    def __post_init__(self) -> None:
        check_count("population", self.population)
        check_count("parents", self.parents)
        if self.generations < 0 or self.elites < 0:
            raise InvalidInput(
                f"generations={self.generations} and elites={self.elites} were asked for; neither may be "
                "below 0"
            )
        if isinstance(self.strength, int | float) and not 0 <= self.strength < math.inf:
            raise InvalidInput(
                f"strength={self.strength} was asked for; it is a number from 0, a schedule, or None"
            )
        if self.breed not in ("living", "ever") or self.rank not in ("ever", "last"):
            raise InvalidInput(
                f'breed={self.breed!r} and rank={self.rank!r} were asked for; breed is "living" or "ever", '
                'rank "ever" or "last"'
            )

    def states(self) -> int:
        """How many states the scorer will be asked about; one that compares is asked about some again."""
        later = (self._children_at(g) for g in range(1, self.generations + 1))
        return at(self.population, 0) + sum(later)

    def _children_at(self, generation: int) -> int:
        size = at(self.population, generation)
        return size - min(self.elites, size - 1)

    async def __call__(
        self, process: MutableProcess[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        check_mutable(process, strength=self.strength is not None)
        run: _Run[S] = _Run(Verdicts(scorer, task, judges_alone(scorer)))
        firsts = await gather(
            *(rollout(process, task, seed, i) for i in range(at(self.population, 0)))
        )
        last = firsts
        await self._born(run, (), firsts)
        for generation in range(1, self.generations + 1):
            if run.ended or not run.living:
                break
            kept = self._elites(run, generation)
            children = await self._children(process, run, seed, generation)
            last = children if finished(children) else last
            before = run.living
            await self._born(run, kept, children)
            await _tell(run, before, generation)
        shown = run.samples if self.rank == "ever" else last
        scores = [run.verdicts.scores[s.id] for s in finished(shown)]
        ranking = told(shown, scores, run.parents, asked=len(run.samples))
        if self.rank == "last" and not ranking.stopped:
            causes = [cause(sample) for sample in run.samples]
            stop = next((c for c in causes if c and refused([c])), "")
            ranking = replace(ranking, stopped=stop)
        return ranking

    def _elites(self, run: _Run[S], generation: int) -> list[Rollout[S]]:
        pool, places = (
            self._pool(run),
            at(self.population, generation) - self._children_at(generation),
        )
        return [pool[i] for i in elite([run.value(s) for s in pool], places)]

    def _pool(self, run: _Run[S]) -> list[Rollout[S]]:
        if self.breed == "living":
            return run.living
        verdicts = run.verdicts
        return [s for s in verdicts.samples if verdicts.first(s) == s.id]

    async def _children(
        self,
        process: MutableProcess[S],
        run: _Run[S],
        seed: Seed,
        generation: int,
    ) -> list[Rollout[S] | Lost]:
        if self.strength is not None:
            strong = self.strength(generation) if callable(self.strength) else self.strength
            process = cast(Tempered[S], process).at_strength(strong)
        pool = self._pool(run)
        values = [run.value(s) for s in pool]
        flows: list[Flow[Rollout[S] | Lost]] = []
        for i in range(self._children_at(generation)):
            line, id = seed.at("generation", generation, i), f"g{generation}.{i}"
            chosen = self.select(values, at(self.parents, generation), line.at("select"))
            parents = [pool[c] for c in chosen]
            make = partial(process.mutate, [p.state for p in parents], line)
            run.parents[id] = parents[0].id
            flows.append(follow(process, make, line, id, parents[0].id))
        return await gather(*flows)

    async def _born(
        self, run: _Run[S], kept: Sequence[Rollout[S]], new: Sequence[Rollout[S] | Lost]
    ) -> None:
        """Score what is new; the population is now the elites and every new state."""
        run.samples += new
        whole = finished(new)
        scores = await run.verdicts.add(whole)
        causes = [cause(sample) for sample in new]
        unscored = [s.cause for s in scores if isinstance(s, Unscored)]
        run.ended = refused(causes) or (
            bool(scores) and len(unscored) == len(scores) and refused(unscored)
        )
        states = {sample.state for sample in kept}
        living = list(kept)
        for sample in whole:
            if sample.state not in states:
                states.add(sample.state)
                living.append(sample)
        run.living = living or run.living


async def _tell(run: _Run[S], before: Sequence[Rollout[S]], generation: int) -> None:
    alive = {sample.id for sample in run.living}
    await note("kept", ids=[s.id for s in run.living], depth=generation)
    await note("pruned", ids=[s.id for s in before if s.id not in alive], depth=generation)


def check_mutable(process: object, *, strength: bool = False) -> None:
    """Refuse a process that cannot mutate, or not by strength where one is given.

    Raises:
        InvalidInput: in one sentence.
    """
    name = type(process).__name__
    if not isinstance(process, Mutable):
        raise InvalidInput(
            f"evolution was asked for, but {name} cannot mutate; give a process with "
            "mutate(parents, seed), such as Answer()"
        )
    if strength and not isinstance(process, Tempered):
        raise InvalidInput(
            f"a strength of mutation was asked for, but {name} has none; leave strength out, or give the "
            "process at_strength(strength)"
        )
