"""Questions with reference answers, read from JSON lines."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from cogitate.core.errors import InvalidInput

ASKED_BY: Final = ("question", "problem", "input", "prompt")
"""The keys under which files hold the question, in the order in which they are looked for."""
ANSWERED_BY: Final = ("gold", "target", "answer")
FINAL: Final = "####"
"""What stands before the answer in files that hold whole solutions."""
MAX_LINE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its place in the file and its reference answer."""

    id: int
    """Row of the file, from 0."""
    text: str
    gold: str


def read_questions(path: Path, limit: int | None = None) -> tuple[Asked, ...]:
    """The questions of a file of JSON lines, packed by gzip or not.

    A row holds its question under `question`, `problem`, `input` or `prompt`, and its reference under `gold`,
    `target` or `answer`; of a worked solution, what follows the last `####` counts.

    Args:
        path: of the file.
        limit: only the first so many rows.

    Raises:
        InvalidInput: where a row is not as it should be, by file and line; for no rows at all.
    """
    if not path.is_file():
        raise InvalidInput(f"the questions {path.name} were asked for, but there is no such file")
    found: list[Asked] = []
    for number, row in _rows(path):
        if limit is not None and len(found) == limit:
            break
        where = f"{path.name}, line {number}"
        found.append(
            Asked(len(found), _text(row, ASKED_BY, where), _gold(_text(row, ANSWERED_BY, where)))
        )
    if not found:
        raise InvalidInput(f"{path.name}: questions were asked for, but the file holds none")
    return tuple(found)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
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


def _object(line: bytes, where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise InvalidInput(f"{where}: is not JSON ({problem})") from problem
    if not isinstance(row, dict):
        raise InvalidInput(f"{where}: a JSON object was expected")
    return cast("dict[str, Any]", row)


def _text(row: Mapping[str, Any], keys: tuple[str, ...], where: str) -> str:
    for key in keys:
        if key in row:
            held = row[key]
            if isinstance(held, bool) or not isinstance(held, str | int | float):
                raise InvalidInput(f"{where}: {key} must be text or a number")
            return str(held)
    raise InvalidInput(f"{where}: holds none of {', '.join(keys)}")


def _gold(text: str) -> str:
    return text.rpartition(FINAL)[2].strip()
