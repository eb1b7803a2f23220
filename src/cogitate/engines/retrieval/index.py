"""What every index does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .corpus import Corpus

Found = tuple[int, float]
"""Place in the corpus, and how well it fits."""


class Index(Protocol):
    """Finds the passages of a corpus that fit a query."""

    @property
    def corpus(self) -> Corpus:
        """What it holds."""
        ...

    @property
    def fingerprint(self) -> str:
        """What would change its answers."""
        ...

    @property
    def embeds(self) -> bool:
        """Whether a query must be given as a vector too."""
        ...

    def rank(self, query: str, k: int, vector: Sequence[float] | None = None) -> list[Found]:
        """The k that fit best, best first; ties by place. Blocks."""
        ...
