from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cogitate.assembly import solve
from cogitate.bench import Asked, Recording, read_questions, record
from cogitate.core.errors import InvalidInput
from cogitate.core.requests import Generate, Reply
from cogitate.core.usage import Budget
from cogitate.lab import open_pool
from cogitate.testing import Simulated, simulated_tasks

ROWS = [{"question": task.messages[-1].content, "gold": gold} for task, gold in simulated_tasks(4)]
ASKED = tuple(Asked(i, row["question"], row["gold"]) for i, row in enumerate(ROWS))


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def recording(**changed: Any) -> Recording:
    known: dict[str, Any] = {"questions": ASKED, "model": "sim:arithmetic()", "samples": 3}
    return Recording(**known | changed)


def test_a_recording_serves_as_a_model(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl.gz"
    told: list[tuple[int, int, int]] = []
    made = asyncio.run(
        record(recording(token_logprobs=True), path, tell=lambda *said: told.append(said))
    )
    read = open_pool(path)
    assert read == made
    assert [q.gold for q in read.questions] == [row["gold"] for row in ROWS]
    for question in read.questions:
        assert [s.k for s in question.samples] == [0, 1, 2]
        for sample in question.samples:
            assert len(sample.logprobs) == sample.tokens > 0
            assert sum(sample.logprobs) == pytest.approx(sample.logprob_sum, abs=0.01)
            assert min(sample.logprobs) == sample.logprob_min
    assert [done for done, _, _ in told] == [1, 2, 3, 4]
    assert told[-1][2] == sum(s.tokens for q in read.questions for s in q.samples)
    found = solve(ROWS[0]["question"], model=f"pool:{path}", strategy="self_consistency(n=3)", kind="number")  # fmt: skip
    assert found.answer is not None
    card = json.loads((tmp_path / "p.jsonl.gz.card.json").read_text())
    assert card["fingerprints"]["policy"].startswith("sim:arithmetic")
    assert card["seed"] == 0
    assert card["prompts"]


def test_an_interrupted_recording_goes_on_and_pays_nothing_twice(tmp_path: Path) -> None:
    whole = asyncio.run(record(recording(), tmp_path / "whole.jsonl.gz"))
    path = tmp_path / "p.jsonl.gz"

    def interrupt(done: int, total: int, tokens: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(record(recording(), path, tell=interrupt, at_most=1))
    assert not path.exists()
    kept = _replies(path)
    assert 6 <= kept < 12
    again = asyncio.run(record(recording(), path, at_most=1))
    assert [q.samples for q in again.questions] == [q.samples for q in whole.questions]
    assert _replies(path) == 12


def _replies(path: Path) -> int:
    return path.with_name(path.name + ".journal").read_bytes().count(b'"kind":"reply"')


def test_missing_samples_are_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"questions got fewer, first row 1 .*0 are left"):
        asyncio.run(record(recording(), tmp_path / "p.jsonl.gz", budget=Budget(calls=5)))
    assert not (tmp_path / "p.jsonl.gz").exists()


def test_equal_recordings_are_equal_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"]
    for path in paths:
        asyncio.run(record(recording(), path))
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_questions_are_read_as_files_write_them(tmp_path: Path) -> None:
    rows = [
        {"problem": "2 + 2?", "answer": "Two and two.\n#### 4"},
        {"input": "3?", "target": 14.0},
    ]
    path = lines(tmp_path / "q.jsonl", rows)
    assert read_questions(path) == (Asked(0, "2 + 2?", "4"), Asked(1, "3?", "14.0"))
    packed = tmp_path / "q.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_questions(packed) == read_questions(path)
    assert read_questions(path, 1) == (Asked(0, "2 + 2?", "4"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1: is not JSON"),
        ('{"question": "q", "gold": "1"}\n[]', "line 2: a JSON object"),
        ('{"question": "q"}', "line 1: holds none of gold, target, answer"),
        ('{"question": ["q"], "gold": 1}', "question must be text or a number"),
        ("", "holds none"),
        ('{"question": "' + "x" * (1 << 20) + '"}', "longer than"),
    ],
)
def test_a_malformed_row_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=said):
        read_questions(path)


def test_a_torn_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"question": "q", "gold": "1"}\n' * 500)[:-12])
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_questions(path)
    with pytest.raises(InvalidInput, match="no such file"):
        read_questions(tmp_path / "none.jsonl")


def test_senseless_recordings_are_refused() -> None:
    with pytest.raises(InvalidInput, match="0 samples of 4 questions"):
        recording(samples=0)
    with pytest.raises(InvalidInput, match="no answer kind 'nmber'"):
        recording(kind="nmber")


def test_a_model_without_logprobs_is_refused(tmp_path: Path) -> None:
    class Silent(Simulated):
        async def serve(self, batch: Any, emit: Any = None) -> Any:
            replies = await super().serve([replace(r, logprobs=-1) if isinstance(r, Generate) else r for r in batch])  # fmt: skip
            return [Reply(r.value, r.usage) if isinstance(r, Reply) else r for r in replies]

    with pytest.raises(InvalidInput, match="0 log-probabilities for"):
        asyncio.run(record(recording(model=Silent()), tmp_path / "p.jsonl.gz"))
