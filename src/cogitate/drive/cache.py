"""Replies kept across runs: content-addressed, bounded, shared by processes.

One SQLite file in write-ahead mode, because it gives what files of our own would have to be taught: any
number of readers beside a writer, entries that are whole or absent after a kill, the least recently used
one found by an index, and a size that is known without a walk. A network disk that cannot lock makes it
fail; then there is no cache, and the run goes on. Replies are written in batches: a kill loses
at most the last half second of them, which costs money and no answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import threading
import time
import zlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cogitate.core.journal import Record, outcome_of, tell_record
from cogitate.core.requests import Reply, Request

from .cache_file import CacheError, evict, opened, transaction

if TYPE_CHECKING:
    import sqlite3

FILE_NAME: Final = "replies.sqlite"
DEFAULT_BYTES: Final = 1_000_000_000
"""How large the cache may grow, where nobody says."""

_PAUSE_S: Final = 0.5
_BATCH: Final = 256
_MOST_WAITING: Final = 64 * _BATCH
"""Replies that wait for another process to end its writing; further ones are not kept."""
_OVERHEAD: Final = 256
"""Bytes that an entry takes beside its reply: key, fingerprint, two indices."""
_FULL: Final = 0.9
"""Share of its bound to which a full cache is pruned, so that it is not pruned at every reply."""
_BUSY, _LOCKED, _CORRUPT, _FOREIGN = 5, 6, 11, 26  # primary result codes of SQLite

_LOG = logging.getLogger(__name__)
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class Stats:
    """What a cache holds."""

    path: Path
    entries: int = 0
    bytes: int = 0
    """What the bound counts: replies and what surrounds them."""
    file_bytes: int = 0
    """The file on the disk, with what it may re-use."""
    max_bytes: int = DEFAULT_BYTES
    oldest: float | None = None
    """When the entry that would go first was last used, in seconds of the epoch."""
    engines: tuple[tuple[str, int, int], ...] = ()
    """Fingerprint, entries and bytes of each engine, the largest first."""


@dataclass(frozen=True)
class Pruned:
    """What pruning took away."""

    entries: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    ask: str
    engine: str
    body: bytes

    @property
    def size(self) -> int:
        return len(self.body) + _OVERHEAD


class ReplyCache:
    """Replies by what was asked and who answered.

    The key is the digest of the request, which takes in the prompt, the sample's seed, the sampling and
    the role, with the fingerprint of the engine. Nothing is opened or made before the first use. A damaged
    entry is dropped, a damaged file set aside: both are logged and counted, and neither ends a run.

    >>> import tempfile
    >>> from cogitate.core.prompt import Prompt
    >>> from cogitate.core.requests import Completion, Generate
    >>> asked = Generate(Prompt.raw("2 + 2 ="), seed=1)
    >>> with tempfile.TemporaryDirectory() as room, ReplyCache(room) as cache:
    ...     cache.put(asked, "engine", Reply(Completion(" 4")))
    ...     cache.get(asked, ["engine"]).value.text, cache.get(asked, ["another"])
    (' 4', None)
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        max_bytes: int = DEFAULT_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Name the directory.

        Args:
            directory: where the file lies; made when the first reply is kept.
            max_bytes: what is least recently used goes when the replies exceed this.
            clock: seconds of the epoch.
        """
        self.path = Path(directory) / FILE_NAME
        self.max_bytes = max_bytes
        self.damaged = 0
        """Entries that were dropped because they could not be read."""
        self.hits = 0
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._problems: list[str] = []
        self._off = False
        self._new: dict[str, _Entry] = {}
        self._used: dict[str, float] = {}
        self._written = time.monotonic()
        # One connection for all threads: runs of one process may share a cache.
        self._lock = threading.RLock()

    @property
    def notes(self) -> tuple[str, ...]:
        """What went wrong, one sentence each."""
        found = list(self._problems)
        if self.damaged:
            found.append(f"{self.damaged} damaged entries of {self.path} were dropped")
        return tuple(found)

    # ------------------------------------------------------------------------------- one run

    def get(self, request: Request[Any], fingerprints: Sequence[str]) -> Reply[Any] | None:
        """The reply that one of these engines gave to this request, marked `cached`."""
        with self._lock:
            for fingerprint in fingerprints:
                key = _key(request, fingerprint)
                body = self._body(key)
                if body is None:
                    continue
                reply = self._read(key, body, request)
                if reply is not None:
                    self.hits += 1
                    if key not in self._new:
                        self._used[key] = self._clock()
                    return reply
        return None

    def put(self, request: Request[Any], fingerprint: str, reply: Reply[Any]) -> None:
        """Keep a reply that was served in full; its `usage` is what a hit will be charged."""
        with self._lock:
            if self._off or len(self._new) >= _MOST_WAITING:
                return
            record = tell_record(request, "", replace(reply, trimmed=None, cached=False))
            body = _to_json(record).encode("utf-8", "surrogatepass")
            entry = _Entry(type(request).__name__, fingerprint, body)
            if entry.size <= self.max_bytes // 8:  # one reply may not push out all others
                self._new[_key(request, fingerprint)] = entry

    def flush(self, *, now: bool = False) -> None:
        """Write what was put, if it is time; another process that writes is waited for at the next call."""
        with self._lock:
            if self._off or not (self._new or self._used):
                return
            due = now or len(self._new) >= _BATCH or time.monotonic() - self._written >= _PAUSE_S
            if due:
                self._written = time.monotonic()
                with self._mishaps("written"):
                    self._write()

    def close(self) -> None:
        """Write what is left and close the file; may be called twice."""
        with self._lock:
            if self._connection is not None and not self._off:
                self._connection.execute("pragma busy_timeout = 5000")
            self.flush(now=True)
            self._disconnect()

    def __enter__(self) -> ReplyCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---------------------------------------------------------------------------- housekeeping

    def stats(self) -> Stats:
        """What is in it.

        Raises:
            CacheError: where the file cannot be read.
        """
        with self._lock, self._strict("read"):
            if not self.path.exists():
                return Stats(self.path, max_bytes=self.max_bytes)
            held = self._connected()
            entries, size = held.execute("select entries, bytes from totals").fetchone()
            (oldest,) = held.execute("select min(used) from entries").fetchone()
            engines = held.execute(
                "select engine, count(*), sum(size) from entries group by engine order by 3 desc, 1"
            ).fetchall()
            files = (self.path, self.path.with_name(FILE_NAME + "-wal"))
            on_disk = sum(file.stat().st_size for file in files if file.exists())
            return Stats(self.path, entries, size, on_disk, self.max_bytes, oldest, tuple(engines))

    def prune(self, *, max_bytes: int | None = None, older_than_s: float | None = None) -> Pruned:
        """Drop what is least recently used and give the room back to the disk.

        Args:
            max_bytes: until so much is left; 0 for everything.
            older_than_s: what was not used for longer.

        Raises:
            CacheError: where the file cannot be written.
        """
        with self._lock, self._strict("pruned"):
            if not self.path.exists():
                return Pruned()
            held = self._connected()
            held.execute("pragma busy_timeout = 5000")
            before = held.execute("select entries, bytes from totals").fetchone()
            with transaction(held):
                if older_than_s is not None:
                    held.execute(
                        "delete from entries where used < ?", (self._clock() - older_than_s,)
                    )
                if max_bytes is not None:
                    evict(held, max_bytes)
            after = held.execute("select entries, bytes from totals").fetchone()
            held.execute("vacuum")
            held.execute("pragma wal_checkpoint(truncate)")
            return Pruned(before[0] - after[0], before[1] - after[1])

    # ------------------------------------------------------------------------------- inside

    def _body(self, key: str) -> bytes | None:
        if key in self._new:
            return self._new[key].body
        if self._off or (self._connection is None and not self.path.exists()):
            return None
        found: tuple[Any, Any] | None = None
        with self._mishaps("read"):
            query = "select body, sum from entries where key = ?"
            found = self._connected().execute(query, (key,)).fetchone()
        if found is None:
            return None
        body, sum_ = found
        if not isinstance(body, bytes) or zlib.crc32(body) != sum_:
            self._drop(key)
            return None
        return body

    def _read(self, key: str, body: bytes, request: Request[Any]) -> Reply[Any] | None:
        try:
            record: Record = json.loads(body.decode("utf-8", "surrogatepass"))
            reply = outcome_of(record, request)
        except Exception:  # whatever a codec makes of what is no reply of its own
            self._drop(key)
            return None
        return replace(reply, cached=True) if isinstance(reply, Reply) else None

    def _drop(self, key: str) -> None:
        self.damaged += 1
        self._new.pop(key, None)
        _LOG.warning("an entry of the reply cache %s is damaged; it is dropped", self.path)
        with self._mishaps("written"):
            self._connected().execute("delete from entries where key = ?", (key,))

    def _write(self) -> None:
        held = self._connected()
        now = self._clock()
        rows = [
            (key, e.ask, e.engine, e.body, zlib.crc32(e.body), e.size, now)
            for key, e in self._new.items()
        ]
        used = [(when, key) for key, when in self._used.items()]
        with transaction(held):
            # What another process kept meanwhile stays: both are answers to one question.
            held.executemany("insert or ignore into entries values (?, ?, ?, ?, ?, ?, ?)", rows)
            held.executemany("update entries set used = ? where key = ?", used)
            (size,) = held.execute("select bytes from totals").fetchone()
            if size > self.max_bytes:
                evict(held, int(self.max_bytes * _FULL))
        self._new.clear()
        self._used.clear()
        if size > self.max_bytes:
            held.execute("pragma incremental_vacuum").fetchall()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = opened(self.path)
        return self._connection

    def _disconnect(self) -> None:
        held, self._connection = self._connection, None
        if held is not None:
            held.close()

    @contextlib.contextmanager
    def _mishaps(self, what: str) -> Generator[None]:
        """Whatever the file does, the run goes on: without this entry, this file, or any cache."""
        import sqlite3

        try:
            yield
        except (sqlite3.Error, OSError, CacheError) as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (_BUSY, _LOCKED):
                return  # what was put waits for the next flush
            if code in (_CORRUPT, _FOREIGN) and self._set_aside():
                self._say(f"the reply cache {self.path} was damaged and is begun anew")
                return
            self._off = True
            self._new.clear()
            self._disconnect()
            self._say(f"the reply cache {self.path} cannot be {what} ({error}); it is left alone")

    @contextlib.contextmanager
    def _strict(self, what: str) -> Generator[None]:
        import sqlite3

        try:
            self.flush(now=True)
            yield
        except (sqlite3.Error, OSError) as error:
            raise CacheError(
                f"the reply cache {self.path} cannot be {what}: {error}; wait for whoever uses it, or "
                "delete the file"
            ) from error

    def _say(self, sentence: str) -> None:
        self._problems.append(sentence)
        _LOG.warning("%s", sentence)

    def _set_aside(self) -> bool:
        """Rename a damaged file; its side files belong to it and not to the next one."""
        self._disconnect()
        try:
            self.path.replace(self.path.with_name(FILE_NAME + ".damaged"))
            for side in ("-wal", "-shm"):
                self.path.with_name(FILE_NAME + side).unlink(missing_ok=True)
        except OSError:
            return False
        return True


def _key(request: Request[Any], fingerprint: str) -> str:
    said = f"{request.key()} {fingerprint}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(said, digest_size=16).hexdigest()
