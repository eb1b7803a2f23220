"""Questions with reference answers, read from JSON lines that need no task file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cogitate.core.errors import InvalidInput

from .tasks.files import rows_of

ASKED_BY: Final = ("question", "problem", "input", "prompt")
"""The keys under which files hold the question, in the order in which they are looked for."""
ANSWERED_BY: Final = ("gold", "target", "answer")
FINAL: Final = "####"
"""What stands before the answer in files that hold whole solutions."""


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
    `target` or `answer`; of a worked solution, what follows the last `####` counts. Data of another form are
    described by a task file (`cogitate.bench.tasks`).

    Args:
        path: of the file.
        limit: only the first so many rows.

    Raises:
        InvalidInput: where a row is not as it should be, by file and line; for no rows at all.
    """
    if not path.is_file():
        raise InvalidInput(f"the questions {path.name} were asked for, but there is no such file")
    found: list[Asked] = []
    for where, row in rows_of(path, "jsonl"):
        if limit is not None and len(found) == limit:
            break
        asked, gold = _text(row, ASKED_BY, where), _text(row, ANSWERED_BY, where)
        found.append(Asked(len(found), asked, gold.rpartition(FINAL)[2].strip()))
    if not found:
        raise InvalidInput(f"{path.name}: questions were asked for, but the file holds none")
    return tuple(found)


def _text(row: Mapping[str, Any], keys: tuple[str, ...], where: str) -> str:
    for key in keys:
        if key in row:
            held = row[key]
            if isinstance(held, bool) or not isinstance(held, str | int | float):
                raise InvalidInput(f"{where}: {key} must be text or a number")
            return str(held)
    raise InvalidInput(f"{where}: holds none of {', '.join(keys)}")
