"""How many problems of the simulated world a second pass through the whole stack, and where the time goes.

    python benchmarks/world.py
    python benchmarks/world.py --problems 200 --rounds 7 --profile
    python benchmarks/world.py --write docs/worlds.md            puts the table between the page's two marks

Best-of-16 and a 4 by 4 beam solve problems of the preset `medium`, scored step by step by the world's verifier, through
machine, ledger and a journal in a file, under the batch driver. The baselines are the same runs without a journal, and
the world's engine alone, which is handed the very requests of the run, their prompts without digests, in batches as
large. Process time of one core, rounds interleaved, medians; a ratio compares two columns of the same round.
"""

from __future__ import annotations

import argparse
import cProfile
import platform
import pstats
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cogitate.assembly.spec import read
from cogitate.core.flow import each
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Emit, silent
from cogitate.core.requests import Generate, Request, ScoreSteps
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.drive import FileJournal, Router, run
from cogitate.drive.batch import complete
from cogitate.engines.grading import Grader
from cogitate.lab.worlds import ChainModel, chains, preset

SPECS = ("best_of(n=16, scorer=prm())", "beam_search(width=4, branch=4, scorer=prm())")
TARGET = 20_000
"""Step requests a second that the engine alone is to serve on one core."""
AT_ONCE = 32
"""Problems in flight."""
BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"


class Watched(ChainModel):
    """The world, remembering what it was asked."""

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.batches: list[list[Request[Any]]] = []

    async def serve(self, batch: Sequence[Request[Any]], emit: Emit = silent) -> Any:
        self.batches.append(list(batch))
        return await super().serve(batch, emit)


def solve(spec: str, problems: int, engine: ChainModel, journal: FileJournal | None) -> int:
    """One run; says how many problems got the right answer."""
    strategy = read(spec)

    async def one(problem: Any) -> bool:
        found = await strategy(problem.task, Seed(0).at("problem", problem.number))
        return bool(found.items) and found.best.state.answer == problem.gold

    async def every() -> int:
        asked = chains(engine.world, problems)
        return sum([right async for right in each(asked, one, at_most=AT_ONCE)])

    router = Router({"policy": (engine,)}, [Grader(symbolic=False)])
    return run(every(), router, budget=Budget(tokens_out=10**9), journal=journal).value


def timed(spec: str, problems: int, *, journaled: bool) -> float:
    """Seconds of process time of one run."""
    engine = ChainModel(preset("medium"))
    with tempfile.TemporaryDirectory() as folder:
        journal = FileJournal.create(Path(folder) / "run.jsonl", {}) if journaled else None
        start = time.process_time()
        _ = solve(spec, problems, engine, journal)
        if journal is not None:
            journal.close()
        return time.process_time() - start


def fresh(request: Request[Any]) -> Request[Any]:
    """The same request with prompts that nobody has digested."""
    assert isinstance(request, Generate | ScoreSteps)
    prompt: Prompt | None = None
    for part in request.prompt.parts():
        prompt = Prompt(prompt, part)
    assert prompt is not None
    if isinstance(request, ScoreSteps):
        return ScoreSteps(prompt, request.steps, role=request.role)
    return Generate(prompt, **{n: getattr(request, n) for n in _SETTINGS})


_SETTINGS = ("seed", "max_tokens", "least_tokens", "stop", "sampling", "logprobs", "until", "role")


def alone(batches: Sequence[Sequence[Request[Any]]], kind: type | None = None) -> tuple[int, float]:
    """How many requests the engine was handed, and its seconds of process time for them."""
    engine = ChainModel(preset("medium"))
    asked = [[fresh(r) for r in batch if kind is None or type(r) is kind] for batch in batches]
    start = time.process_time()
    for batch in asked:
        for reply in complete(engine.serve(batch)):
            if isinstance(reply, Exception):
                raise reply
    return sum(map(len, asked)), time.process_time() - start


def measured(spec: str, problems: int, rounds: int) -> dict[str, float]:
    """Medians of one strategy."""
    watched = Watched(preset("medium"))
    right = solve(spec, problems, watched, None)
    rows: dict[str, list[float]] = {}
    for _ in range(rounds):
        whole = timed(spec, problems, journaled=True)
        bare = timed(spec, problems, journaled=False)
        count, engine = alone(watched.batches)
        generated, writing = alone(watched.batches, Generate)
        scored, scoring = alone(watched.batches, ScoreSteps)
        for name, value in {
            "problems a second": problems / whole,
            "without a journal": problems / bare,
            "requests a problem": count / problems,
            "requests a second": count / whole,
            "microseconds a request": whole / count * 1e6,
            "whole stack / engine alone": whole / engine,
            "journal / no journal": whole / bare,
            "engine: Generate a second": generated / writing,
            "engine: ScoreSteps a second": scored / scoring,
            "right answers": right / problems,
        }.items():
            rows.setdefault(name, []).append(value)
    return {name: statistics.median(values) for name, values in rows.items()}


def table(found: dict[str, dict[str, float]]) -> str:
    """The medians in Markdown."""
    names = list(next(iter(found.values())))
    lines = ["| | " + " | ".join(f"`{spec}`" for spec in found) + " |", "| --- " * (len(found) + 1) + "|"]  # fmt: skip
    for name in names:
        values = [row[name] for row in found.values()]
        lines.append(f"| {name} | " + " | ".join(_shown(v) for v in values) + " |")
    return "\n".join(lines)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def shares(spec: str, problems: int) -> str:
    """Where the time of a journaled run goes, by room of the package, from a profile of own time."""
    profile = cProfile.Profile()
    with tempfile.TemporaryDirectory() as folder:
        journal = FileJournal.create(Path(folder) / "run.jsonl", {})
        profile.enable()
        _ = solve(spec, problems, ChainModel(preset("medium")), journal)
        journal.close()
        profile.disable()
    seconds: dict[str, float] = {}
    known = pstats.Stats(profile).stats  # pyright: ignore[reportAttributeAccessIssue]
    # A builtin's time goes to who called it, so that hashing for a digest counts as the core's.
    for (path, _, _), (_, _, own, _, callers) in known.items():
        if "cogitate" in path:
            seconds[_room(path)] = seconds.get(_room(path), 0.0) + own
            continue
        for (caller, _, _), (_, _, part, _) in callers.items():
            room = _room(caller)
            seconds[room] = seconds.get(room, 0.0) + part
    total = sum(seconds.values())
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    return ", ".join(
        f"{room} {share / total:.0%}" for room, share in ordered if share > total / 100
    )


def _room(path: str) -> str:
    found = re.search(r"cogitate/([a-z]+)(?:/([a-z_]+))?", path)
    if found is None:
        return "standard library"
    if found[1] == "core" and found[2] in ("machine", "prompt", "requests", "journal", "codec"):
        return f"core.{found[2]}"
    if found[1] == "drive" and found[2] in ("journal_file", "blobs"):
        return "drive.journal_file"
    return found[1]


def machine() -> str:
    """What this ran on."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = re.findall(r"model name\s*: (.*)", info.read_text("utf-8"))
        name = f"{models[0]}, {len(models)} cores" if models else name
    return f"{name}, CPython {platform.python_version()}"


def page(found: dict[str, dict[str, float]], profiles: dict[str, str], problems: int, rounds: int) -> str:  # fmt: skip
    """What the page of the worlds says of speed."""
    told = [
        f"From `python benchmarks/world.py --write docs/worlds.md` on {machine()}, shared with other work. "
        f"{problems} problems of the preset `medium`, {AT_ONCE} in flight, under the batch driver with ledger and a journal "
        f"in a file; process time of one core, medians of {rounds} interleaved rounds. The engine alone was handed the "
        "same requests in the same batches.",
        table(found),
        f"The engine alone is to serve {TARGET:,} step requests a second; a `Generate` of best-of is no step but a whole "
        "solution, of five to six steps' length.",
        "Where the time of the journaled run goes, from a profile (which slows small functions more than large ones):",
        "\n".join(f"- `{spec}`: {said}" for spec, said in profiles.items()),
    ]
    return "\n" + "\n\n".join(told) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    _ = parser.add_argument("--problems", type=int, default=100)
    _ = parser.add_argument("--rounds", type=int, default=5)
    _ = parser.add_argument("--write", type=Path, help="a page with the two marks")
    _ = parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    found = {spec: measured(spec, asked.problems, asked.rounds) for spec in SPECS}
    print(machine())
    print(table(found))
    if not (asked.profile or asked.write):
        return
    profiles = {spec: shares(spec, asked.problems) for spec in SPECS}
    for spec, said in profiles.items():
        print(f"{spec}: {said}")
    if asked.write:
        text = asked.write.read_text("utf-8")
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        speed = page(found, profiles, asked.problems, asked.rounds)
        _ = asked.write.write_text(f"{before}{BEGIN}{speed}{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
