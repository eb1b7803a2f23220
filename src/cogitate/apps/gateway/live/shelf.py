"""The journals of one folder, and no other file of the machine, opened for looking."""

from __future__ import annotations

import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

from cogitate.apps.reading import Summary, finite, question_of, solved, summary
from cogitate.core.errors import InvalidInput, JournalError
from cogitate.drive import FileJournal

from .scene import Scene, spending

LARGEST: Final = 256 * 1024 * 1024
"""Bytes of a journal that is opened."""
_LISTED: Final = 500
_DEEPEST: Final = 4
_LOOKED_AT: Final = 20_000
_KEPT: Final = 4
_TASKS: Final = 1000
_LONGEST: Final = 2000
_ENDINGS: Final = (".jsonl", ".journal")


class NoSuchJournal(InvalidInput):
    """There is no journal of that name in the folder, or it may not be opened."""


@dataclass(frozen=True)
class Opened:
    """A journal, or one task of it, as the page shows it."""

    scene: Scene
    said: dict[str, Any]
    """Everything but the node rows."""


class Shelf:
    """A folder with journals. Mutable: it keeps what was opened last. Safe to be used from several threads."""

    def __init__(self, folder: Path, *, only: str = "") -> None:
        """Name the folder; nothing outside it is ever opened.

        Args:
            folder: where the journals lie.
            only: the name of the one journal that may be opened, however it ends.
        """
        self.folder, self.only = folder, only
        self._opened: OrderedDict[tuple[Any, ...], Opened] = OrderedDict()
        self._guard = threading.Lock()

    def list(self) -> list[dict[str, Any]]:
        """The journals, the last written first."""
        found: list[tuple[float, int, str]] = []
        for path, held in islice(self._files(), _LOOKED_AT):
            name = path.relative_to(self.folder).as_posix()
            found.append((held.st_mtime, held.st_size, name))
        found.sort(key=lambda row: (-row[0], row[2]))
        return [
            {"name": name, "bytes": size, "changed": round(changed, 3)}
            for changed, size, name in found[:_LISTED]
        ]

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        if not self.only:
            return _files(self.folder)
        path = self.folder / self.only
        try:
            return iter([(path, path.lstat())])
        except OSError:
            return iter(())

    def find(self, name: str) -> Path:
        """The file of a journal.

        Raises:
            NoSuchJournal: for a name that leads out of the folder, through a link, or to no journal.
        """
        refused = NoSuchJournal(
            f"the journal {name[:200]!r} was asked for, but there is none of that name in the folder"
        )
        parts = name.split("/")
        if "\0" in name or "\\" in name or len(name) > 1000 or len(parts) > _DEEPEST + 1:
            raise refused
        if name != self.only and (self.only or not all(map(_is_plain, parts))):
            raise refused
        place = self.folder
        try:
            for part in parts:
                place = place / part
                if stat.S_ISLNK(place.lstat().st_mode):
                    raise refused
            for beside in (".times", ".blobs"):
                if place.with_name(place.name + beside).is_symlink():
                    raise refused
            if not stat.S_ISREG(place.lstat().st_mode):
                raise refused
            if not (self.only or name.endswith(_ENDINGS)):
                raise refused
            if not place.resolve(strict=True).is_relative_to(self.folder.resolve(strict=True)):
                raise refused
        except (OSError, ValueError):
            raise refused from None
        return place

    def open(self, name: str, stream: str = "") -> Opened:
        """Read a journal, or one task of it; what was opened last and has not changed is at hand.

        Raises:
            NoSuchJournal: where there is none.
            InvalidInput: where it has no such task, or is too large.
            JournalError: where it is damaged, or no journal.
        """
        path = self.find(name)
        held = path.stat()
        if held.st_size > LARGEST:
            raise InvalidInput(
                f"{name} has {held.st_size / 2**20:,.0f} MiB, and the page opens up to "
                f"{LARGEST / 2**20:,.0f}; look at it with `cogitate view`"
            )
        mark = (name, stream, held.st_mtime_ns, held.st_size, held.st_ino)
        with self._guard:  # one at a time: reading takes the processor anyway
            if mark in self._opened:
                self._opened.move_to_end(mark)
                return self._opened[mark]
            opened = _read(path, name, stream)
            self._opened[mark] = opened
            while len(self._opened) > _KEPT:
                self._opened.popitem(last=False)
            return opened


def _is_plain(part: str) -> bool:
    return bool(part) and not part.startswith(".") and ":" not in part


def _files(folder: Path, depth: int = 0) -> Iterator[tuple[Path, os.stat_result]]:
    try:
        with os.scandir(folder) as entries:
            held = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in held:
        try:
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False):
                if depth < _DEEPEST and not entry.name.endswith(".blobs"):
                    yield from _files(Path(entry.path), depth + 1)
            elif entry.name.endswith(_ENDINGS) and entry.is_file(follow_symlinks=False):
                yield Path(entry.path), entry.stat(follow_symlinks=False)
        except OSError:
            continue  # it went away while we looked


def _read(path: Path, name: str, stream: str) -> Opened:
    scene = Scene()
    try:
        with FileJournal.open(path, read_only=True) as book:
            found = summary(book, stream, grove=scene.grove, hear=scene.read)
            many = bool(found.streams) and not stream
            tasks = [t.to_json() for t in solved(book, found.streams[:_TASKS])] if many else []
    except JournalError as error:  # where the folder lies is nobody's business
        raise JournalError(str(error).replace(str(path), name)) from None
    except InvalidInput as error:
        raise InvalidInput(str(error).replace(str(path), name)) from None
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise JournalError(f"{name} cannot be read as a journal: {type(error).__name__}") from None
    scene.publish()
    return Opened(scene, _said(scene, found, name, stream, tasks))


def _said(
    scene: Scene, found: Summary, name: str, stream: str, tasks: list[dict[str, Any]]
) -> dict[str, Any]:
    head = finite(dict(found.header))
    models = head.get("models")
    named = cast("dict[str, Any]", models if isinstance(models, dict) else {})
    scene.budget = found.budget
    best = scene.grove.best()[:1]
    elapsed = found.elapsed_s or None
    for task in tasks:
        task["question"] = str(task["question"])[:200]
        task["answer"] = None if task["answer"] is None else str(task["answer"])[:200]
    curve = [[at, tokens] for at, tokens in scene.curve]
    scene.rows(scene.orders())  # so that the names of the searches are known
    return finite(
        {
            "head": {
                "id": name,
                "title": question_of(found.header, stream)[:_LONGEST],
                "strategy": str(head.get("strategy") or "")[:_LONGEST],
                "model": ", ".join(f"{role}={spec}" for role, spec in list(named.items())[:20])[
                    :_LONGEST
                ],
                "seed": str(head.get("seed"))[:40],
                "state": "recorded",
                "task": stream,
                "tree": scene.grove.nodes,
                "tokens": found.total.tokens_out,
                "score": best[0].value if best else None,
                "elapsed_s": elapsed,
                "kept": found.kept,
            }
            | scene.picture(),
            "log": [line.to_json() for line in scene.log.since(0)],
            "spending": spending(found.roles, found.budget, elapsed) | {"curve": curve},
            "tasks": tasks,
            "more_tasks": max(0, len(found.streams) - _TASKS) if tasks else 0,
        }
    )
