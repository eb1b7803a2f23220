"""The journals of cells that run side by side, as one journal: a stream is `CELL/QUESTION`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from cogitate.core.errors import JournalError
from cogitate.core.flow import SetAside
from cogitate.core.journal import Record
from cogitate.core.requests import Request
from cogitate.drive import FileJournal, Stop

from .remembering import Memory

SEPARATOR = "/"
_LIKE = ("run", "key", "fingerprints")


class Shelf:
    """Every cell has a file of its own; what is on the way to them goes through here.

    A question that was broken off is begun anew and asks nothing twice: its replies are remembered. So its course
    does not depend on where it was broken off, on which cells run beside it, or on what was refused or failed
    before. Replies reach the disk before the journals, which hold only what the run can repeat at no cost.
    """

    # Mutable on purpose: it holds files.

    def __init__(self, memory: Memory, stop: Stop) -> None:
        """Begin an empty shelf.

        Args:
            memory: hears the replies of questions that were broken off, and is written before the journals are.
            stop: how the run is ended by a person.
        """
        self._books: dict[str, FileJournal] = {}
        self._changed: set[str] = set()
        self._memory, self._stop = memory, stop

    def add(self, name: str, path: Path, header: Mapping[str, Any]) -> None:
        """Open the journal of a cell, or begin it.

        Raises:
            JournalError: where the file holds another cell, cannot be read, or is being written.
        """
        if not path.exists() or not path.stat().st_size:
            self._books[name] = FileJournal.create(path, header)
            return
        book = FileJournal.open(path)
        for field in _LIKE:
            if book.header.get(field) != header.get(field):
                book.close()
                raise JournalError(
                    f"{path} holds another cell: its {field} is {book.header.get(field)}, and not "
                    f"{header.get(field)}; name another folder"
                )
        self._books[name] = book

    def finished(self, name: str, question: str) -> bool:
        """Whether a question of a cell is sealed."""
        return self._books[name].holds(question, "sealed")

    def close(self) -> None:
        """Write what is left and close every file."""
        problem: JournalError | None = None
        for book in self._books.values():
            try:
                book.close()
            except JournalError as error:
                problem = problem or error
        self._books.clear()
        if problem is not None:
            raise problem

    # ----------------------------------------------------------------------------- as a journal

    def recorded(self, stream: str) -> Sequence[Record]:
        """What a question that was broken off knows: nothing of it stands, and none of it is asked again."""
        if not stream:
            return ()
        book, question = self._of(stream)
        known = [r for r in book.recorded(question) if r.get("was", r["kind"]) == "reply"]
        if not known:
            return ()
        book.append(question, {"kind": "cut", "keep": 0, "notes": 0})
        self._changed.add(stream.partition(SEPARATOR)[0])
        for record in known:
            self._memory.recall(record)
        return ()

    def sealed(self, stream: str) -> Record | None:
        """The seal of a question."""
        book, question = self._of(stream)
        return book.sealed(question)

    def append(self, stream: str, record: Record, request: Request[Any] | None = None) -> None:
        """Add a record to a question; the run itself is told nothing.

        What calls had cost that a person cut off is the cell's and not the question's: it will be answered anew, and
        costs what it would have cost.
        """
        if stream:
            book, question = self._of(stream)
            cut = record["kind"] == "late" and self._stop.reason
            book.append("" if cut else question, _placeless(record), request)
            self._changed.add(stream.partition(SEPARATOR)[0])

    def seal(self, stream: str, value: Any) -> None:
        """Mark a question as finished."""
        book, question = self._of(stream)
        book.seal(question, value)
        self._changed.add(stream.partition(SEPARATOR)[0])

    def timing(self, stream: str, at: str, seconds: float, elapsed: float) -> None:
        """Note how long a call took."""
        if stream:
            book, question = self._of(stream)
            book.timing(question, at, seconds, elapsed)

    def flush(self) -> None:
        """Hand the replies, then the journals, to the operating system."""
        self._memory.flush()
        changed, self._changed = self._changed, set()
        for name in sorted(changed):
            self._books[name].flush()

    def _of(self, stream: str) -> tuple[FileJournal, str]:
        name, _, question = stream.partition(SEPARATOR)
        return self._books[name], question


def _placeless(record: Record) -> Record:
    """The record without the question's place in the sitting: `7/7/1/0#2` is `1/0#2` wherever it is asked.

    Accounts are named by places, and refusals by accounts; so their texts would tell what else was in the grid.
    """
    at = record.get("at")
    if not at:
        return record
    path, hash_, count = str(at).partition("#")
    place = "/".join(path.split("/", 2)[:2])
    made = {**record, "at": path[len(place) :].lstrip("/") + hash_ + count}
    if "value" in record and (record["kind"] in _TOLD or record.get("ask") == SetAside.__name__):
        made["value"] = _without(record["value"], f"@{place}")
    return made


_TOLD = frozenset({"note", "denied"})


_HOLDS = frozenset({str, dict, list, tuple})
"""Types of JSON values that may hold a text; scores and counts are passed over."""


def _without(value: Any, place: str) -> Any:
    if isinstance(value, str):
        return value.replace(place, "") if place in value else value
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        return {n: _without(v, place) if type(v) in _HOLDS else v for n, v in held.items()}
    if isinstance(value, list | tuple):
        parts = cast("Sequence[Any]", value)
        return [_without(v, place) if type(v) in _HOLDS else v for v in parts]
    return value
