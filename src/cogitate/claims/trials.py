"""Strategies tried on the problems of a preset: what they answered, how often rightly, and at what cost."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cogitate.core.candidates import Artifact, Ranking
from cogitate.core.flow import gather
from cogitate.core.protocols import Emit, Engine, Limits, Strategy, silent
from cogitate.core.requests import Reply, Request, ScoreSteps
from cogitate.core.seeds import Seed
from cogitate.core.usage import ZERO, Usage
from cogitate.drive import Router, run
from cogitate.engines.grading import Grader
from cogitate.lab.worlds import Chain, ChainModel, ChainWorld, chains, preset
from cogitate.rules import Interval, paired_bootstrap, wilson

from .claim import Setting


@dataclass(frozen=True)
class Trial:
    """What one strategy did with each problem, in their order."""

    problems: tuple[Chain, ...]
    rankings: tuple[Ranking[Artifact], ...]
    roles: Mapping[str, Usage]
    """What it cost, by role."""

    @functools.cached_property
    def answers(self) -> tuple[str | None, ...]:
        """The answer it settled on; `None` where it has none."""
        return tuple(found.best.state.answer if found.items else None for found in self.rankings)

    @functools.cached_property
    def right(self) -> tuple[bool, ...]:
        """Whether that answer is right."""
        return tuple(a == p.gold for a, p in zip(self.answers, self.problems, strict=True))

    @property
    def accuracy(self) -> Interval:
        """The share of right answers, at 95 %."""
        return wilson(sum(self.right), len(self.right))

    @property
    def calls(self) -> int:
        """Requests of the policy."""
        return self.roles.get("policy", ZERO).calls

    def where(self, low: float, high: float) -> Trial:
        """The part of it on problems of a difficulty from `low` up to `high`."""
        return self.part([i for i, p in enumerate(self.problems) if low <= p.difficulty < high])

    def part(self, kept: Sequence[int]) -> Trial:
        """The part of it on these problems; what it cost is left whole."""
        return Trial(
            tuple(self.problems[i] for i in kept), tuple(self.rankings[i] for i in kept), self.roles
        )

    def __add__(self, more: Trial) -> Trial:
        both = {
            role: self.roles.get(role, ZERO) + more.roles.get(role, ZERO)
            for role in {*self.roles, *more.roles}
        }
        return Trial(self.problems + more.problems, self.rankings + more.rankings, both)


def world_of(setting: Setting) -> ChainWorld:
    """The preset of a setting, with its changes."""
    return preset(setting.preset, **setting.changes)


@functools.lru_cache(maxsize=128)
def trial(
    strategy: Strategy, world: ChainWorld, count: int, seeds: tuple[int, ...] = (0,)
) -> Trial:
    """A strategy on the first `count` problems of a world, once for each seed; known ones are not run again.

    A seed draws other problems and other samples.
    """
    whole = tried(strategy, world, chains(world, count, seeds[0]), seed=seeds[0])
    for seed in seeds[1:]:
        whole += tried(strategy, world, chains(world, count, seed), seed=seed)
    return whole


def tried(
    strategy: Strategy,
    world: ChainWorld,
    problems: Sequence[Chain],
    *,
    seed: int = 0,
    verifier: Engine | None = None,
    asked: list[Request[Any]] | None = None,
) -> Trial:
    """A strategy on these problems, all under one `gather`.

    Args:
        strategy: what is tried.
        world: serves the policy and, where no other is given, the verifier.
        problems: of that world.
        seed: of all samples.
        verifier: takes the place of the world's own.
        asked: a list to which the requests to the world are added.
    """
    model: Engine = ChainModel(world)
    if asked is not None:
        model = _Watched(model, asked)
    roles = {"policy": (model,)} | ({} if verifier is None else {"verifier": (verifier,)})
    router = Router(roles, [Grader(symbolic=False)])

    async def flow() -> list[Ranking[Artifact]]:
        return await gather(
            *(strategy(p.task, Seed(seed).at("problem", p.number)) for p in problems)
        )

    done = run(flow(), router)
    return Trial(tuple(problems), tuple(done.value), done.roles)


def lead(first: Trial, second: Trial, seed: int = 0) -> Interval:
    """By how much the first is more often right than the second, on the same problems."""
    return paired_bootstrap(
        [float(x) for x in first.right], [float(x) for x in second.right], seed, draws=1000
    )


def shown(found: Interval) -> str:
    """An estimate with its interval, in words.

    >>> shown(Interval(0.5, 0.4, 0.61))
    '0.500 [0.400, 0.610]'
    """
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


@dataclass(frozen=True)
class Constant:
    """A verifier that gives every step the same score."""

    score: float = 0.5
    serves: frozenset[type[Request[Any]]] = frozenset({ScoreSteps})
    limits: Limits = field(default_factory=lambda: Limits(concurrency=1024, mixed=True))

    @property
    def fingerprint(self) -> str:
        """Its score."""
        return f"constant:{self.score}"

    def ceiling(self, request: Request[Any]) -> Usage:
        """One call."""
        return Usage(calls=1)

    async def serve(self, batch: Sequence[Request[Any]], emit: Emit = silent) -> list[Reply[Any]]:
        """The same for all."""
        return [
            Reply((self.score,) * len(r.steps), Usage(calls=1), engine=self.fingerprint)
            for r in batch
            if isinstance(r, ScoreSteps)
        ]

    async def close(self) -> None:
        """Nothing is held."""


class _Watched:
    """An engine whose requests are noted down."""

    def __init__(self, engine: Engine, asked: list[Request[Any]]) -> None:
        self._engine, self._asked = engine, asked
        self.serves, self.limits = engine.serves, engine.limits
        self.fingerprint = engine.fingerprint

    def ceiling(self, request: Request[Any]) -> Usage:
        return self._engine.ceiling(request)

    async def serve(self, batch: Sequence[Request[Any]], emit: Emit = silent) -> Sequence[Any]:
        self._asked.extend(batch)
        return await self._engine.serve(batch, emit)

    async def close(self) -> None:
        await self._engine.close()
