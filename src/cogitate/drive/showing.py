"""What may be shown of an answer while it is generated: never twice, and nothing that is withdrawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cogitate.core.asking import Ask
from cogitate.core.errors import Failed
from cogitate.core.events import Chunk, Event
from cogitate.core.machine import Outcome
from cogitate.core.requests import Completion, Generate, Reply


class Screen:
    """What one run shows of its requests, as chunks; those of final requests are part of the answer."""

    # Mutable on purpose: it follows what is on its way.

    def __init__(self, listen: Callable[[Event], None] | None) -> None:
        self._listen = listen
        self._open: dict[str, Showing] = {}

    def begin(self, ask: Ask) -> None:
        """A request is sent."""
        if self._listen is not None and (request := _final(ask)) is not None:
            self._open[ask.at] = Showing(request.withheld)

    def again(self, ask: Ask) -> None:
        """It will be sent once more."""
        if (showing := self._open.get(ask.at)) is not None:
            showing.again()

    def piece(self, ask: Ask, text: str) -> bool:
        """Some of its output; false where it says something else than was shown, so that it may end."""
        if self._listen is None:
            return True
        showing = self._open.get(ask.at)
        if showing is None:
            self._listen(Chunk(ask.stream, ask.at, text))
            return True
        if more := showing.add(text):
            self._listen(Chunk(ask.stream, ask.at, more, final=True))
        return not showing.withdrawn

    def kept(self, ask: Ask, outcome: Outcome) -> None:
        """A kept answer in one piece: who shows the answer as it comes sees it, too."""
        request = _final(ask)
        if self._listen is None or request is None or not isinstance(outcome, Reply):
            return
        if text := said_of(outcome.value, request.withheld):
            self._listen(Chunk(ask.stream, ask.at, text, final=True))

    def end(self, ask: Ask, outcome: Reply[Any] | Failed) -> Reply[Any] | Failed:
        """The outcome once the rest of it is shown; a failure where something else was shown before."""
        showing = self._open.pop(ask.at, None)
        if showing is None or self._listen is None:
            return outcome
        if isinstance(outcome, Reply) and (more := showing.end(outcome.value)):
            self._listen(Chunk(ask.stream, ask.at, more, final=True))
        if not showing.withdrawn:
            return outcome
        return Failed(
            f"the answer broke off after {len(showing.shown)} characters that were shown already, and another "
            "attempt said something else; ask again",
            "cut",
            usage=outcome.usage,
        )


def _final(ask: Ask) -> Generate | None:
    request = ask.request
    return request if isinstance(request, Generate) and request.final else None


class Showing:
    """The text of one final request as whoever reads along sees it.

    What may be the beginning of a withheld stop string waits until it is none. Where a call is tried again, its text
    is compared with what was shown and goes on from there; where it says something else, nothing more is shown
    and the request has failed, because a text that somebody reads cannot be taken back.

    >>> showing = Showing(("END",))
    >>> showing.add("An oak.E"), showing.add("N"), showing.add("D."), showing.shown
    ('An oak.', '', '', 'An oak.')
    """

    # Mutable on purpose: it follows one output.

    def __init__(self, withheld: Sequence[str] = ()) -> None:
        self._withheld = tuple(withheld)
        self._parts: list[str] = []
        self._said: str | None = None
        """Of a later attempt, until it has said all that was shown; then, and at first, `None`."""
        self._waiting = ""
        """What may become a stop string."""
        self.withdrawn: bool = False
        """Whether an attempt says something else than was shown."""

    @property
    def shown(self) -> str:
        """All that was shown."""
        return "".join(self._parts)

    def add(self, piece: str) -> str:
        """Take a piece of the output; returns what may be shown now."""
        if self._said is not None:
            piece = self._beyond(self._said + piece)
        self._waiting += piece
        if self.withdrawn or not self._waiting:
            return ""
        more = before_stop(self._waiting, self._withheld)
        self._waiting = self._waiting[len(more) :]
        return self._show(more)

    def again(self) -> None:
        """Another attempt begins."""
        self._said, self._waiting = ("" if self._parts else None), ""

    def end(self, said: Completion) -> str:
        """What is left to be shown of the whole output."""
        shown, whole = self.shown, said_of(said, self._withheld)
        self.withdrawn = self.withdrawn or not whole.startswith(shown)
        return "" if self.withdrawn else self._show(whole[len(shown) :])

    def _beyond(self, said: str) -> str:
        """What a later attempt says beyond what was shown; nothing until it comes so far."""
        shown = self.shown
        self._said = None if len(said) > len(shown) else said
        self.withdrawn = self.withdrawn or said[: len(shown)] != shown[: len(said)]
        return said[len(shown) :]

    def _show(self, text: str) -> str:
        if text:
            self._parts.append(text)
        return text


def said_of(said: Completion, withheld: Sequence[str]) -> str:
    """An output without the withheld stop string that ended it.

    >>> said_of(Completion("An oak.END", "stop", "END"), ("END",))
    'An oak.'
    """
    if said.finish == "stop" and said.stopped_by in withheld:
        return said.text.removesuffix(said.stopped_by)
    return said.text


def before_stop(text: str, stops: Sequence[str]) -> str:
    """The beginning of a growing text that can be no part of a stop string, whatever comes.

    >>> before_stop("so it is.E", ("END", ".EN")), before_stop("so ENDs", ("END",))
    ('so it is', 'so ')
    """
    end = len(text)
    for stop in stops:
        at = text.find(stop)
        if at >= 0:
            end = min(end, at)
            continue
        for size in range(min(len(stop) - 1, len(text)), 0, -1):
            if text.endswith(stop[:size]):
                end = min(end, len(text) - size)
                break
    return text[:end]
