"""A journal on disk: JSON lines, append-only, a checksum per record, fsynced in batches.

The first line is the header (the run card); every other line is a record of one stream. Request bodies
and prompts are stored once a stream, so that a journal can be read without the code that wrote it.
Next to `run.jsonl` lie `run.jsonl.times` (timing and host fields, apart, so that journals can be
compared byte for byte) and, where values are large, `run.jsonl.blobs`.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from cogitate.core.codec import encode
from cogitate.core.errors import JournalError
from cogitate.core.journal import Record, standing, usage_by_role
from cogitate.core.requests import Request

from .blobs import BlobStore

FORMAT = 1
_BODIES = ("prompt", "body")
_LARGE = 32_768
_SUM = len(',"sum":"00000000"}')


def seal_line(body: dict[str, Any]) -> bytes:
    """One line with its checksum, newline included."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return b'%s,"sum":"%08x"}\n' % (text[:-1], zlib.crc32(text))


def open_line(line: bytes) -> dict[str, Any] | None:
    """The body of a line; `None` where it is cut or damaged."""
    if len(line) <= _SUM + 1 or not line.endswith(b'"}\n'):
        return None
    text = line[: -_SUM - 1] + b"}"
    tail = line[-_SUM - 1 :]
    if tail[:8] != b',"sum":"' or tail[8:16] != b"%08x" % zlib.crc32(text):
        return None
    return json.loads(text.decode("utf-8", "surrogatepass"))


class FileJournal:
    """A journal in a file; `create` a new one or `open` what an earlier run left."""

    def __init__(self, path: Path, file: BinaryIO, header: dict[str, Any], lock: Any) -> None:
        """Use `create` or `open` instead."""
        self.path, self.header = path, header
        self.dropped_bytes = 0
        """Length of a torn last record that was dropped, as a killed run leaves it."""
        self.elapsed_s = 0.0
        """Wall-clock of the earlier runs."""
        self._file, self._lock = file, lock
        self._buffer: list[bytes] = []
        self._times: list[str] = []
        self._known: dict[str, set[str]] = {}
        self._synced = time.monotonic()
        self._index: sqlite3.Connection | None = None
        self._blobs = BlobStore(path.with_name(path.name + ".blobs"))
        self._usage: dict[str, list[Record]] = {}

    # ---------------------------------------------------------------------- opening and closing

    @classmethod
    def create(cls, path: str | Path, header: Mapping[str, Any]) -> FileJournal:
        """Start a journal.

        Raises:
            JournalError: when the file holds something already, or cannot be written.
        """
        path = Path(path)
        lock = _locked(path)
        try:
            if path.exists() and path.stat().st_size:
                raise JournalError(
                    f"a new journal was to be written to {path}, but the file is not empty; "
                    "resume it, or name another file"
                )
            file = path.open("w+b")
            file.write(seal_line({"journal": "cogitate", "format": FORMAT, "header": dict(header)}))
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            lock.release()
            raise _unwritable(path, error) from error
        except JournalError:
            lock.release()
            raise
        return cls(path, file, dict(header), lock)

    @classmethod
    def open(cls, path: str | Path, *, read_only: bool = False) -> FileJournal:
        """Read what an earlier run left, ready to go on.

        Args:
            path: the file.
            read_only: take no lock, and leave a torn last record where it is.

        Raises:
            JournalError: when there is no such file, it is no journal, or a record is damaged.
        """
        path = Path(path)
        if not path.is_file():
            raise JournalError(f"the journal {path} was asked for, but there is no such file")
        lock = None if read_only else _locked(path)
        try:
            file = path.open("rb" if read_only else "r+b")
            header = _read_header(path, file)
            journal = cls(path, file, header, lock)
            journal._scan(read_only)
        except OSError as error:
            raise _unwritable(path, error) from error
        except JournalError:
            if lock is not None:
                lock.release()
            raise
        return journal

    def close(self) -> None:
        """Write what is buffered and release the file."""
        if self._file.closed:
            return
        try:
            self.sync()
        finally:
            self._file.close()
            if self._index is not None:
                self._index.close()
            if self._lock is not None:
                self._lock.release()
                Path(self._lock.lock_file).unlink(missing_ok=True)

    def __enter__(self) -> FileJournal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -------------------------------------------------------------------------------- reading

    def _scan(self, read_only: bool) -> None:
        """Check every record and note where each stream's records lie: on disk, not in memory."""
        index = self._index = sqlite3.connect("", check_same_thread=False)  # a private temporary file
        index.execute("create table lines (stream text, kind text, start integer, length integer)")
        start = self._file.tell()
        rows: list[tuple[str, str, int, int]] = []
        for number, line in enumerate(self._file, start=2):
            body = open_line(line)
            if body is None:
                self._damaged(number, start, line, read_only)
                break
            rows.append((body["s"], body["kind"], start, len(line)))
            start += len(line)
            if len(rows) >= 10_000:
                index.executemany("insert into lines values (?, ?, ?, ?)", rows)
                rows.clear()
        index.executemany("insert into lines values (?, ?, ?, ?)", rows)
        index.execute("create index by_stream on lines (stream)")
        self._file.seek(0, os.SEEK_END)
        self._read_times()

    def _damaged(self, number: int, start: int, line: bytes, read_only: bool) -> None:
        rest = self._file.read(1)
        if rest or (line.endswith(b"\n") and len(line) > 1 and line.count(b"\x00") == 0 and _whole(line)):
            raise JournalError(
                f"record {number} of {self.path} is damaged: its checksum does not match; restore the "
                f"file from a copy, or keep what comes before with `head -c {start}`"
            )
        self.dropped_bytes = len(line)
        if not read_only:
            self._file.truncate(start)

    def _read_times(self) -> None:
        path = self.path.with_name(self.path.name + ".times")
        if not path.exists():
            return
        for line in path.read_text("utf-8", errors="replace").splitlines():
            try:
                self.elapsed_s = max(self.elapsed_s, float(json.loads(line).get("elapsed", 0.0)))
            except (ValueError, AttributeError):
                continue  # a torn last line; timing is not evidence

    def lines(self, stream: str | None = None) -> Iterator[Record]:
        """Every record, bodies and seals too, of one stream or of all, in order."""
        if self._index is None:
            return
        where, arguments = ("", ()) if stream is None else ("where stream = ?", (stream,))
        query = f"select start, length from lines {where} order by start"
        for start, length in self._index.execute(query, arguments).fetchall():
            self._file.seek(start)
            body = open_line(self._file.read(length))
            if body is not None:
                yield self._resolve(body)
        self._file.seek(0, os.SEEK_END)

    def streams(self) -> list[str]:
        """The names of the recorded streams, in order of appearance."""
        if self._index is None:
            return []
        query = "select stream from lines group by stream order by min(start)"
        return [name for (name,) in self._index.execute(query)]

    def recorded(self, stream: str) -> Sequence[Record]:
        found: list[Record] = []
        known = self._known.setdefault(stream, set())
        for record in self.lines(stream):
            if record["kind"] in _BODIES:
                known.add(record["key"])
            elif record["kind"] != "sealed":
                found.append(record)
        self._usage[stream] = [r for r in found if "usage" in r]
        return standing(found)

    def sealed(self, stream: str) -> Record | None:
        if self._index is None:
            return None
        query = "select start, length from lines where stream = ? and kind in ('sealed', 'late')"
        seal: Record | None = None
        after: list[Record] = []
        for start, length in self._index.execute(query + " order by start", (stream,)).fetchall():
            self._file.seek(start)
            record = open_line(self._file.read(length)) or {}
            if record.get("kind") == "sealed":
                seal = self._resolve(record)
            elif seal is not None:
                after.append(record)
        self._file.seek(0, os.SEEK_END)
        if seal is not None and after:
            seal["roles"] = {k: encode(u) for k, u in usage_by_role([*_roles(seal), *after]).items()}
        return seal

    def _resolve(self, body: Record) -> Record:
        value = body.get("value")
        if isinstance(value, dict) and "$blob" in value:
            body["value"] = json.loads(self._blobs.get(value["$blob"]))
        return body

    # -------------------------------------------------------------------------------- writing

    def append(self, stream: str, record: Record, request: Request[Any] | None = None) -> None:
        if request is not None:
            self._bodies(stream, request)
        if "usage" in record:
            self._usage.setdefault(stream, []).append(record)
        self._put(stream, record)

    def seal(self, stream: str, value: Any) -> None:
        roles = usage_by_role(self._usage.pop(stream, ()))
        self._put(
            stream, {"kind": "sealed", "value": value, "roles": {k: encode(u) for k, u in roles.items()}}
        )
        self._known.pop(stream, None)

    def _bodies(self, stream: str, request: Request[Any]) -> None:
        known = self._known.setdefault(stream, set())
        key = request.key()
        if key in known:
            return
        known.add(key)
        prompt = getattr(request, "prompt", None)
        new = []
        while prompt is not None and prompt.digest not in known:
            known.add(prompt.digest)
            new.append(prompt)
            prompt = prompt.parent
        for prompt in reversed(new):
            self._put(stream, {"kind": "prompt", "key": prompt.digest, "value": prompt.body()})
        self._put(
            stream, {"kind": "body", "ask": type(request).__name__, "key": key, "value": request.body()}
        )

    def _put(self, stream: str, record: Record) -> None:
        line = seal_line({"s": stream, **record})
        if len(line) > _LARGE and record["kind"] in ("reply", "sealed", "note"):
            raw = json.dumps(record["value"], ensure_ascii=False, separators=(",", ":"))
            digest = self._blobs.put(raw.encode("utf-8", "surrogatepass"))
            line = seal_line({"s": stream, **record, "value": {"$blob": digest}})
        self._buffer.append(line)

    def timing(self, stream: str, at: str, seconds: float, elapsed: float) -> None:
        """Note how long a call took; kept apart from the journal."""
        row = {"s": stream, "at": at, "seconds": round(seconds, 6), "elapsed": round(elapsed, 3)}
        self._times.append(json.dumps(row))

    def flush(self) -> None:
        """Hand what is buffered to the operating system; to the disk at least every second.

        Raises:
            JournalError: when the disk is full or gone.
        """
        if not self._buffer:
            return
        data = b"".join(self._buffer)
        try:
            self._file.write(data)
            self._file.flush()
            if time.monotonic() - self._synced >= 1.0:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise _unwritable(self.path, error) from error
        finally:
            self._buffer.clear()
        if self._times:
            times, self._times = self._times, []
            with self.path.with_name(self.path.name + ".times").open("a", encoding="utf-8") as file:
                file.write("\n".join(times) + "\n")

    def sync(self) -> None:
        """Flush, and wait for the disk."""
        self.flush()
        if self._file.writable():
            os.fsync(self._file.fileno())


def _roles(seal: Record) -> list[Record]:
    return [{"usage": usage, "role": role} for role, usage in seal["roles"].items()]


def _whole(line: bytes) -> bool:
    """Whether a damaged last line is a complete line, so that it was changed and not cut."""
    return line.startswith(b"{") and line.endswith(b'"}\n')


def _read_header(path: Path, file: BinaryIO) -> dict[str, Any]:
    body = open_line(file.readline())
    if body is None or body.get("journal") != "cogitate":
        raise JournalError(f"{path} is not a cogitate journal; its first line is no header of one")
    if body.get("format") != FORMAT:
        raise JournalError(
            f"{path} has journal format {body.get('format')}, but this version reads {FORMAT}; "
            "use the version of cogitate that wrote it"
        )
    return body["header"]


def _locked(path: Path) -> Any:
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise JournalError(f"{path} is being written by another process; wait for it to end") from None
    except OSError as error:
        raise _unwritable(path, error) from error
    return lock


def _unwritable(path: Path, error: OSError) -> JournalError:
    if error.errno == errno.ENOSPC:
        return JournalError(
            f"the disk is full: {path} could not be written; what it holds so far is kept. "
            "Free some room and resume"
        )
    return JournalError(f"the journal {path} cannot be used: {error.strerror or error}")
