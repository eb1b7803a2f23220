"""Replaying the streams of a journal: which recorded answer may be told next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ._tree import Node
from .errors import ReplayMismatch
from .journal import PAID, TELLS, Journal, Record, is_bound
from .requests import Request


class Stream:
    """One stream of records and how far its replay has come."""

    # Mutable on purpose: a cursor.
    __slots__ = ("inner", "name", "notes", "outer", "position", "published", "records", "tells")

    def __init__(self, name: str, records: list[Record], outer: Stream | None) -> None:
        self.name, self.records, self.outer = name, records, outer
        self.position = 0
        self.tells = 0
        """Tells replayed so far."""
        self.notes = sum(r["kind"] == "note" for r in records)
        """Recorded notes that the flow has not published again yet."""
        self.published = 0
        """Notes that the flow has published so far."""
        self.inner = 0
        """Streams of children that still run."""

    def asides(self) -> list[Record]:
        """Step over what is no tell; late answers are returned, because they cost something."""
        cost: list[Record] = []
        while self.position < len(self.records):
            record = self.records[self.position]
            if record["kind"] in TELLS:
                break
            if record["kind"] == "late":
                cost.append(record)
            self.position += 1
        return cost

    def note(self) -> bool:
        """Count a published note; false when it is in the journal already."""
        self.published += 1
        if self.notes:
            self.notes -= 1
            return False
        return True

    @property
    def head(self) -> Record | None:
        """The tell to replay next."""
        return self.records[self.position] if self.position < len(self.records) else None


class Streams:
    """The streams of one machine."""

    def __init__(
        self,
        journal: Journal | None,
        keep_refusals: bool,
        from_mismatch: bool,
        keep_failures: bool = True,
    ) -> None:
        self.journal = journal
        self._keep_refusals, self._from_mismatch = keep_refusals, from_mismatch
        self._keep_failures = keep_failures
        self._unread: dict[str, Stream] = {}
        self._names: set[str] = {""}
        self.leftovers: list[Record] = []

    def claim(self, name: str) -> bool:
        """Whether a new stream may have this name; two of one name would mix in the journal."""
        if name in self._names:
            return False
        self._names.add(name)
        return True

    def open(self, name: str, outer: Stream | None) -> Stream:
        """Begin a stream with what is recorded of it."""
        records = list(self.journal.recorded(name)) if self.journal is not None else []
        stream = Stream(name, records, outer)
        self.leftovers.extend(r for r in records if r["kind"] == "cached")
        if records:
            self._unread[name] = stream
        if outer is not None:
            outer.inner += 1
        return stream

    def sealed(self, name: str) -> Record | None:
        """The seal of a finished stream."""
        return self.journal.sealed(name) if self.journal is not None else None

    def append(self, name: str, record: Record, request: Request[Any] | None) -> None:
        """Write a record."""
        if self.journal is not None:
            self.journal.append(name, record, request)

    def finish(self, stream: Stream, value: Any, codec: Any) -> None:
        """Seal a stream whose flow returned."""
        if self.journal is not None and codec is not None:
            self.journal.seal(stream.name, codec.encode(value))

    def close(self, stream: Stream) -> list[Record]:
        """End a stream whose flow ended; the costs recorded after its last tell are returned.

        Raises:
            ReplayMismatch: when the journal holds answers to questions that the code no longer asks.
        """
        cost = stream.asides()
        head = stream.head
        if head is not None:
            if not self._from_mismatch:
                raise ReplayMismatch(head["at"], _said(head), "nothing: the flow has ended")
            self._abandon(stream)
        return cost + self.drop(stream)

    def drop(self, stream: Stream) -> list[Record]:
        """Forget a stream; what it was told and nobody read again is returned, because it was paid."""
        self._unread.pop(stream.name, None)
        if stream.outer is not None:
            stream.outer.inner -= 1
        return [r for r in stream.records[stream.position :] if r["kind"] in PAID]

    def unread(self) -> Iterator[Stream]:
        """The streams with something left to replay."""
        for stream in list(self._unread.values()):
            if stream.head is None:
                del self._unread[stream.name]
            else:
                yield stream

    def match(
        self, stream: Stream, waiting: Mapping[str, tuple[Node, Any]]
    ) -> tuple[Record, Node, Any] | None:
        """The next recorded tell and who waits for it, if somebody does."""
        head = stream.head
        if head is None:
            return None
        refused = not self._keep_refusals and is_bound(head)
        if refused or (not self._keep_failures and head["kind"] == "failed"):
            self._abandon(stream)
            return None
        found = waiting.get(head["at"])
        if found is not None and found[1].stream == stream.name:
            node, ask = found
            now = ask.request
            if now.key() == head["key"]:
                stream.position += 1
                stream.tells += 1
                return head, node, ask
            self._mismatch(stream, head, f"{type(now).__name__} {now.key()[:12]}")
            return None
        if not stream.inner:
            mine = next((a for _, a in waiting.values() if a.stream == stream.name), None)
            now = f"{type(mine.request).__name__} at {mine.at}" if mine else "nothing"
            self._mismatch(stream, head, now)
        return None

    def _mismatch(self, stream: Stream, head: Record, now: str) -> None:
        if not self._from_mismatch:
            raise ReplayMismatch(head["at"], _said(head), now)
        self._abandon(stream)

    def _abandon(self, stream: Stream) -> None:
        """Replay no further; what is left becomes cache, and the journal says so."""
        unread = stream.records[stream.position :]
        self.leftovers.extend(r for r in unread if r["kind"] == "reply")
        # What came late was spent all the same; it stays to be charged.
        stream.records, stream.position = [r for r in unread if r["kind"] == "late"], 0
        stream.notes = 0
        self.append(
            stream.name, {"kind": "cut", "keep": stream.tells, "notes": stream.published}, None
        )


def _said(record: Record) -> str:
    return f"{record['ask']} {record['key'][:12]}"
