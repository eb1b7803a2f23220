"""Which strategies can be read while they write, and how they are told to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from cogitate.core.task import KINDS

from .factory import Assembled

S = TypeVar("S")


@dataclass(frozen=True)
class Streamed(Assembled):
    """A chosen strategy that shows its answer while it is written; prints as the strategy it is."""

    def for_kind(self, kind: str) -> Any:
        """The strategy itself, marked to be streamed."""
        from cogitate.search import streamed

        made = super().for_kind(kind)
        marked = streamed(made)
        return made if marked is None else marked

    def with_argument(self, name: str, value: Any) -> Assembled:
        """The same with one argument changed, still told while it writes."""
        changed = super().with_argument(name, value)
        return Streamed(changed.factory, changed.arguments, changed.functions)

    __str__ = Assembled.__str__
    __repr__ = Assembled.__str__


def streaming(strategy: S) -> S | None:
    """The same strategy, telling its answer while it writes it; `None` where it must be waited for.

    What it tells stands: the text of chunks that are `final`, one after another, or each `settled` text, which
    begins with the one before. Either is the beginning of the text of the best candidate, unless the last
    generation failed on its way: then the ranking holds what else there is, and whoever streams must say that the
    answer broke off. A turn of the assistant that the task itself began is not told again.

    It is for strategies that end in one generation (one sample; `fusion`; a route whose arms all do; a vote of
    one), for a cascade or an escalation whose last level does, which then stands even where it found no answer
    and an earlier level did, and for a beam of width 1, which settles a step at a time.

    >>> from cogitate.assembly import read
    >>> str(streaming(read("fusion(n=2)"))), streaming(read("best_of(n=2)"))
    ('fusion(n=2)', None)
    """
    from cogitate.search import streamed

    if isinstance(strategy, Assembled):
        if any(streamed(strategy.for_kind(kind)) is None for kind in KINDS):
            return None
        return Streamed(strategy.factory, strategy.arguments, strategy.functions)  # pyright: ignore[reportReturnType]
    return streamed(strategy)
