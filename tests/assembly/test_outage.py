"""A run that an outage left without an answer is asked again by the same command."""

from __future__ import annotations

from pathlib import Path

import cogitate as cg
from cogitate.drive import FileJournal
from cogitate.testing import FakeEngine

OPTIONS = {"strategy": "best_of(n=4, scorer=mean_logprob())", "kind": "number", "seed": 3}


def test_what_failed_is_asked_again_once_the_engine_is_back(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    down = cg.solve("2 + 2?", model=FakeEngine(fail=1.0), journal=journal, **OPTIONS)
    assert down.best is None
    assert down.stopped == "failed"
    again = FakeEngine()
    up = cg.solve("2 + 2?", model=again, journal=journal, **OPTIONS)
    assert up.answer is not None
    assert again.calls["Generate"] == 4
    assert up.ranking == cg.solve("2 + 2?", model=FakeEngine(), **OPTIONS).ranking
    third = FakeEngine()
    same = cg.solve("2 + 2?", model=third, journal=journal, **OPTIONS)
    assert same.ranking == up.ranking
    assert third.calls.total() == 0, "an answered run is replayed"


def test_a_failure_beside_an_answer_stands(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    first = cg.solve("2 + 2?", model=FakeEngine(fail_at=1), journal=journal, **OPTIONS)
    assert len(first.candidates) == 3
    engine = FakeEngine()
    again = cg.solve("2 + 2?", model=engine, journal=journal, **OPTIONS)
    assert again.ranking == first.ranking
    assert engine.calls.total() == 0


def test_looking_back_at_a_killed_run_writes_nothing_twice(tmp_path: Path) -> None:
    """A journal with a failure, killed right after a reply: its notes are published once."""
    journal = tmp_path / "run.jsonl"
    cg.solve("2 + 2?", model=FakeEngine(fail_at=1), journal=journal, **OPTIONS)
    lines = journal.read_bytes().splitlines(keepends=True)
    first_reply = next(i for i, line in enumerate(lines) if b'"kind":"reply"' in line)
    failed = next(i for i, line in enumerate(lines) if b'"kind":"failed"' in line)
    kept = [line for line in lines[: max(first_reply, failed) + 1] if b'"kind":"note"' not in line]
    journal.write_bytes(b"".join(kept))
    cg.solve("2 + 2?", model=FakeEngine(), journal=journal, **OPTIONS)
    with FileJournal.open(journal, read_only=True) as book:
        notes = [r["at"] for r in book.lines("") if r["kind"] == "note"]
    assert len(notes) == len(set(notes))


def test_what_was_paid_before_the_outage_is_not_paid_again(tmp_path: Path) -> None:
    """Samples that were cut in the middle keep their first steps."""
    journal = tmp_path / "run.jsonl"
    options = {**OPTIONS, "strategy": "beam_search(width=2, branch=2, scorer=prm())"}
    whole = FakeEngine()
    want = cg.solve("2 + 2?", model={"policy": whole, "verifier": whole}, **options)
    broken = FakeEngine(fail=lambda request: type(request).__name__ == "Generate")
    lost = cg.solve(
        "2 + 2?", model={"policy": broken, "verifier": broken}, journal=journal, **options
    )
    assert lost.best is None
    good = FakeEngine()
    found = cg.solve("2 + 2?", model={"policy": good, "verifier": good}, journal=journal, **options)
    assert found.ranking == want.ranking
