"""Fusion: drafts by any search, then one last answer that is shown the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from cogitate.core.candidates import Candidate, Ranking, Unscored
from cogitate.core.errors import InvalidInput
from cogitate.core.flow import remaining, within
from cogitate.core.protocols import Mutable, MutableProcess, Scorer, SearchOn
from cogitate.core.seeds import Seed
from cogitate.core.task import Task

from ._streaming import as_final
from ._succession import follow
from .best_of import BestOf
from .escalation import shared
from .reserves import Planned
from .rollout import Lost, ending
from .schedules import check_count

S = TypeVar("S")

ID = "fused"
_WRITTEN = Unscored("it was written from the drafts and not compared with them", "abstained")


@dataclass(frozen=True)
class Fusion:
    """Draft by a search, then write one last answer that is shown the best drafts.

    The last answer stands first whatever the scorer thinks of the drafts, and has no score: it was not compared
    with them. So what a strategy of this kind says last is its answer, and may be streamed while it is
    written. The drafts may spend all but `share` of what is left. Where the last answer is refused or fails, the
    ranking of the drafts stands; where there are no drafts, there is nothing to fuse.

    >>> Fusion(BestOf(8), show=3).states()
    8

    Reference:
        @article{wang2024mixture,
          title={Mixture-of-Agents Enhances Large Language Model Capabilities},
          author={Wang, Junlin and others},
          journal={arXiv preprint arXiv:2406.04692},
          year={2024}
        }

    Deviates: one layer of drafts, all by one process; only the best by the scorer are shown.
    """

    drafts: SearchOn[Any] = BestOf(4)  # noqa: RUF009  (frozen, so it may be shared)
    show: int = 3
    """The best drafts that the last answer is shown."""
    share: float = 0.25
    """The part of what is left that the drafts leave to it."""
    final: bool = field(default=False, repr=False)
    """Whether the last answer may be streamed: only where this search stands alone."""

    def __post_init__(self) -> None:
        check_count("show", self.show)
        if not 0 <= self.share < 1:
            raise InvalidInput(
                f"share={self.share} was asked for; it is a part of what is left, from 0 to below 1"
            )

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        return self.drafts.states() if isinstance(self.drafts, Planned) else 0

    async def __call__(
        self, process: MutableProcess[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        check_fusible(process)
        found = await self._drafted(process, scorer, task, seed)
        shown = [c for c in found.items if process.done(c.state)][: self.show]
        if not shown:
            return found
        writer = (as_final(process) or process) if self.final else process
        line = seed.at("fuse")
        make = partial(writer.mutate, [c.state for c in shown], line)
        fused = await follow(writer, make, line, ID, shown[0].id)
        if isinstance(fused, Lost):
            return _without(found, fused, found.items)
        if fused.cut is not None:
            last = Candidate(fused.state, Unscored(fused.cut.reason, fused.cut.cause), ID)
            last = replace(last, parent=shown[0].id)
            # What somebody has read stands, unfinished as it is.
            items = (last, *found.items) if self.final else (*found.items, last)
            return _without(found, fused.cut, items)
        best = Candidate(fused.state, _WRITTEN, ID, shown[0].id)
        told = f"fused {len(shown)} of {len(found.items)} drafts; {found.note}"
        return Ranking((best, *found.items), "", told)

    async def _drafted(
        self, process: MutableProcess[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        grant = shared(await remaining(), 1 - self.share)
        drafting: Any = self.drafts(process, scorer, task, seed)
        if not all(amount > 0 for _, amount in grant.bounds()):
            return await drafting  # too little to share: a draft is better than nothing
        return await within("drafts", grant, drafting)


def _without(found: Ranking[S], lost: Lost, items: Sequence[Candidate[S]]) -> Ranking[S]:
    """The drafts, and what there is of the last answer beside them."""
    stopped = found.stopped or ending([lost.cause], empty=False)
    return Ranking(tuple(items), stopped, f"not fused ({lost.reason}); {found.note}")


def check_fusible(process: object) -> None:
    """Refuse a process that cannot write from earlier answers.

    Raises:
        InvalidInput: in one sentence.
    """
    if not isinstance(process, Mutable):
        raise InvalidInput(
            f"fusion was asked for, but {type(process).__name__} cannot write from earlier answers; give a "
            "process with mutate(parents, seed), such as Answer()"
        )
