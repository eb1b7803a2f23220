"""One request on its way through the gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cogitate.core.usage import ZERO, Budget, Usage

from .choosing import BUDGET_HEADERS, STRATEGY_HEADER, Answerer
from .refusals import invalid
from .sending import Headers, header
from .shared import Meter

if TYPE_CHECKING:
    from .asking import Wanted


_ONCE: Final = (b"authorization", b"content-type", STRATEGY_HEADER, *BUDGET_HEADERS)
_NOBODY: Final = Answerer("", None, "")
_UNBOUNDED: Final = Budget()


@dataclass(slots=True)
class Turn:
    """What is known of a request so far. Mutable: it is learnt step by step."""

    id: str
    chat: bool
    headers: Mapping[bytes, bytes]
    meter: Meter
    answerer: Answerer = _NOBODY
    key: str = ""
    """Name of the key; never the key."""
    budget: Budget = _UNBOUNDED
    wanted: Wanted | None = None
    """Only under a strategy."""
    usage: Usage = ZERO
    status: int = 0
    """What counts in the accounts, where it differs from what was sent."""

    @property
    def authorization(self) -> str | None:
        """As the client sent it."""
        held = self.headers.get(b"authorization")
        return None if held is None else held.decode("latin-1")

    def told(self, *, buffered: bool = False, finished: bool = False) -> Headers:
        """The headers of ours that go with the reply."""
        found: Headers = [(b"x-request-id", self.id.encode())]
        strategy = self.answerer.strategy
        if strategy is not None:
            found.append((b"x-cogitate-strategy", header(str(strategy))))
        if buffered:
            found.append((b"x-cogitate-buffered", b"true"))
        if finished:
            found.append((b"x-cogitate-overhead-ms", b"%.2f" % self.meter.own_ms))
            found.append((b"x-cogitate-calls", b"%d" % self.usage.calls))
        return found


def check_headers(raw: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse a request that gives one of our headers twice: whoever stands before us may have read the other.

    Raises:
        Refused: naming the header.
    """
    names = [name for name, _ in raw]
    if len(names) == len(set(names)):
        return
    for name in _ONCE:
        if names.count(name) > 1:
            told = name.decode()
            raise invalid(f"the header {told} came more than once; send it once", told)
