"""Successive halving: many lines begin, and the better share of them goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

from cogitate.core.candidates import Ranking
from cogitate.core.errors import InvalidInput
from cogitate.core.protocols import Process, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task

from .particles import Particles
from .schedules import check_count
from .select import Selection, TopK
from .stages import Until

S = TypeVar("S")


@dataclass(frozen=True)
class Rungs:
    """How many lines are alive at a depth: `n` on the first rung, `keep` of them on each next one.

    >>> [Rungs(8, 0.5, steps=1)(d) for d in range(6)]
    [8, 4, 2, 1, 1, 1]
    >>> [Rungs(8, 0.5, steps=1, equal_cost=True)(d) for d in range(8)]
    [8, 4, 4, 2, 2, 2, 2, 1]
    """

    n: int = 8
    keep: float = 0.5
    steps: int = 1
    """Steps of a line on the first rung."""
    equal_cost: bool = False
    """Every rung costs as many steps in all as the first: fewer lines take more steps each."""

    def __post_init__(self) -> None:
        check_count("n", self.n)
        check_count("steps", self.steps)
        if not 0 < self.keep <= 1:
            raise InvalidInput(f"keep={self.keep} was asked for; it lies above 0 and up to 1")

    def __call__(self, depth: int) -> float:
        lines, end = self.n, self._length(self.n)
        while depth >= end and lines > 1 and self.keep < 1:
            # at least one line goes at every rung, or rounding would keep two for ever
            lines = max(1, min(lines - 1, math.ceil(lines * self.keep)))
            end += self._length(lines)
        return lines

    def _length(self, lines: int) -> int:
        return self.steps * self.n // lines if self.equal_cost else self.steps


@dataclass(frozen=True)
class SuccessiveHalving:
    """Start n partial answers, and after each rung of steps keep the best share of them.

    The scorer sees partial answers. With `keep` = 1 nobody is dropped: best-of-n. A line that is finished
    keeps its place by its score.

    >>> SuccessiveHalving(n=8, keep=0.5)
    SuccessiveHalving(n=8, keep=0.5, steps=1, equal_cost=False, depth=16, select=TopK())

    Reference:
        @inproceedings{karnin2013almost, title={Almost Optimal Exploration in Multi-Armed Bandits},
          author={Karnin, Zohar and Koren, Tomer and Somekh, Oren}, booktitle={ICML}, year={2013}}
    Deviates: arms are partial answers whose next steps are new text and not new draws of one reward.
    """

    n: int = 8
    keep: float = 0.5
    steps: int = 1
    equal_cost: bool = False
    depth: int = 16
    select: Selection = TopK()  # noqa: RUF009  (frozen, so it may be shared)

    def __post_init__(self) -> None:
        check_count("depth", self.depth)
        _ = self._rungs()

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        return self._search().states()

    async def __call__(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        return await self._search()(process, scorer, task, seed)

    def _search(self) -> Particles:
        return Particles(self._rungs(), self.depth, (Until(keep=self.select),))

    def _rungs(self) -> Rungs:
        return Rungs(self.n, self.keep, self.steps, self.equal_cost)
