"""One question of a benchmark, and the verdict on an answer to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cogitate.core.candidates import Artifact
from cogitate.core.task import EMPTY, Task


@dataclass(frozen=True, slots=True)
class Item:
    """One question, with what its grader needs to know."""

    id: str
    """Unique in its benchmark."""
    task: Task
    """What a strategy is asked; the reference is not in it."""
    gold: str | None = None
    """The reference answer; `None` where answers are checked and not compared."""
    meta: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    """JSON values: what the grader reads, such as tests, and what the data says of the question, such as its level."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a grader says of one answer."""

    correct: bool | None
    """`None` where there is no answer to judge."""
    credit: float = 0.0
    """From 0 to 1: the task's own partial credit, such as F1; 1 or 0 where it knows none."""


ABSTAINED = Verdict(None)
"""The verdict on what holds no answer."""


class Grader(Protocol):
    """Judges answers; a flow, so that what it asks is journaled.

    A request that fails or is refused is raised: an answer that could not be judged is no wrong answer.
    """

    @property
    def name(self) -> str:
        """As definitions and cards write it."""
        ...

    async def __call__(self, item: Item, artifacts: Sequence[Artifact]) -> tuple[Verdict, ...]:
        """One verdict an artifact, in order."""
        ...
