"""The file of the reply cache: its tables, its transactions, and what is dropped when it is full."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cogitate.core.errors import CogitateError

if TYPE_CHECKING:
    import sqlite3

FORMAT: Final = 1
_SCHEMA: Final = """
create table entries (
    key text primary key, ask text not null, engine text not null, body blob not null,
    sum integer not null, size integer not null, used real not null);
create index by_use on entries (used);
create table totals (entries integer not null, bytes integer not null);
insert into totals values (0, 0);
create trigger added after insert on entries begin
    update totals set entries = entries + 1, bytes = bytes + new.size; end;
create trigger dropped after delete on entries begin
    update totals set entries = entries - 1, bytes = bytes - old.size; end;
"""


class CacheError(CogitateError):
    """The cache cannot be read or written; a run goes on without it."""


def opened(path: Path) -> sqlite3.Connection:
    """The file, made where it is missing.

    Raises:
        CacheError: for a file of another format.
        sqlite3.Error: for one that cannot be used.
        OSError: where it cannot be made.
    """
    import sqlite3

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Made before SQLite makes it: what models were told and said is nobody else's to read.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    # Short, because a flow waits meanwhile; `close` and the housekeeping wait longer.
    held = sqlite3.connect(path, timeout=0.05, isolation_level=None, check_same_thread=False)
    try:
        held.execute("pragma auto_vacuum = incremental")  # before the first table
        held.execute("pragma journal_mode = wal").fetchone()
        held.execute("pragma synchronous = normal")
        (version,) = held.execute("pragma user_version").fetchone()
        if version == 0:
            _founded(held)
        elif version != FORMAT:
            raise CacheError(f"its format is {version}, and this version of cogitate has {FORMAT}")
    except BaseException:
        held.close()
        raise
    return held


def _founded(held: sqlite3.Connection) -> None:
    """Make the tables, unless another process has made them meanwhile."""
    held.execute("pragma busy_timeout = 5000")
    with transaction(held):
        if not held.execute("pragma user_version").fetchone()[0]:
            # Not `executescript`, which ends the transaction.
            for statement in _statements(_SCHEMA):
                held.execute(statement)
            held.execute(f"pragma user_version = {FORMAT}")
    held.execute("pragma busy_timeout = 50")


def _statements(script: str) -> Iterator[str]:
    import sqlite3

    begun = ""
    for line in script.splitlines():
        begun += line + "\n"
        if sqlite3.complete_statement(begun):
            yield begun
            begun = ""


@contextlib.contextmanager
def transaction(held: sqlite3.Connection) -> Generator[None]:
    """All of it or nothing; the lock is taken at once, so that it cannot be missed later."""
    held.execute("begin immediate")
    try:
        yield
    except BaseException:
        if held.in_transaction:
            held.execute("rollback")
        raise
    held.execute("commit")


def evict(held: sqlite3.Connection, target: int) -> None:
    """Drop what is least recently used until the rest fits."""
    (size,) = held.execute("select bytes from totals").fetchone()
    doomed: list[tuple[str]] = []
    for key, bytes_ in held.execute("select key, size from entries order by used, key"):
        if size <= target:
            break
        doomed.append((key,))
        size -= bytes_
    held.executemany("delete from entries where key = ?", doomed)
