"""A hundred thousand problem-strategy runs: how fast, in how much memory, and how long the report takes.

    python benchmarks/bench_scale.py                              100,000 runs: some minutes, 2 GB of disk
    python benchmarks/bench_scale.py --runs 4000 --rounds 1
    python benchmarks/bench_scale.py --write docs/benchmarks.md   puts the tables between the page's two marks

Four strategies of one to four samples on problems of the world `medium`, through `bench run` as it is: machine,
ledger, a journal a cell, the run's replies, grading, sealed outcomes. A process of its own runs the grid, and another
writes the report; each says its resident memory. Numeric answers are then graded by our rules and by Math-Verify, both
from text to verdict, rounds interleaved, medians of process time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STRATEGIES = (
    "greedy",
    "best_of(n=2, scorer=prm())",
    "self_consistency(n=3)",
    "best_of(n=4, scorer=mean_logprob())",
)
MARKS = (1_000, 10_000, 100_000)
"""Runs after which the resident memory is looked at."""
BEGIN, END = "<!-- bench_scale: begin -->", "<!-- bench_scale: end -->"
MEMORY_MB, REPORT_S = 1_000, 60
"""What must not be exceeded."""


def resident_mb() -> float:
    """The resident memory of this process now, or at most where the system does not say."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmRSS"))
        return int(line.split()[1]) / 1024
    return most_mb()


def most_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def running(runs: int, folder: Path) -> dict[str, Any]:
    """Run the grid into a folder."""
    from cogitate.assembly import Configuration
    from cogitate.bench.grid import Grid
    from cogitate.bench.laying import lay
    from cogitate.bench.opening import begin, check
    from cogitate.bench.running import Progress, carry_out

    problems = runs // len(STRATEGIES)
    grid = Grid.of(
        {
            "name": "scale",
            "tasks": [f"world:medium(problems={problems})"],
            "models": {"world": "sim:chain(preset='medium')"},
            "strategies": list(STRATEGIES),
        }
    )
    seen: dict[int, float] = {}

    def tell(progress: Progress) -> None:
        if progress.done in MARKS:
            seen[progress.done] = resident_mb()

    start, used = time.monotonic(), time.process_time()
    laid = lay(grid, Configuration())
    made = begin(folder, laid, asyncio.run(check(laid)))
    ready = time.monotonic()
    summary = asyncio.run(carry_out(laid, made, tell=tell))
    seen.setdefault(summary.progress.done, resident_mb())
    return {
        "runs": summary.progress.done,
        "checked_s": ready - start,
        "seconds": summary.seconds,
        "process_s": time.process_time() - used,
        "calls": summary.progress.calls,
        "resident_mb": seen,
        "most_mb": most_mb(),
        "disk_mb": sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6,
    }


def reporting(folder: Path) -> dict[str, Any]:
    """Read the folder and write its report."""
    from cogitate.bench.folder import load
    from cogitate.bench.report import report_folder

    start = time.monotonic()
    found = load(folder)
    loaded = time.monotonic()
    right = {cell.key.strategy: _share(cell.outcomes) for cell in found.cells}
    del found
    began = time.monotonic()
    written = report_folder(folder)
    return {
        "load_s": loaded - start,
        "report_s": time.monotonic() - began,
        "report_mb": sum(path.stat().st_size for path in written) / 1e6,
        "most_mb": most_mb(),
        "right": right,
    }


def _share(outcomes: Any) -> float:
    return sum(outcome.correct for outcome in outcomes) / len(outcomes)


# ---------------------------------------------------------------------------------------- grading


def answers(count: int) -> list[tuple[str, str]]:
    """Numeric answers as models write them, each with a reference that it equals or not."""
    forms = ("{:d}", "{:,d}", "${:d}", "{:d}.0", "\\boxed{{{:d}}}", "{:d} apples", "{:d}/1")
    return [
        (forms[i % len(forms)].format(1000 + 7 * i), str(1000 + 7 * i + (i % 3 == 0)))
        for i in range(count)
    ]


def ours(pairs: list[tuple[str, str]]) -> int:
    from cogitate.rules.canonical import matches

    return sum(matches(said, gold, "number", {}) is True for said, gold in pairs)


def peer(pairs: list[tuple[str, str]]) -> int:
    from math_verify import parse, verify  # pyright: ignore[reportMissingImports]

    found = 0
    for said, gold in pairs:
        asked = said if "\\" in said else f"${said.replace('$', '')}$"
        found += bool(
            verify(
                parse(f"${gold}$", parsing_timeout=None),
                parse(asked, parsing_timeout=None),
                timeout_seconds=None,
            )
        )
    return found


def timed(work: Callable[[list[tuple[str, str]]], int], count: int) -> tuple[float, int]:
    """Answers a second, and how many were found right."""
    pairs = answers(count)
    start = time.process_time()
    right = work(pairs)
    return count / (time.process_time() - start), right


def grading(rounds: int, count: int) -> dict[str, Any]:
    """Medians of both, interleaved; the peer gets a tenth of the answers, since it takes so long."""
    from cogitate.engines.grading import installed

    with_peer = installed()
    for work in (ours, *((peer,) if with_peer else ())):
        _ = work(answers(50))
    rates: dict[str, list[float]] = {"ours": [], "peer": []}
    shares: dict[str, float] = {}
    for _ in range(rounds):
        rate, right = timed(ours, count)
        rates["ours"].append(rate)
        shares["ours"] = right / count
        if with_peer:
            rate, right = timed(peer, count // 10)
            rates["peer"].append(rate)
            shares["peer"] = right / (count // 10)
    return {
        "ours": statistics.median(rates["ours"]),
        "peer": statistics.median(rates["peer"]) if rates["peer"] else None,
        "shares": shares,
    }


# ------------------------------------------------------------------------------------------ tables


def child(*arguments: str) -> dict[str, Any]:
    """The same program in a process of its own, so that its memory is its own."""
    done = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def tables(run: dict[str, Any], report: dict[str, Any], graded: dict[str, Any]) -> str:
    resident = "; ".join(f"{mb:.0f} at {int(n):,}" for n, mb in run["resident_mb"].items())
    peer_rate = graded["peer"]
    shares = graded["shares"]
    lines = [
        "| | |",
        "| --- | --- |",
        f"| problem-strategy runs | {run['runs']:,} |",
        f"| runs a second, wall-clock | {run['runs'] / run['seconds']:.0f} |",
        f"| runs a second of process time | {run['runs'] / run['process_s']:.0f} |",
        f"| requests a second of process time | {run['calls'] / run['process_s']:,.0f} |",
        f"| every question checked before, seconds | {run['checked_s']:.1f} |",
        f"| resident MB after so many runs | {resident} |",
        f"| most resident MB: run, report | {run['most_mb']:.0f}, {report['most_mb']:.0f} |",
        f"| run folder, MB | {run['disk_mb']:,.0f} |",
        f"| outcomes loaded, seconds | {report['load_s']:.1f} |",
        f"| report, seconds | {report['report_s']:.1f} |",
        f"| report, MB | {report['report_mb']:.1f} |",
        f"| numeric answers graded a second | {graded['ours']:,.0f} |",
    ]
    if peer_rate is not None:
        lines += [
            f"| the same by Math-Verify | {peer_rate:,.0f} |",
            f"| ours / Math-Verify | {graded['ours'] / peer_rate:.0f} |",
            f"| found right, of {2 / 3:.3f}: ours, Math-Verify | {shares['ours']:.3f}, {shares['peer']:.3f} |",
        ]
    lines += [
        "",
        "Right answers: " + ", ".join(f"`{k}` {v:.3f}" for k, v in report["right"].items()),
    ]
    return "\n".join(lines)


def main() -> None:
    asked = argparse.ArgumentParser(description="Scale of the benchmark runner.")
    asked.add_argument("--runs", type=int, default=100_000)
    asked.add_argument("--rounds", type=int, default=5, help="of grading")
    asked.add_argument("--answers", type=int, default=20_000, help="graded in a round")
    asked.add_argument("--folder", type=Path, help="keep the run folder here")
    asked.add_argument("--write", type=Path, help="a page with the two marks")
    asked.add_argument("--part", choices=("run", "report"), help=argparse.SUPPRESS)
    chosen = asked.parse_args()
    if chosen.part is not None:
        part = (
            running(chosen.runs, chosen.folder)
            if chosen.part == "run"
            else reporting(chosen.folder)
        )
        print(json.dumps(part))
        return
    with tempfile.TemporaryDirectory() as room:
        folder = str(chosen.folder or Path(room) / "run")
        run = child("--part", "run", "--runs", str(chosen.runs), "--folder", folder)
        report = child("--part", "report", "--folder", folder)
    text = tables(run, report, grading(chosen.rounds, chosen.answers))
    where = f"{platform.processor() or platform.machine()}, CPython {platform.python_version()}"
    print(f"{where}\n{text}")
    if chosen.write is not None:
        page = chosen.write.read_text("utf-8")
        made = re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{text}\n{END}", page, flags=re.DOTALL)
        chosen.write.write_text(made, "utf-8")
    if run["most_mb"] > MEMORY_MB or report["report_s"] > REPORT_S:
        raise SystemExit("the memory or the report exceeds its bound")


if __name__ == "__main__":
    main()
