"""Server-sent events from a stream of bytes."""

from __future__ import annotations

from cogitate.core.errors import Failed

LONGEST_EVENT = 16 * 1024 * 1024
"""Bytes of one event; a server that sends more without an end of line is broken or hostile."""


class EventReader:
    r"""Collects the `data` of server-sent events, however the bytes are cut.

    >>> reader = EventReader()
    >>> reader.feed(b'data: {"a"'), reader.feed(b': 1}\n\ndata: [DONE]\n\n')
    ([], ['{"a": 1}', '[DONE]'])
    """

    # Mutable on purpose: it holds the bytes of the event that is still arriving.
    __slots__ = ("_data", "_rest", "_size")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[str]:
        """The events that are complete with these bytes.

        Raises:
            Failed: where one event grows beyond all measure.
        """
        self._rest += chunk
        if b"\n" not in chunk:
            self._bound(len(self._rest))
            return []
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        events: list[str] = []
        for raw in lines:
            line = raw.removesuffix(b"\r")
            if not line:
                self._flush(events)
            elif line.startswith(b"data:"):
                text = line[5:].removeprefix(b" ").decode("utf-8", "replace")
                self._size += len(line)
                self._data.append(text)
            self._bound(self._size)
        return events

    def end(self) -> list[str]:
        """What an ended stream still held: an event without its empty line."""
        events = self.feed(b"\n\n") if self._rest else []
        self._flush(events)
        return events

    def _flush(self, events: list[str]) -> None:
        if self._data:
            events.append("\n".join(self._data))
            self._data = []
            self._size = 0

    def _bound(self, size: int) -> None:
        if size > LONGEST_EVENT:
            raise Failed(
                f"the server sent one event of more than {LONGEST_EVENT} bytes; it is broken or hostile",
                "malformed",
            )
