from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from cogitate.core.errors import InvalidInput
from cogitate.core.seeds import Seed
from cogitate.lab import (
    About,
    Pool,
    Question,
    Sample,
    excerpt,
    open_pool,
    packaged_pools,
    pools,
    with_questions,
    word_problems,
    write_pool,
)

GOOD: dict[str, Any] = {
    "id": 0,
    "k": 0,
    "text": "7 + 8 = 15\n#### 15",
    "tokens": 14,
    "stop": "eos",
    "logprob_sum": -4.2,
    "logprob_min": -1.8,
    "gold": "15",
}


def written(path: Path, rows: list[Any], *, packed: bool = True) -> Path:
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    if packed:
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, "utf-8")
    return path


def made(questions: int = 5, samples: int = 4) -> Pool:
    return Pool(
        About("made", model="m", licence="ours"),
        tuple(
            Question(
                q,
                f"What is {q} + 1? “é”",
                str(q + 1),
                tuple(
                    Sample(
                        k,
                        f"line\n#### {q + k}",
                        5 + k,
                        "limit" if k == 3 else "eos",
                        -1.5 * k,
                        -0.5 * k,
                        9,
                        7,
                    )
                    for k in range(samples)
                ),
            )
            for q in range(questions)
        ),
    )


@pytest.mark.parametrize("packed", [True, False])
def test_a_bare_recording_is_read(tmp_path: Path, packed: bool) -> None:
    rows = [GOOD | {"id": i, "k": k, "task": "t"} for k in (1, 0) for i in (3, 1)]
    pool = open_pool(written(tmp_path / "run.jsonl.gz", rows, packed=packed))
    assert pool.about.name == "run"
    assert [q.id for q in pool.questions] == [3, 1]
    assert [s.k for s in pool.questions[0].samples] == [0, 1]
    assert pool.questions[0].gold == "15"
    assert pool.samples_each == 2
    assert pool.tokens_each == 14


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    pool = made()
    write_pool(tmp_path / "a.jsonl.gz", pool)
    write_pool(tmp_path / "b.jsonl.gz", pool)
    assert open_pool(tmp_path / "a.jsonl.gz") == pool
    first = (tmp_path / "a.jsonl.gz").read_bytes()
    assert first == (tmp_path / "b.jsonl.gz").read_bytes()
    assert first[3:8] == bytes(5)  # neither a file name nor a time of writing


BAD: dict[str, tuple[Any, str]] = {
    "not json": ("{", "is not JSON"),
    "not an object": ("[1]", "a JSON object was expected"),
    "deep": ("[" * 100_000, "is not JSON"),
    "not a number of json": (json.dumps(GOOD).replace("-4.2", "NaN"), "is not JSON"),
    "endless number": (json.dumps(GOOD).replace("14", "1" * 5000), "is not JSON"),
    "no text": ({k: v for k, v in GOOD.items() if k != "text"}, "text is missing"),
    "no gold": ({k: v for k, v in GOOD.items() if k != "gold"} | {"id": 9}, "gold is missing"),
    "text of a wrong type": (GOOD | {"text": 5}, "text must be text"),
    "negative tokens": (GOOD | {"tokens": -1}, "tokens must be a whole number"),
    "true tokens": (GOOD | {"tokens": True}, "tokens must be a whole number"),
    "broken tokens": (GOOD | {"tokens": 1.5}, "tokens must be a whole number"),
    "negative k": (GOOD | {"k": -1}, "k must be a whole number"),
    "unknown stop": (GOOD | {"stop": "bored"}, "stop is 'bored'"),
    "a positive log-probability": (GOOD | {"logprob_sum": 2.0}, "logprob_sum is 2.0"),
    "an infinite log-probability": (
        json.dumps(GOOD).replace("-4.2", "-1e999"),
        "logprob_sum is -inf",
    ),
    "two golds": (GOOD | {"k": 1, "gold": "16"}, "the gold answers '15' and '16'"),
    "twice": (GOOD, "is there twice"),
    "a foreign format": ({"format": "other/9"}, "this version reads 'cogitate-pool/1'"),
    "a late header": ({"format": "cogitate-pool/1"}, "must be the first line"),
    "a long line": (GOOD | {"text": "x" * (1 << 20)}, "longer than a recording may be"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_named(tmp_path: Path, name: str) -> None:
    row, message = BAD[name]
    file = written(tmp_path / "bad.jsonl.gz", [GOOD, row])
    with pytest.raises(InvalidInput, match=r"bad\.jsonl\.gz, line 2: ") as found:
        open_pool(file)
    assert message in str(found.value)
    assert len(str(found.value)) < 400


def test_truncated_and_foreign_files_are_refused(tmp_path: Path) -> None:
    rows = [GOOD | {"id": i, "text": str(hash((i, "noise")))} for i in range(500)]
    whole = written(tmp_path / "whole.jsonl.gz", rows).read_bytes()
    for cut in (30, len(whole) // 2, len(whole) - 4):
        (tmp_path / "cut.jsonl.gz").write_bytes(whole[:cut])
        with pytest.raises(InvalidInput, match=r"cut\.jsonl\.gz, after line \d+: cannot be read"):
            open_pool(tmp_path / "cut.jsonl.gz")
    middle = len(whole) // 2
    (tmp_path / "hurt.jsonl.gz").write_bytes(whole[:middle] + b"\x00" * 40 + whole[middle + 40 :])
    with pytest.raises(InvalidInput, match=r"hurt\.jsonl\.gz"):
        open_pool(tmp_path / "hurt.jsonl.gz")
    (tmp_path / "noise.bin").write_bytes(bytes(range(256)))
    with pytest.raises(InvalidInput, match="line 1"):
        open_pool(tmp_path / "noise.bin")
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with pytest.raises(InvalidInput, match="holds no sample"):
        open_pool(tmp_path / "empty.jsonl")


def test_a_packed_bomb_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b" " * 50_000_000))
    with pytest.raises(InvalidInput, match="line 1: longer than a recording"):
        open_pool(tmp_path / "bomb.gz")
    monkeypatch.setattr(pools, "MAX_BYTES", 10_000)
    (tmp_path / "lines.gz").write_bytes(gzip.compress(b"\n" * 20_000))
    with pytest.raises(InvalidInput, match="line 10001: longer than a recording"):
        open_pool(tmp_path / "lines.gz")


def test_samples_are_bounded(tmp_path: Path) -> None:
    file = written(tmp_path / "many.jsonl.gz", [GOOD | {"k": k} for k in range(6)])
    assert open_pool(file, max_samples=6).samples_each == 6
    with pytest.raises(InvalidInput, match="more than 5 samples"):
        open_pool(file, max_samples=5)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(InvalidInput, match=packaged_pools()[0]):
        open_pool("nothing-of-this-name")


def test_an_excerpt_does_not_look_at_results() -> None:
    pool = made(40)
    right = Pool(pool.about, tuple(Question(q.id, q.text, "1", q.samples) for q in pool.questions))
    about = About("small")
    chosen = [q.id for q in excerpt(pool, 10, about).questions]
    assert chosen == [q.id for q in excerpt(right, 10, about).questions]
    assert chosen == sorted(chosen)
    assert len(chosen) == 10
    assert chosen != list(range(10))
    assert chosen != [q.id for q in excerpt(pool, 10, about, root=1).questions]


def test_question_texts_are_filled_in() -> None:
    named = with_questions(made(2), {1: "new"})
    assert [q.text for q in named.questions] == ["What is 0 + 1? “é”", "new"]


def test_samples_know_what_was_cut() -> None:
    sample = Sample(0, "", 0, "limit", 0.0, 0.0)
    assert not sample.complete
    assert sample.logprob_mean == float("-inf")
    assert Sample(0, "x", 4, "eos", -2.0, -1.0).logprob_mean == -0.5


@pytest.mark.parametrize("name", packaged_pools())
def test_packaged_pools_are_whole_small_and_licensed(name: str) -> None:
    pool = open_pool(name)
    assert pool.about.name == name
    assert pool.about.model
    assert pool.about.licence
    assert pool.samples_each >= 32
    assert 40 <= len(pool.questions) <= 80
    assert all(q.text and q.gold for q in pool.questions)
    folder = Path(pools.__file__).parent / "recordings"
    assert (folder / f"{name}.jsonl.gz").stat().st_size < 1_000_000
    assert name in (folder / "README.md").read_text("utf-8")


def test_the_packaged_questions_are_those_that_the_generator_makes() -> None:
    seed = Seed(0).at("pool")
    made_again = [*word_problems(40, seed, 1, 10), *word_problems(20, seed, 2, 10)]
    held = open_pool("smollm2-wordproblems").questions
    assert [(q.text, q.gold) for q in held] == [(p.question, str(p.answer)) for p in made_again]
