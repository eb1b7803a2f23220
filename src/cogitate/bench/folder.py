"""The run folder: `run.json` says what is asked, the journals hold what was answered; all else follows from them.

| file | what |
| --- | --- |
| `run.json` | the grid, the run card, and the cells with their files |
| `journals/CELL.jsonl` | every call of a cell, a stream a question, sealed with its outcome |
| `replies/` | what the models said, so that no cell asks what another has asked |
| `outcomes/CELL.jsonl` | the outcomes read from a journal, with a checksum; made anew where missing |
| `host.json` | seconds and host; nothing else depends on them |
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from cogitate.core.codec import decode, encode
from cogitate.core.errors import InvalidInput, JournalError
from cogitate.core.journal import Record, sealed_in, usage_of
from cogitate.core.usage import Budget, Usage
from cogitate.drive.blobs import BlobStore
from cogitate.drive.journal_file import open_line

from .results import Cell, Drawn, Found, Key, Outcome, Pool, Timing

FORMAT: Final = 1
RUN, HOST, JOURNALS, OUTCOMES, REPLIES = "run.json", "host.json", "journals", "outcomes", "replies"


@dataclass(frozen=True, slots=True)
class Entry:
    """One journal of the folder: a cell, a pool, or the scores of a pool."""

    file: str
    """Its name, without the folder and the ending."""
    kind: str
    """`cell`, `pool` or `scores`."""
    task: str
    model: str
    spec: str
    """Of the strategy, the process or the scorer."""
    seed: int = 0
    rows: int = 0
    """Questions."""
    budget: Budget = field(default_factory=Budget)
    line: str = ""
    n: int | None = None
    pool: str = ""
    """For scores: the file of the pool."""
    samples: int = 0
    """Of a pool, a question."""

    @property
    def key(self) -> Key:
        """The cell's place in the grid."""
        return Key(self.task, self.model, self.spec, self.budget, self.seed)


@dataclass(frozen=True)
class Folder:
    """A run folder and what its `run.json` says."""

    path: Path
    card: Mapping[str, Any]
    entries: tuple[Entry, ...]
    grid: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def open(cls, path: Path) -> Folder:
        """What was begun here.

        Raises:
            InvalidInput: where there is no run folder, or one of another version.
        """
        try:
            raw = json.loads((path / RUN).read_bytes())
            if raw["format"] != FORMAT:
                raise InvalidInput(
                    f"{path / RUN} has format {raw['format']}, but this version reads {FORMAT}; use the "
                    "version of cogitate that wrote it"
                )
            entries = tuple(decode(Entry, entry) for entry in raw["entries"])
            return cls(path, raw["card"], entries, raw["grid"])
        except FileNotFoundError:
            raise InvalidInput(
                f"{path} is no run folder: it has no {RUN}; make one with `cogitate bench run --out {path}`"
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(
                f"{path / RUN} cannot be read ({error}); restore it from a copy"
            ) from None

    def write(self) -> None:
        """Write `run.json`, whole or not at all."""
        (self.path / JOURNALS).mkdir(parents=True, exist_ok=True)
        said = {
            "format": FORMAT,
            "card": self.card,
            "entries": [encode(entry) for entry in self.entries],
            "grid": self.grid,
        }
        replace_file(self.path / RUN, json.dumps(said, ensure_ascii=False, indent=1) + "\n")

    def journal(self, entry: Entry) -> Path:
        """The journal of an entry; its streams are the ids of the questions."""
        return self.path / JOURNALS / f"{entry.file}.jsonl"

    def done(self, entry: Entry) -> int:
        """How many questions of an entry are sealed."""
        return len(self._lines(entry))

    def rows(self, entry: Entry) -> Iterator[dict[str, Any]]:
        """The sealed values of an entry with their usage, in the order of the questions."""
        for line in self._lines(entry):
            yield json.loads(line)

    def _lines(self, entry: Entry) -> Sequence[bytes]:
        """The same as lines of JSON, which take the least room."""
        journal = self.journal(entry)
        if not journal.is_file():
            return ()
        derived = self.path / OUTCOMES / f"{entry.file}.jsonl"
        size = journal.stat().st_size
        known = _derived(derived, size)
        if known is None:
            known = [line for _, line in sorted(_sealed(journal).values())]
            with suppress(OSError):  # a folder that is read-only is read all the same
                _write_derived(derived, size, known)
        return known


def load(path: str | Path) -> Found:
    """What a run folder holds, finished or not: equal for equal runs, seconds and host apart.

    Raises:
        InvalidInput: where there is no run folder.
        JournalError: where a journal is damaged.
    """
    folder = Folder.open(Path(path))
    cells = tuple(
        Cell(
            entry.key,
            tuple(_outcome(row) for row in folder.rows(entry)),
            entry.line,
            entry.n,
        )
        for entry in folder.entries
        if entry.kind == "cell"
    )
    pools = tuple(_pool(folder, entry) for entry in folder.entries if entry.kind == "pool")
    return Found(folder.card, cells, pools, _by_cell(folder))


def timing(path: Path) -> Timing | None:
    """Host and seconds of a run folder, by file; `None` where they are not there."""
    try:
        raw = json.loads((path / HOST).read_bytes())
        return Timing(raw["host"], {str(k): float(v) for k, v in raw["seconds"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _by_cell(folder: Folder) -> Timing | None:
    """The timing with the seconds of each cell under the name of its key, and not of its file."""
    told = timing(folder.path)
    if told is None:
        return None
    names = {e.file: e.key.name for e in folder.entries if e.kind == "cell"}
    return Timing(told.host, {names.get(file, file): s for file, s in told.seconds.items()})


def replace_file(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, "utf-8")
    part.replace(path)


# ------------------------------------------------------------------------------------ from journals


def _sealed(journal: Path) -> dict[str, tuple[int, bytes]]:
    """By question, its number and its sealed value with what it cost, as JSON; only those lines are parsed.

    The candidates are left in the journal: there may be many of them.
    """
    blobs = BlobStore(journal.with_name(journal.name + ".blobs"))
    found: dict[str, tuple[int, bytes]] = {}
    with journal.open("rb") as file:
        for number, line in enumerate(file, 1):
            if b'"kind":"sealed"' not in line and b'"kind":"late"' not in line:
                continue
            record = open_line(line)
            if record is None:
                if line.endswith(b'"}\n') or file.read(1):
                    raise JournalError(
                        f"record {number} of {journal} is damaged: its checksum does not match; restore "
                        "the file from a copy"
                    )
                break  # a torn last line, as a killed run leaves it
            question = record.get("s", "")
            if record.get("kind") == "sealed":
                if "blob" in record:
                    record["value"] = json.loads(blobs.get(record.pop("blob")))
                record["value"].pop("ranking", None)
                found[question] = _row(question, [record])
            elif record.get("kind") == "late" and question in found:  # what came after the seal
                row = json.loads(found[question][1])
                seal = {"kind": "sealed", "value": row, "roles": row["usage"]}
                found[question] = _row(question, [seal, record])
    return found


def _row(question: str, records: Sequence[Record]) -> tuple[int, bytes]:
    seal = sealed_in(records)
    assert seal is not None
    usage = dict(sorted(seal["roles"].items()))
    row: dict[str, Any] = {**seal["value"], "question": question, "usage": usage}
    return row["number"], json.dumps(row, separators=(",", ":")).encode()


def _derived(path: Path, size: int) -> list[bytes] | None:
    """The rows that were read from a journal of this size, where they are whole."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        said = json.loads(head)
        if said != {"format": FORMAT, "journal": size, "sum": _sum(body)}:
            return None
        return body.splitlines()
    except (OSError, ValueError, AttributeError):
        return None


def _write_derived(path: Path, size: int, lines: Sequence[bytes]) -> None:
    path.parent.mkdir(exist_ok=True)
    body = b"".join(line + b"\n" for line in lines)
    head = json.dumps({"format": FORMAT, "journal": size, "sum": _sum(body)})
    replace_file(path, f"{head}\n{body.decode()}")


def _sum(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=16).hexdigest()


# --------------------------------------------------------------------------------------- to values


def _usage(raw: Mapping[str, Any]) -> Mapping[str, Usage]:
    return MappingProxyType({role: usage_of({"usage": used}) for role, used in raw.items()})


def _outcome(row: Mapping[str, Any]) -> Outcome:
    return Outcome(
        row["question"],
        row["answer"],
        row["correct"],
        row.get("truncated", False),
        row.get("stopped", ""),
        _usage(row["usage"]),
        row.get("candidates", 0),
        row.get("candidates_correct", 0),
    )


def _pool(folder: Folder, entry: Entry) -> Pool:
    scores = {
        scored.spec: {row["question"]: row for row in folder.rows(scored)}
        for scored in folder.entries
        if scored.kind == "scores" and scored.pool == entry.file
    }
    drawn = tuple(_drawn(row, scores) for row in folder.rows(entry))
    return Pool(entry.task, entry.model, entry.seed, drawn, entry.spec)


def _drawn(row: Mapping[str, Any], scores: Mapping[str, Mapping[str, Any]]) -> Drawn:
    question, drawing = row["question"], _usage(row["usage"])
    found = {spec: held[question] for spec, held in scores.items() if question in held}
    return Drawn(
        question,
        tuple(row["classes"]),
        tuple(row["correct"]),
        tuple(row["tokens"]),
        tuple(row["truncated"]),
        MappingProxyType({spec: tuple(held["scores"]) for spec, held in found.items()}),
        usage_total(drawing).tokens_in // max(1, len(row["tokens"])),
        MappingProxyType(
            {spec: _without(_usage(held["usage"]), drawing) for spec, held in found.items()}
        ),
    )


def _without(whole: Mapping[str, Usage], drawing: Mapping[str, Usage]) -> Usage:
    """What judging cost: scores are journaled with the samples they judge, and those were drawn before."""
    total, less = usage_total(whole), usage_total(drawing)
    return Usage(
        total.tokens_in - less.tokens_in,
        total.tokens_cached - less.tokens_cached,
        total.tokens_out - less.tokens_out,
        total.tokens_reasoning - less.tokens_reasoning,
        total.calls - less.calls,
        0.0,
        _difference(total.flops, less.flops),
        _difference(total.bytes_moved, less.bytes_moved),
        _difference(total.usd, less.usd),
        total.estimated or less.estimated,
    )


def _difference(whole: float | None, part: float | None) -> float | None:
    return None if whole is None or part is None else whole - part


def usage_total(roles: Mapping[str, Usage]) -> Usage:
    """The usage of all roles together."""
    return sum(roles.values(), Usage())
