"""Lifting scorers of artifacts to scorers of states."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .candidates import Artifact, Score, Unscored
from .errors import Failed
from .flow import gather
from .protocols import Scorer
from .task import Task

S = TypeVar("S")


@dataclass(frozen=True)
class SeenAs(Generic[S]):
    """A scorer of artifacts, applied to states through a view of them."""

    view: Callable[[S], Awaitable[Artifact]]
    scorer: Scorer[Artifact]

    async def __call__(self, task: Task, states: Sequence[S]) -> Sequence[Score | Unscored]:
        async def look(state: S) -> Artifact | Unscored:
            try:
                return await self.view(state)
            except Failed as failure:  # a view may itself ask, such as decoding a latent
                return Unscored(failure.reason)

        seen = await gather(*(look(state) for state in states))
        visible = [s for s in seen if isinstance(s, Artifact)]
        found = await self.scorer(task, visible)
        if len(found) != len(visible):
            raise Failed(
                f"the scorer gave {len(found)} scores for {len(visible)} candidates; it must give one each",
                "malformed",
            )
        scores = iter(found)
        return [s if isinstance(s, Unscored) else next(scores) for s in seen]


def seen_as(view: Callable[[S], Awaitable[Artifact]], scorer: Scorer[Artifact]) -> SeenAs[S]:
    """Score states by what can be seen of them: `seen_as(process.preview, reward)`."""
    return SeenAs(view, scorer)
