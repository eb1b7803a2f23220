"""Which replies a run keeps for the next one, and where."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cogitate.drive import ReplyCache

from .configuration import Configuration

CacheLike = bool | str | Path | ReplyCache | None
"""Left out: the replies of servers and local models are kept, unless the configuration says otherwise.
`False`: nothing is kept or read. `True`: the replies of every model are kept, free ones and functions too.
A directory or a cache: the same, there."""


@dataclass(frozen=True)
class Kept:
    """What a run may read and add to."""

    replies: ReplyCache | None
    every: bool
    """Whether free models, functions and engines of the caller's are kept, too."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What went wrong with it, one sentence each."""
        return () if self.replies is None else self.replies.notes


@contextmanager
def keeping(cache: CacheLike, configuration: Configuration) -> Generator[Kept, None, None]:
    """The cache of a run; written and closed at its end, unless it is the caller's."""
    if isinstance(cache, ReplyCache):
        try:
            yield Kept(cache, every=True)
        finally:
            cache.flush(now=True)
        return
    if cache is False or (cache is None and not configuration.caches):
        yield Kept(None, every=False)
        return
    named = isinstance(cache, str | Path)
    directory = Path(cache) if named else configuration.cache_directory
    with ReplyCache(directory, max_bytes=configuration.cache_bytes) as replies:
        yield Kept(replies, every=cache is not None)
