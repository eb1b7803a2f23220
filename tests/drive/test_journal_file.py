"""The journal on disk: killed, damaged, foreign, locked, full, large, and resumed."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.core.errors import JournalError
from cogitate.core.flow import each, gather, note
from cogitate.core.machine import Machine
from cogitate.core.prompt import Message, Prompt
from cogitate.core.requests import Call, Completion, Generate, Reply
from cogitate.core.usage import Usage
from cogitate.drive import FileJournal, replay
from cogitate.drive.journal_file import open_line, seal_line

COST = Usage(tokens_out=5, calls=1)


class Plain:
    def encode(self, value: Any) -> Any:
        return value

    def decode(self, raw: Any) -> Any:
        return raw


async def chain(prompt: Prompt, steps: int) -> str:
    for number in range(steps):
        found = await Generate(prompt, seed=number)
        await note("step", number=number)
        prompt = prompt.then(found.text)
    return prompt.prefill


def flow(steps: int = 3) -> Any:
    start = Prompt.chat(Message("user", "q"))
    return gather(chain(start, steps), chain(start.then("other"), steps))


def serve(machine: Machine[Any], journal: FileJournal, most: int = 10**9) -> int:
    served = 0
    while not machine.done and served < most:
        for ask in machine.pending():
            if served < most:
                text = f"{ask.at}.{ask.request.seed} "
                machine.tell(ask.at, Reply(Completion(text), COST, engine="fake"))
                served += 1
        journal.flush()
    return served


def record(path: Path, steps: int = 3) -> list[str]:
    with FileJournal.create(path, {"package": "1"}) as journal:
        machine = Machine(flow(steps), journal)
        serve(machine, journal)
    return machine.result


def tells(data: bytes) -> int:
    return sum(b'"kind":"reply"' in line and line.endswith(b"\n") for line in data.splitlines(True))


def test_a_journal_replays_without_an_engine(tmp_path: Path) -> None:
    want = record(tmp_path / "j")
    with FileJournal.open(tmp_path / "j", read_only=True) as journal:
        again = replay(flow(), journal)
        assert journal.header == {"package": "1"}
    assert again.value == want
    assert again.usage == Usage(tokens_out=30, calls=6)


def test_every_killed_prefix_resumes_and_pays_only_for_the_rest(tmp_path: Path) -> None:
    want = record(tmp_path / "j")
    data = (tmp_path / "j").read_bytes()
    first = data.index(b"\n") + 1
    for cut in [*range(first, len(data), 37), len(data)]:
        path = tmp_path / f"cut{cut}"
        path.write_bytes(data[:cut])
        kept = data[: data.rindex(b"\n", 0, cut) + 1] if cut > first else data[:first]
        with FileJournal.open(path) as journal:
            assert journal.dropped_bytes == cut - len(kept)
            machine = Machine(flow(), journal)
            assert serve(machine, journal) == 6 - tells(kept)
        assert machine.result == want
        assert sorted(path.read_bytes().splitlines()) == sorted(data.splitlines())


def test_a_resumed_journal_resumes_again(tmp_path: Path) -> None:
    want = record(tmp_path / "whole")
    path = tmp_path / "j"
    served = 0
    with FileJournal.create(path, {"package": "1"}) as journal:
        machine = Machine(flow(), journal)
        served += serve(machine, journal, 2)
        machine.close()
    for _ in range(3):
        with path.open("ab") as file:
            file.write(b'{"s":"","kind":"rep')  # killed while it wrote
        with FileJournal.open(path) as journal:
            machine = Machine(flow(), journal)
            served += serve(machine, journal, 2)
            machine.close() if not machine.done else None
    assert served == 6
    assert machine.result == want


def test_reading_without_writing_leaves_a_torn_record(tmp_path: Path) -> None:
    path = tmp_path / "j"
    record(path)
    torn = path.read_bytes()[:-9]
    path.write_bytes(torn)
    with FileJournal.open(path, read_only=True) as journal:
        assert journal.dropped_bytes > 0
        Machine(flow(), journal).close()  # asks again, and would write
    assert path.read_bytes() == torn


@pytest.mark.parametrize("where", ["middle", "last"])
def test_a_damaged_record_is_refused_by_number(tmp_path: Path, where: str) -> None:
    path = tmp_path / "j"
    record(path)
    lines = path.read_bytes().splitlines(keepends=True)
    number = 5 if where == "middle" else len(lines)
    line = bytearray(lines[number - 1])
    line[line.index(b'"at"') + 6] ^= 1
    lines[number - 1] = bytes(line)
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match=rf"record {number} of .* damaged.*head -c"):
        FileJournal.open(path)
    (start,) = {len(b"".join(lines[: number - 1]))}
    path.write_bytes(path.read_bytes()[:start])  # the advice it gives
    FileJournal.open(path).close()


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with pytest.raises(JournalError, match="no such file"):
        FileJournal.open(path)
    for content in (
        b"",
        b"hello\n",
        b'{"a": 1}\n',
        seal_line({"journal": "other"}),
        b"\xff\x00" * 9,
    ):
        path.write_bytes(content)
        with pytest.raises(JournalError, match="not a cogitate journal"):
            FileJournal.open(path)
        assert path.read_bytes() == content
    path.write_bytes(seal_line({"journal": "cogitate", "format": 99, "header": {}}))
    with pytest.raises(JournalError, match="format 99, but this version reads 1"):
        FileJournal.open(path)


def test_a_new_journal_goes_into_a_new_or_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    FileJournal.create(tmp_path / "empty", {}).close()
    (tmp_path / "full").write_text("dear diary")
    with pytest.raises(JournalError, match="not empty"):
        FileJournal.create(tmp_path / "full", {})
    assert (tmp_path / "full").read_text() == "dear diary"
    with pytest.raises(JournalError, match="cannot be used"):
        FileJournal.create(tmp_path / "full" / "where", {})


def test_a_second_writer_is_refused_and_a_reader_is_not(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with FileJournal.create(path, {}):
        with pytest.raises(JournalError, match="written by another"):
            FileJournal.open(path)
        FileJournal.open(path, read_only=True).close()
    FileJournal.open(path).close()
    path.write_bytes(path.read_bytes() + b"garbage\ngarbage\n")
    with pytest.raises(JournalError, match="damaged"):
        FileJournal.open(path)
    path.write_bytes(path.read_bytes()[: -len(b"garbage\ngarbage\n")])
    FileJournal.open(path).close()  # a refused opening holds no lock


def test_a_writer_in_another_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    code = (
        "import sys\nfrom cogitate.drive import FileJournal\n"
        "try:\n    FileJournal.open(sys.argv[1]).close()\nexcept Exception as e:\n    print(e)\n"
    )
    with FileJournal.create(path, {}):
        said = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        )
    assert "another process" in said.stdout


# --------------------------------------------------------------------------------- full disks


class Disk:
    """A file on a disk with so much room left."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: Any) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        wrote = self.file.write(data[: self.room])
        self.room -= wrote
        return wrote

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize("room", [0, 1, 200, 777, 1500])
def test_a_full_disk_leaves_whole_records(tmp_path: Path, room: int) -> None:
    path = tmp_path / "j"
    journal = FileJournal.create(path, {})
    journal._file = Disk(journal._file, room)  # type: ignore[assignment]
    machine = Machine(flow(), journal)
    with pytest.raises(JournalError, match=r"disk is full.*Free some room and resume"):
        serve(machine, journal)
    journal._file.room = 10**6  # type: ignore[union-attr]
    serve(machine, journal)  # nothing may follow a gap
    journal.close()
    with FileJournal.open(path) as journal:
        assert journal.dropped_bytes == 0
        again = Machine(flow(), journal)
        serve(again, journal)
    assert again.result == machine.result


def test_a_blob_that_does_not_fit_stays_in_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "j"

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with FileJournal.create(path, {}) as journal:
        monkeypatch.setattr(Path, "write_bytes", full)
        machine = Machine(large(), journal)
        machine.tell(machine.pending()[0].at, Reply(BIG))
        monkeypatch.undo()
    with FileJournal.open(path) as journal:
        assert replay(large(), journal).value == BIG


# ------------------------------------------------------------------------------- large values

BIG = "x\ud83dé" * 40_000


async def large() -> Any:
    return await Call("f", ())


def test_large_values_go_to_the_blob_store_once(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with FileJournal.create(path, {}) as journal:
        machine = Machine(gather(large(), large()), journal)
        for ask in machine.pending():
            machine.tell(ask.at, Reply(BIG))
    assert path.stat().st_size < 3000
    assert len(list((tmp_path / "j.blobs").glob("??/*"))) == 1
    with FileJournal.open(path, read_only=True) as journal:
        assert replay(gather(large(), large()), journal).value == [BIG, BIG]
    (blob,) = (tmp_path / "j.blobs").glob("??/*")
    blob.write_bytes(b"changed")
    with FileJournal.open(path) as journal, pytest.raises(JournalError, match="damaged"):
        replay(gather(large(), large()), journal)


def test_a_value_that_looks_like_a_reference_is_none(tmp_path: Path) -> None:
    for number, value in enumerate([{"$blob": "0" * 32}, {"blob": "x"}]):
        with FileJournal.create(tmp_path / f"j{number}", {}) as journal:
            machine = Machine(large(), journal)
            machine.tell(machine.pending()[0].at, Reply(value))
        with FileJournal.open(tmp_path / f"j{number}") as journal:
            assert replay(large(), journal).value == value


def test_a_prompt_is_stored_part_by_part(tmp_path: Path) -> None:
    sizes: list[int] = []
    for steps in (20, 40):
        path = tmp_path / f"j{steps}"
        record(path, steps)
        sizes.append(path.stat().st_size)
    assert sizes[1] < 2.2 * sizes[0], "a chain of steps must not store its prefix anew"
    with FileJournal.open(tmp_path / "j20", read_only=True) as journal:
        bodies = [r for r in journal.lines() if r["kind"] == "body"]
        prompts: dict[str, Prompt] = {}
        for line in journal.lines():
            if line["kind"] == "prompt":
                body = line["value"]
                prompts[line["key"]] = Prompt.from_body(prompts.get(body["parent"]), body["part"])
        for body in bodies:
            assert Generate.from_body(body["value"], prompts).key() == body["key"]
    assert len(bodies) == 40
    assert len(prompts) == 40  # the common start once


# ------------------------------------------------------------------------ lines, times, memory

TEXT = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["\ud83d", "\u2028\x85\x0b", '"}', ',"sum":"00000000"}', "\\ud83d\\ude00", "\x00"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, JSON, max_size=4), st.data())
def test_a_line_reads_as_it_was_written_or_not_at_all(body: dict[str, Any], data: Any) -> None:
    line = seal_line({"s": "", **body})
    assert line.count(b"\n") == 1
    assert open_line(line) == {"s": "", **body}
    assert open_line(line[: data.draw(st.integers(0, len(line) - 1))]) is None
    changed = bytearray(line)
    at = data.draw(st.integers(0, len(line) - 1))
    changed[at] ^= data.draw(st.integers(1, 255))
    assert open_line(bytes(changed)) is None


def test_times_lie_apart_so_that_journals_compare_byte_for_byte(tmp_path: Path) -> None:
    for name, seconds in (("a", 1.5), ("b", 2.5)):
        with FileJournal.create(tmp_path / name, {}) as journal:
            machine = Machine(large(), journal)
            at = machine.pending()[0].at
            journal.timing("", at, seconds, seconds)
            machine.tell(at, Reply(1, Usage(calls=1, seconds=seconds), seconds=seconds))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with (tmp_path / "a.times").open("a") as file:
        file.write('{"torn')
    with FileJournal.open(tmp_path / "a") as journal:
        assert journal.elapsed_s == 1.5
    rows = [json.loads(line) for line in (tmp_path / "b.times").read_text().splitlines()]
    assert rows == [{"s": "", "at": "#0", "seconds": 2.5, "elapsed": 2.5}]


async def problem(name: int) -> int:
    await Call("f", (name, 0))
    await note("half", name=name)
    await Call("f", (name, 1))
    return name


async def bench(count: int, wanted: int) -> int:
    total = 0
    async for value in each(
        range(count), problem, at_most=4, stream=lambda n: f"problem {n}", codec=Plain()
    ):
        total += value >= wanted
    return total


def grown(path: Path, problems: int) -> int:
    """Bytes in use at the end of a run over so many problems."""
    journal = FileJournal.open(path) if path.exists() else FileJournal.create(path, {})
    tracemalloc.start()
    with journal:
        machine = Machine(bench(problems, 0), journal)
        while not machine.done:
            for ask in machine.pending():
                machine.tell(ask.at, Reply(list(range(40)), COST))
            journal.flush()
        size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert machine.result == problems
    return size


def test_memory_is_flat_in_problems(tmp_path: Path) -> None:
    grown(tmp_path / "warm", 20)
    small, large_run = grown(tmp_path / "a", 100), grown(tmp_path / "b", 700)
    assert large_run - small < 600 * 300, "a finished problem may cost its name and no more"
    resumed = grown(tmp_path / "b", 700)
    assert resumed < large_run + 100_000


def test_a_finished_problem_is_sealed_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "j"
    grown(path, 3)
    before = path.read_bytes()
    with FileJournal.open(path) as journal:
        assert journal.streams() == ["problem 0", "problem 1", "problem 2"]
        seal = journal.sealed("problem 1")
        assert seal is not None
        assert (seal["value"], seal["roles"]) == (1, {"code": {"tokens_out": 10, "calls": 2}})
        assert replay(bench(3, 0), journal).usage == Usage(tokens_out=30, calls=6)
    assert path.read_bytes() == before


def test_leaving_off_reading_does_not_disturb_writing(tmp_path: Path) -> None:
    path = tmp_path / "j"
    record(path)
    with FileJournal.open(path) as journal:
        next(journal.lines())
        journal.append("new", {"kind": "note", "at": "#0", "ask": "n", "value": {}})
    with FileJournal.open(path) as journal:
        assert [r["kind"] for r in journal.lines("new")] == ["note"]
