"""`kill -9` at random moments: the run goes on where it stopped, and pays nothing twice."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cogitate.drive import FileJournal

QUESTION = {
    "fake": "Ann has 3 apples and buys 4 more. How many apples has she?",
    "sim": "Start with 7. Then add 5. Then take away 3. What is the result?",
}


def command(model: str, question: str, strategy: str, journal: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "cogitate", "solve", question, "--kind", "number"),
        *("--model", model, "--strategy", strategy, "--journal", str(journal), "--json"),
    ]


def finish(arguments: list[str]) -> dict[str, Any]:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def killed(arguments: list[str], journal: Path, after_s: float) -> bool:
    """Start, kill -9 some time after the journal began; whether it was still running."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = journal.stat().st_size if journal.exists() else 0
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if journal.exists() and journal.stat().st_size > before:
            break
        time.sleep(0.002)
    time.sleep(after_s)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return running


def tells(journal: Path) -> list[tuple[str, str, str]]:
    with FileJournal.open(journal, read_only=True) as book:
        return [
            (r["at"], r["key"], r["kind"])
            for r in book.lines("")
            if r["kind"] in ("reply", "failed")
        ]


def kept_lines(journal: Path) -> list[bytes]:
    """The whole lines of a journal; a torn last one does not count."""
    return [line for line in journal.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def check_kills(
    model: str, question: str, strategy: str, folder: Path, rounds: int, span_s: float, same: bool
) -> None:
    rng = random.Random(model)
    want = finish(command(model, question, strategy, folder / "whole.jsonl")) if same else None
    hit = 0
    for number in range(rounds):
        journal = folder / f"{number}.jsonl"
        arguments = command(model, question, strategy, journal)
        for _ in range(rng.choice((1, 1, 2))):
            hit += killed(arguments, journal, rng.random() * span_s)
        kept = kept_lines(journal)
        got = finish(arguments)
        assert journal.read_bytes().startswith(b"".join(kept)), "a journaled reply was changed"
        repeated = [at for at, n in Counter(at for at, _, _ in tells(journal)).items() if n > 1]
        assert repeated == [], "a journaled call was made twice"
        if want is not None:
            assert got["candidates"] == want["candidates"]
            assert json.dumps(got["usage"]) == json.dumps(want["usage"])
    assert hit >= rounds // 3, f"only {hit} of {rounds} runs were killed while they ran"


MODELS = [
    ("fake(latency_s=0.02)", QUESTION["fake"], "best_of(n=12, scorer=mean_logprob())"),
    ("fake(latency_s=0.01)", QUESTION["fake"], "beam_search(width=2, branch=3, scorer=prm())"),
]


@pytest.mark.parametrize(("model", "question", "strategy"), MODELS, ids=["best_of", "beam"])
def test_a_killed_run_goes_on(model: str, question: str, strategy: str, tmp_path: Path) -> None:
    check_kills(model, question, strategy, tmp_path, rounds=2, span_s=0.2, same=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["fake", "sim"])
def test_fifty_kills(kind: str, tmp_path: Path) -> None:
    """Byte-identical rankings on engines that are functions of the request."""
    model, question, strategy = MODELS[1]
    if kind == "sim":
        from cogitate.testing import simulated_tasks

        question = simulated_tasks(1, seed=3, difficulty=4)[0][0].question
        model = "sim:arithmetic(skill=0.6, latency_s=0.01)"
        strategy = "beam_search(width=3, branch=3, scorer=prm())"
    check_kills(model, question, strategy, tmp_path, rounds=50, span_s=0.4, same=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kills_on_the_embedded_model(tmp_path: Path) -> None:
    """Real engines are not bit-stable; journaled replies are kept byte for byte all the same."""
    pytest.importorskip("xllamacpp")
    from cogitate.engines.weights import located

    if located("smollm2") is None:
        pytest.skip("the embedded model is not here: cogitate models pull smollm2")
    strategy = 'self_consistency(n=12, process=answer(max_tokens=80, preset="word_problems"))'
    check_kills("smollm2", QUESTION["fake"], strategy, tmp_path, rounds=6, span_s=3.0, same=False)
