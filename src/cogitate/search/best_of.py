"""Best of N: independent samples, scored together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from cogitate.core.candidates import Ranking
from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.flow import gather
from cogitate.core.protocols import Process, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task

from .rollout import Rollout, concluded, judged, rollout
from .schedules import check_count

S = TypeVar("S")


@dataclass(frozen=True)
class BestOf:
    """Draw n samples at once and rank them by score; samples that the budget cuts come last, unscored.

    Samples do not depend on n or on the scorer: more samples, or another scorer, re-use them.

    >>> BestOf(8)
    BestOf(n=8)
    """

    n: int = 8

    def __post_init__(self) -> None:
        check_count("n", self.n)

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        return self.n

    async def __call__(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        samples = await gather(
            *(rollout(process, task, seed, i) for i in range(self.n)), drop=(OutOfBudget, Failed)
        )
        finished = [s for s in samples if isinstance(s, Rollout) and s.cut is None]
        scores = await judged(scorer, task, [s.state for s in finished], [s.id for s in finished])
        return concluded(samples, scores, asked=self.n)
