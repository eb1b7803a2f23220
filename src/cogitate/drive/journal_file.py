"""A journal on disk: JSON lines, append-only, a checksum per record, fsynced in batches.

The first line is the header (the run card); every other line is a record of one stream. Request bodies
and prompts are stored once a stream, so that a journal can be read without the code that wrote it.
Next to `run.jsonl` lie `run.jsonl.times` (timing and host fields, apart, so that journals can be
compared byte for byte) and, where values are large, `run.jsonl.blobs`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from cogitate.core.errors import JournalError
from cogitate.core.journal import Record, seal_record, sealed_in, standing
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Request

from .blobs import BlobStore

if TYPE_CHECKING:
    import sqlite3

FORMAT = 1
_BODIES = ("prompt", "body")
_LARGE = 32_768
# Made once: `json.dumps` with other than its own settings makes an encoder at every call.
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_SUM = len(',"sum":"00000000"}')


def seal_line(body: dict[str, Any]) -> bytes:
    """One line with its checksum, newline included."""
    text = _to_json(body).encode("utf-8", "surrogatepass")
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
        self._reader, self._lock = file, lock
        # A file of its own and unbuffered: reading does not move it, and a failed write leaves nothing behind.
        self._file = None if lock is None else path.open("ab", buffering=0)
        self._size = path.stat().st_size
        self._broken = False
        self._buffer: list[bytes] = []
        self._times: list[str] = []
        self._known: dict[str, set[str]] = {}
        self._synced = time.monotonic()
        self._index: sqlite3.Connection | None = None
        self._blobs = BlobStore(path.with_name(path.name + ".blobs"))
        self._spent: dict[str, list[Record]] = {}
        """What the streams with a name cost so far, for their seals."""

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
            with path.open("wb") as file:
                file.write(
                    seal_line({"journal": "cogitate", "format": FORMAT, "header": dict(header)})
                )
                file.flush()
                os.fsync(file.fileno())
            return cls(path, path.open("rb"), dict(header), lock)
        except OSError as error:
            lock.release()
            raise _unwritable(path, error) from error
        except JournalError:
            lock.release()
            raise

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
        file: BinaryIO | None = None
        journal: FileJournal | None = None
        try:
            file = path.open("rb")
            journal = cls(path, file, _read_header(path, file), lock)
            journal._scan()
        except (OSError, JournalError) as error:
            if journal is not None:
                journal.close()
            elif file is not None:
                file.close()
            if lock is not None:
                lock.release()
            raise _unwritable(path, error) if isinstance(error, OSError) else error from error
        return journal

    def close(self) -> None:
        """Write what is buffered and release the file."""
        if self._reader.closed:
            return
        try:
            self.sync()
        finally:
            self._reader.close()
            if self._file is not None:
                self._file.close()
            if self._index is not None:
                self._index.close()
            if self._lock is not None:
                with contextlib.suppress(
                    OSError
                ):  # while it is held: a file made anew may be another's
                    Path(self._lock.lock_file).unlink(missing_ok=True)
                self._lock.release()

    def __enter__(self) -> FileJournal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -------------------------------------------------------------------------------- reading

    def _scan(self) -> None:
        """Check every record and note where each stream's records lie: on disk, not in memory."""
        import sqlite3  # here, so that a run that reads no journal does not load it

        index = self._index = sqlite3.connect(
            "", check_same_thread=False
        )  # a private temporary file
        index.execute("create table lines (stream text, kind text, start integer, length integer)")
        start = self._reader.tell()
        rows: list[tuple[str, str, int, int]] = []
        for number, line in enumerate(self._reader, start=2):
            body = open_line(line)
            if body is None:
                self._damaged(number, start, line)
                break
            rows.append((body["s"], body["kind"], start, len(line)))
            start += len(line)
            if len(rows) >= 10_000:
                index.executemany("insert into lines values (?, ?, ?, ?)", rows)
                rows.clear()
        index.executemany("insert into lines values (?, ?, ?, ?)", rows)
        index.execute("create index by_stream on lines (stream)")
        self._read_times()

    def _damaged(self, number: int, start: int, line: bytes) -> None:
        rest = self._reader.read(1)
        if rest or (
            line.endswith(b"\n") and len(line) > 1 and line.count(b"\x00") == 0 and _whole(line)
        ):
            raise JournalError(
                f"record {number} of {self.path} is damaged: its checksum does not match; restore the "
                f"file from a copy, or keep what comes before with `head -c {start}`"
            )
        self.dropped_bytes = len(line)
        if self._file is not None:
            self._file.truncate(start)
            self._size = start

    def _read_times(self) -> None:
        path = self.path.with_name(self.path.name + ".times")
        if not path.exists():
            return
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    self.elapsed_s = max(
                        self.elapsed_s, float(json.loads(line).get("elapsed", 0.0))
                    )
                except (ValueError, AttributeError):
                    continue  # a torn last line; timing is not evidence

    def lines(self, stream: str | None = None) -> Iterator[Record]:
        """Every record, bodies and seals too, of one stream or of all, in order."""
        if self._index is None:
            return
        where, arguments = ("", ()) if stream is None else ("where stream = ?", (stream,))
        query = f"select start, length from lines {where} order by start"
        yield from self._read(self._index.execute(query, arguments))

    def _read(self, places: Iterable[tuple[int, int]]) -> Iterator[Record]:
        for start, length in places:
            self._reader.seek(start)
            body = open_line(self._reader.read(length))
            if body is None:
                raise JournalError(
                    f"the record at byte {start} of {self.path} was changed while it was open"
                )
            yield self._resolve(body)

    def holds(self, stream: str, kind: str) -> bool:
        """Whether a stream has a recorded line of this kind; asked of the index, nothing is read."""
        if self._index is None:
            return False
        query = "select 1 from lines where stream = ? and kind = ? limit 1"
        return self._index.execute(query, (stream, kind)).fetchone() is not None

    def streams(self) -> list[str]:
        """The names of the recorded streams, in order of appearance."""
        if self._index is None:
            return []
        query = "select stream from lines group by stream order by min(start)"
        return [name for (name,) in self._index.execute(query)]

    def recorded(self, stream: str) -> Sequence[Record]:
        stand = standing(self._told(stream))
        self._spent[stream] = [_cost(r) for r in stand if "usage" in r]
        return stand

    def _told(self, stream: str) -> list[Record]:
        found: list[Record] = []
        known = self._known.setdefault(stream, set())
        for record in self.lines(stream):
            if record["kind"] in _BODIES:
                known.add(record["key"])
            elif record["kind"] != "sealed":
                found.append(record)
        return found

    def sealed(self, stream: str) -> Record | None:
        if self._index is None:
            return None
        query = "select start, length from lines where stream = ? and kind in ('sealed', 'late') order by start"
        return sealed_in(self._read(self._index.execute(query, (stream,))))

    def _resolve(self, body: Record) -> Record:
        if "blob" in body:
            body["value"] = json.loads(self._blobs.get(body.pop("blob")))
        return body

    # -------------------------------------------------------------------------------- writing

    def append(self, stream: str, record: Record, request: Request[Any] | None = None) -> None:
        if self._file is None:
            return
        if request is not None:
            self._bodies(stream, request)
        if record["kind"] == "cut":
            stand = standing([*self._told(stream), record])
            self._spent[stream] = [_cost(r) for r in stand if "usage" in r]
        elif stream and "usage" in record:  # the nameless stream is never sealed
            self._spent.setdefault(stream, []).append(_cost(record))
        self._put(stream, record)

    def seal(self, stream: str, value: Any) -> None:
        if self._file is not None:
            self._put(stream, seal_record(value, self._spent.pop(stream, ())))
            self._known.pop(stream, None)

    def _bodies(self, stream: str, request: Request[Any]) -> None:
        known = self._known.setdefault(stream, set())
        key = request.key()
        if key in known:
            return
        known.add(key)
        prompt: Prompt | None = getattr(request, "prompt", None)
        new: list[Prompt] = []
        while prompt is not None and prompt.digest not in known:
            known.add(prompt.digest)
            new.append(prompt)
            prompt = prompt.parent
        for prompt in reversed(new):
            self._put(stream, {"kind": "prompt", "key": prompt.digest, "value": prompt.body()})
        self._put(
            stream,
            {"kind": "body", "ask": type(request).__name__, "key": key, "value": request.body()},
        )

    def _put(self, stream: str, record: Record) -> None:
        line = seal_line({"s": stream, **record})
        if len(line) > _LARGE and record["kind"] in ("reply", "sealed", "note"):
            rest = {"s": stream, **record}
            raw = _to_json(rest.pop("value"))
            with contextlib.suppress(JournalError):  # it stays in the line, and `flush` says why
                rest["blob"] = self._blobs.put(raw.encode("utf-8", "surrogatepass"))
                line = seal_line(rest)
        self._buffer.append(line)

    def timing(self, stream: str, at: str, seconds: float, elapsed: float) -> None:
        """Note how long a call took; kept apart from the journal."""
        row = {"s": stream, "at": at, "seconds": round(seconds, 6), "elapsed": round(elapsed, 3)}
        self._times.append(json.dumps(row))

    def flush(self) -> None:
        """Hand what is buffered to the operating system; to the disk at least every second.

        After it has failed once, the file ends with the last whole record and nothing more is written.

        Raises:
            JournalError: when the disk is full or gone.
        """
        data = memoryview(b"".join(self._buffer))
        self._buffer.clear()
        if self._file is None or self._broken or not data:
            return
        size = self._size + len(data)
        try:
            while data:
                data = data[self._file.write(data) :]
            self._size = size
            if time.monotonic() - self._synced >= 1.0:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            self._broken = True
            with contextlib.suppress(OSError):
                self._file.truncate(self._size)
            raise _unwritable(self.path, error) from error
        times, self._times = self._times, []
        if times:
            path = self.path.with_name(self.path.name + ".times")
            # Timing is not evidence: a run does not end for want of it.
            with contextlib.suppress(OSError), path.open("a", encoding="utf-8") as file:
                file.write("\n".join(times) + "\n")

    def sync(self) -> None:
        """Flush, and wait for the disk."""
        self.flush()
        if self._file is not None and not self._broken:
            os.fsync(self._file.fileno())


def _cost(record: Record) -> Record:
    """What a seal needs of a record; its value may be large."""
    cost = {"kind": record["kind"], "usage": record["usage"], "role": record.get("role", "")}
    return cost | ({"cached": True} if record.get("cached") else {})


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
        raise JournalError(
            f"{path} is being written by another process; wait for it to end"
        ) from None
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
