"""What an index holds."""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from cogitate.core.errors import InvalidInput
from cogitate.rules.lexical import runs

MAX_LINE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One passage of a corpus."""

    id: str
    text: str
    """What is shown when it is found."""
    context: str = ""
    """What stands around it."""
    key: str = ""
    """What queries are compared with; empty: the text itself."""

    @property
    def seen(self) -> str:
        """What queries are compared with."""
        return self.key or self.text


@dataclass(frozen=True, eq=False)
class Corpus:
    """Passages with unique ids, in order.

    >>> Corpus((Entry("a", "one"), Entry("b", "two"))).digest == Corpus((Entry("a", "one"),)).digest
    False
    """

    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        ids = [entry.id for entry in self.entries]
        if len(set(ids)) != len(ids):
            twice = next(id for at, id in enumerate(ids) if id in ids[:at])
            raise InvalidInput(
                f"the passage id {twice[:60]!r} occurs twice; every passage needs its own"
            )

    def __len__(self) -> int:
        return len(self.entries)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over all passages."""
        found = hashlib.sha256()
        for entry in self.entries:
            found.update(_line(entry))
        return found.hexdigest()

    def without(self, texts: Sequence[str]) -> Corpus:
        """The corpus less what shares a long run of words with one of these texts: no question finds itself."""
        # Once for all texts, not once for each passage: a corpus may be large, and the texts many.
        taken = frozenset[tuple[str, ...]]().union(*(runs(text) for text in texts))
        return Corpus(
            tuple(
                e
                for e in self.entries
                if taken.isdisjoint(runs(e.seen)) and taken.isdisjoint(runs(e.context))
            )
        )


def _line(entry: Entry) -> bytes:
    held = {"id": entry.id, "text": entry.text, "context": entry.context, "key": entry.key}
    row = {name: value for name, value in held.items() if value}
    return json.dumps(row, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def write_entries(path: Path, entries: Iterable[Entry]) -> None:
    """Write passages as gzip JSON lines, the same bytes for the same passages."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
        for entry in entries:
            packed.write(_line(entry))


def read_entries(path: Path) -> Corpus:
    """Passages of a file of JSON lines, packed or not: `text`, and where there are `id`, `context` and `key`.

    Raises:
        InvalidInput: by file and line, for what is no passage; for no passage at all.
    """
    if not path.is_file():
        raise InvalidInput(f"the passages {path.name} were asked for, but there is no such file")
    entries = tuple(_entry(row, number, path) for number, row in _rows(path))
    if not entries:
        raise InvalidInput(f"{path.name}: passages were asked for, but the file holds none")
    return Corpus(entries)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else path.open("rb") as lines:
            while line := lines.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise InvalidInput(
                        f"{path.name}, line {number}: longer than {MAX_LINE_BYTES} bytes"
                    )
                if line.strip():
                    yield number, _object(line, f"{path.name}, line {number}")
    except (EOFError, OSError, zlib.error) as problem:
        raise InvalidInput(
            f"{path.name}, after line {number}: cannot be read ({problem}); get the file again"
        ) from problem


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise InvalidInput(f"{where}: is not JSON ({problem})") from problem
    if not isinstance(row, dict):
        raise InvalidInput(f"{where}: a JSON object with a text was expected")
    return cast("dict[str, Any]", row)


def _entry(row: dict[str, Any], number: int, path: Path) -> Entry:
    values = {name: row.get(name, "") for name in ("text", "context", "key")}
    values["id"] = str(row.get("id", number))
    for name, value in values.items():
        if not isinstance(value, str):
            raise InvalidInput(f"{path.name}, line {number}: {name} must be text")
    if not values["text"].strip():
        raise InvalidInput(f"{path.name}, line {number}: has no text")
    return Entry(**values)
