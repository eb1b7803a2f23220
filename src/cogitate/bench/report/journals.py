"""What the pages of questions are made of: the records of journals, and the questions of tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from cogitate.bench.results import Key
from cogitate.core.errors import CogitateError, JournalError
from cogitate.core.journal import Record, standing
from cogitate.drive import BlobStore
from cogitate.drive.journal_file import open_line

Asked = tuple[str, str | None]
"""A question's text and its reference answer, where there is one."""
Texts = Callable[[str, Collection[str]], Mapping[str, Asked]]
"""Of a task and the ids of some of its questions, the questions that are known."""

_HEAD = re.compile(rb'\{"s":"(?:[^"\\]|\\.)*"')
_KINDS = (b'"kind":"note"', b'"kind":"reply"', b'"kind":"cut"', b'"kind":"late"')


class Journals(Protocol):
    """Where records are found."""

    def __call__(self, key: Key, questions: Collection[str]) -> Iterator[tuple[str, list[Record]]]:
        """The standing records of these questions in a cell, as far as there are any."""
        ...


def no_journals(key: Key, questions: Collection[str]) -> Iterator[tuple[str, list[Record]]]:
    """For a run whose journals are not at hand."""
    del key, questions
    yield from ()


def journal_files(paths: Mapping[Key, Path]) -> Journals:
    """Journals in files, one a cell, with the questions' ids as the names of their streams."""

    def records(key: Key, questions: Collection[str]) -> Iterator[tuple[str, list[Record]]]:
        path = paths.get(key)
        if path is not None and path.is_file():
            yield from _read(path, questions)

    return records


def _read(path: Path, questions: Collection[str]) -> Iterator[tuple[str, list[Record]]]:
    """One pass over the file; the lines of other questions are not parsed."""
    blobs = BlobStore(path.with_name(path.name + ".blobs"))
    # Lines begin with their stream, so that its bytes tell whether a line is wanted.
    wanted = {_head(id): id for id in questions}
    found: dict[str, list[Record]] = {}
    with path.open("rb") as file:
        for line in file:
            head = _HEAD.match(line)
            id = wanted.get(head[0]) if head is not None else None
            if id is None or not any(kind in line for kind in _KINDS):
                continue
            record = open_line(line)
            if record is not None:  # a damaged line is for `replay` to complain of
                if "blob" in record:
                    record = _resolved(record, blobs)
                found.setdefault(id, []).append(record)
    for id in questions:
        if id in found:
            yield id, standing(found[id])


def _head(id: str) -> bytes:
    said = json.dumps(id, ensure_ascii=False, separators=(",", ":"))
    return b'{"s":' + said.encode("utf-8", "surrogatepass")


def _resolved(record: Record, blobs: BlobStore) -> Record:
    rest = dict(record)
    try:
        rest["value"] = json.loads(blobs.get(rest.pop("blob")))
    except (JournalError, ValueError):
        rest["value"] = None
    return rest


def task_texts(directory: Path | None = None) -> Texts:
    """The questions of tasks that can be found; of others nothing is known."""

    def texts(task: str, ids: Collection[str]) -> Mapping[str, Asked]:
        from cogitate.bench.tasks import find

        wanted, found = set(ids), dict[str, Asked]()
        try:
            for item in find(task, directory=directory, any_version=True).questions():
                if item.id in wanted:
                    found[item.id] = (_said(item.task), item.gold)
                    if len(found) == len(wanted):
                        break
        except CogitateError:
            return found  # the data may lie on another machine; the report is worth reading without
        return found

    return texts


def _said(task: Any) -> str:
    """All messages of a task; the roles are told where there are several."""
    messages = task.messages
    if len(messages) == 1:
        return str(messages[0].content)
    return "\n\n".join(f"{m.role}: {m.content}" for m in messages)
