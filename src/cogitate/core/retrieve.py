"""Asking an index for the passages that fit a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .requests import Request


@dataclass(frozen=True, slots=True)
class Passage:
    """Something an index holds."""

    id: str
    """Unique in its index."""
    text: str
    score: float
    """How well it fits; higher is better. The range is the index's own: a cosine, a BM25 score, a fused rank."""
    context: str = ""
    """What stands around it, such as the problem and the steps before a step."""


@dataclass(frozen=True)
class Retrieve(Request[tuple[Passage, ...]]):
    """The passages that fit a query best, best first; fewer where the index holds fewer."""

    reply_type: ClassVar[Any] = tuple[Passage, ...]

    query: str
    k: int = 5
    index: str = ""
    """Name of the index, where an engine holds several; empty: its first."""
    role: str = "retriever"
