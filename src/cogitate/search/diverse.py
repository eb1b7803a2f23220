"""Diverse verifier tree search: several greedy searches beside each other, so that no line takes all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from cogitate.core.candidates import Ranking, ranked
from cogitate.core.flow import gather
from cogitate.core.protocols import Process, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task

from .beam import BeamSearch
from .rollout import ending
from .schedules import Schedule, at, check_count

S = TypeVar("S")


@dataclass(frozen=True)
class DiverseTreeSearch:
    """Search `trees` subtrees beside each other, each greedy: of `branch` next steps the best goes on.

    A beam of the same width may come to be descended from one early step; here every subtree keeps its own,
    and only the finished answers are compared. Subtree i is a beam of width 1 whose `branch` first
    steps begin samples i × branch and following, so the cost is that of a beam of `trees` × `branch` children a depth. One
    subtree is a beam of width 1.

    >>> DiverseTreeSearch(trees=4, branch=4)
    DiverseTreeSearch(trees=4, branch=4, depth=16)

    Reference:
        @misc{liu2025can, title={Can 1B LLM Surpass 405B LLM? Rethinking Compute-Optimal Test-Time Scaling},
          author={Liu, Runze and others}, year={2025}, eprint={2502.06703}}
    """

    trees: int = 4
    branch: int | Schedule = 4
    depth: int = 16

    def __post_init__(self) -> None:
        check_count("trees", self.trees)
        check_count("branch", self.branch)
        check_count("depth", self.depth)

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        return self.trees * self._inner().states()

    async def __call__(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        inner, width = self._inner(), at(self.branch, 0)
        alone = self.trees == 1
        found = await gather(
            *(
                inner.from_root(
                    process, scorer, task, seed, tree="" if alone else f"t{i}", first=i * width
                )
                for i in range(self.trees)
            )
        )
        finished = [c for one in found for c in one.items if process.done(c.state)]
        partial = [c for one in found for c in one.items if not process.done(c.state)]
        items = (*ranked(finished).items, *ranked(partial).items)
        stopped = ending([one.stopped for one in found], empty=not items)
        return Ranking(items, stopped, self._told(found, len(finished), len(partial)))

    def _told(self, found: Sequence[Ranking[S]], finished: int, partial: int) -> str:
        if self.trees == 1:
            return found[0].note
        told = f"{finished} finished and {partial} unfinished of {self.trees} trees"
        odd = [(i, one.note) for i, one in enumerate(found) if one.stopped or not one.items]
        return f"{told}; tree {odd[0][0]}: {odd[0][1]}" if odd else told

    def _inner(self) -> BeamSearch:
        return BeamSearch(width=1, branch=self.branch, depth=self.depth)
