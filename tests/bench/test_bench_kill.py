"""`kill -9` of `bench run` at random moments: the run goes on, finds the same, and pays nothing twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from cogitate.bench.folder import load
from cogitate.bench.results import Found
from cogitate.drive import FileJournal

HARNESS = Path(__file__).with_name("bench_harness.py")

GRID = """
name = "killed"
[[run]]
tasks = ["world:medium(problems={problems})"]
models = ["sim:chain(preset='medium')"]
strategies = [
  "self_consistency(n={{n}})",
  "best_of(n={{n}}, scorer=prm())",
  {{spec = "beam_search(width={{w}}, branch={{w}}, scorer=prm())", n = [1, 4], w = [1, 2]}},
  "mcts(iterations=6, scorer=prm())",
]
n = [2, 8]
[[run]]
tasks = ["world:medium(problems={problems})"]
models = ["sim:chain(preset='medium')"]
strategies = ["best_of(n=8, scorer=prm())", "mcts(iterations=8, scorer=prm())"]
budgets = [{{tokens_out = 300}}, {{calls = 7}}]
[[pool]]
tasks = ["world:medium(problems={problems})"]
models = ["sim:chain(preset='medium')"]
samples = 8
select = ["majority", "best_of(scorer=prm())"]
"""


def command(folder: Path, out: Path) -> list[str]:
    run = ["bench", "run", str(folder / "grid.toml"), "--out", str(out), "--json", "--no-report"]
    return [sys.executable, str(HARNESS), str(folder / f"{out.name}.log"), *run]


def finish(folder: Path, out: Path) -> None:
    done = subprocess.run(command(folder, out), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def killed(folder: Path, out: Path, after_s: float) -> bool:
    """Start, kill -9 some time after a journal has grown; whether it was still running."""
    before = written(out)
    process = subprocess.Popen(
        command(folder, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline and written(out) == before:
        time.sleep(0.002)
    time.sleep(after_s)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return running


def written(out: Path) -> int:
    return sum(file.stat().st_size for file in (out / "journals").glob("*.jsonl"))


def without_time(out: Path) -> Found:
    return replace(load(out), timing=None)


def report_of(out: Path, folder: Path) -> list[bytes]:
    """Both forms of the report, with the trees and texts of questions from the journals."""
    from cogitate.bench.report import report_folder

    written = report_folder(out, folder / f"{out.name}-report")
    return [path.read_bytes() for path in written]


def journaled(out: Path) -> Counter[str]:
    """How often the journals say that a request was answered and not remembered.

    One that was served with a smaller cap was sent as another request; it is left out.
    """
    found: Counter[str] = Counter()
    for file in sorted((out / "journals").glob("*.jsonl")):
        with FileJournal.open(file, read_only=True) as book:
            found.update(
                record["key"]
                for record in book.lines()
                if record["kind"] == "reply"
                and "usage" in record
                and not record.get("cached")
                and "trimmed" not in record
            )
    return found


def check_kills(folder: Path, kills: int, problems: int, span_s: float) -> None:
    rng = random.Random(7)
    (folder / "grid.toml").write_text(GRID.format(problems=problems), "utf-8")
    finish(folder, folder / "whole")
    want, want_report = without_time(folder / "whole"), report_of(folder / "whole", folder)
    assert max(asked(folder, folder / "whole").values()) == 1
    hit = rounds = 0
    while hit < kills:
        rounds += 1
        assert rounds <= 4 * kills + 4, f"only {hit} kills hit a run in {rounds} rounds"
        out = folder / f"run{rounds}"
        for _ in range(rng.choice((1, 2, 3))):
            hit += killed(folder, out, rng.random() * span_s)
            known, before = journaled(out), asked(folder, out)
            assert max(known.values(), default=0) <= 1, "a journaled call was made twice"
        finish(folder, out)
        again = asked(folder, out) - before
        assert not set(again) & set(known), "a journaled call was made again"
        assert without_time(out) == want
        assert report_of(out, folder) == want_report


def asked(folder: Path, out: Path) -> Counter[str]:
    """How often the engine was asked each request."""
    log = folder / f"{out.name}.log"
    return Counter(log.read_text().split()) if log.exists() else Counter()


def test_killed_runs_find_the_same(tmp_path: Path) -> None:
    check_kills(tmp_path, kills=2, problems=5, span_s=0.2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_killed_runs(tmp_path: Path) -> None:
    check_kills(tmp_path, kills=50, problems=24, span_s=2.0)
