"""What the machinery costs a request: machine, ledger and journal, beside its_hub's beam search.

    python benchmarks/overhead.py                      ours alone
    python benchmarks/overhead.py --peer               with its_hub 1.2.0, in an environment of its own
    python benchmarks/overhead.py --peer --sizes 1000 10000 --rounds 3

A beam search of depth 8 and branch 8 over an engine that answers at once with a constant step; the width
makes the size. A node is one expanded child: one `Generate` and one step score. its_hub runs the same shape:
as many candidates a level, the same depth, a model and a reward model that answer at once. Rounds are interleaved;
each figure is the median over rounds of microseconds a node, wall-clock of the search alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DEPTH, BRANCH = 8, 8
VARIANTS = ("values", "machine", "ledger", "journal")
"""What is on: the value types of a node alone; the machine; accounts too; a journal on disk too."""


def width_of(nodes: int) -> int:
    return max(1, round(nodes / (DEPTH * BRANCH)))


# ------------------------------------------------------------------------------------- ours


def values(nodes: int) -> dict[str, Any]:
    """The floor of our design: the frozen values of a node, made and thrown away by nobody's search."""
    from cogitate.core.candidates import Candidate, Score
    from cogitate.core.prompt import Prompt
    from cogitate.core.requests import Completion, Generate, Reply, Sampling, ScoreSteps
    from cogitate.core.seeds import Seed
    from cogitate.core.task import Message
    from cogitate.core.usage import Usage

    prompt, line, sampling = (
        Prompt.chat(Message("user", "2 + 2?")),
        Seed(0).at("sample", 3),
        Sampling(),
    )
    usage = Usage(calls=1)
    start = time.perf_counter()
    for number in range(nodes):
        asked = Generate(prompt, line.at("step", number).int(), 64, 0, ("\n\n",), sampling)
        said = Reply(Completion("step 1\n\n", "stop", "\n\n", 5), usage)
        grown = asked.prompt.then(said.value.text)
        ScoreSteps(prompt, ("a", "b"))
        Candidate(grown, Score(Reply((0.5, 0.5), usage).value[-1]), "0.1")
    return {"seconds": time.perf_counter() - start, "nodes": nodes}


def ours(nodes: int, variant: str) -> dict[str, Any]:
    """One search; returns its seconds and how many nodes it expanded."""
    if variant == "values":
        return values(nodes)
    from cogitate.core.protocols import Limits, silent
    from cogitate.core.requests import Completion, Generate, Reply, ScoreSteps
    from cogitate.core.seeds import Seed
    from cogitate.core.task import Task
    from cogitate.core.usage import Budget, Usage
    from cogitate.drive import FileJournal, run
    from cogitate.processes import Boundaries, Reasoning
    from cogitate.scorers import ProcessReward
    from cogitate.search import BeamSearch, Solve

    class Instant:
        serves = frozenset({Generate, ScoreSteps})
        limits = Limits(concurrency=1, max_batch=1_000_000, mixed=True)
        fingerprint = "instant"

        def __init__(self) -> None:
            self.nodes = 0

        def ceiling(self, request: Any) -> Usage:
            if isinstance(request, Generate):
                return Usage(
                    tokens_in=request.prompt.size + 64, tokens_out=request.max_tokens, calls=1
                )
            return Usage(tokens_in=4096, calls=1)

        async def serve(self, batch: Any, emit: Any = silent) -> Any:
            return [self.one(request) for request in batch]

        def one(self, request: Any) -> Any:
            if isinstance(request, Generate):
                self.nodes += 1
                text = f"step {request.seed % 9973}\n\n"
                return Reply(Completion(text, "stop", "\n\n", 5), GENERATED)
            count = len(request.steps)
            return Reply((0.5,) * (count - 1) + ((hash(request.steps[-1]) % 100) / 100,), SCORED)

        async def close(self) -> None: ...

    GENERATED = Usage(tokens_in=20, tokens_out=5, calls=1)
    SCORED = Usage(tokens_in=20, calls=1)
    search = BeamSearch(width=width_of(nodes), branch=BRANCH, depth=DEPTH, distinct=False)
    process = Reasoning(Boundaries(max_steps=DEPTH + 1, max_step_tokens=64))
    strategy = Solve(process, ProcessReward("last"), search)
    flow = strategy(Task.of("What is 2 + 2?", kind="number"), Seed(0))
    engine = Instant()
    with tempfile.TemporaryDirectory() as folder:
        budget = Budget() if variant == "machine" else Budget(tokens_out=10**12, calls=10**12)
        journal = (
            FileJournal.create(Path(folder) / "run.jsonl", {}) if variant == "journal" else None
        )
        start = time.perf_counter()
        run(flow, engine, budget=budget, journal=journal)
        seconds = time.perf_counter() - start
        if journal is not None:
            journal.close()
    return {"seconds": seconds, "nodes": engine.nodes}


# --------------------------------------------------------------------------------- the peer

PEER = """
import asyncio, json, sys, time
import its_hub
from its_hub.core.algorithms.beam_search import BeamSearch
from its_hub.core.lms.step_generation import StepGeneration
from its_hub.api.reward_models import AbstractProcessRewardModel
import logging; logging.disable(logging.CRITICAL)

class Model(its_hub.AbstractLanguageModel):
    nodes = 0
    async def agenerate_single(self, messages, stop=None, usage_accumulator=None, **options):
        self.nodes += 1
        return {"role": "assistant", "content": f"step {self.nodes % 9973}"}
    async def agenerate(self, messages, stop=None, **options):
        many = isinstance(messages[0], list)
        out = [await self.agenerate_single(m) for m in (messages if many else [messages])]
        return out if many else out[0]

class Reward(AbstractProcessRewardModel):
    def score(self, prompt, steps):
        return [(hash(s) % 100) / 100 for s in steps]
    async def ascore(self, prompt, steps):
        return self.score(prompt, steps)

width, branch, depth = map(int, sys.argv[1:4])
model = Model()
beam = BeamSearch(StepGeneration(max_steps=depth, step_token="\\n\\n"), Reward(), beam_width=width)
start = time.perf_counter()
asyncio.run(beam.ainfer(model, "What is 2 + 2?", width * branch, return_response_only=False))
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "nodes": model.nodes}))
"""


def peer_python(folder: Path) -> Path:
    """An environment with its_hub 1.2.0; made once in `folder`."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "its_hub==1.2.0"], check=True)
    return python


def peer(python: Path, nodes: int) -> dict[str, Any]:
    arguments = [str(python), "-c", PEER, str(width_of(nodes)), str(BRANCH), str(DEPTH)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def in_own_process(nodes: int, variant: str) -> dict[str, Any]:
    """Ours too runs in a fresh process, as the peer does."""
    arguments = [sys.executable, __file__, "--one", str(nodes), variant]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", action="store_true", help="measure its_hub 1.2.0 in the same run")
    parser.add_argument(
        "--peer-environment", type=Path, default=Path(tempfile.gettempdir()) / "its_hub-1.2.0"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("NODES", "VARIANT"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(ours(int(chosen.one[0]), chosen.one[1])))
        return
    python = peer_python(chosen.peer_environment) if chosen.peer else None
    rows: dict[int, dict[str, list[float]]] = {}
    for nodes in chosen.sizes:
        found = rows[nodes] = {}
        for _ in range(chosen.rounds):
            for variant in VARIANTS:
                done = in_own_process(nodes, variant)
                found.setdefault(variant, []).append(done["seconds"] / done["nodes"] * 1e6)
            if python is not None:
                done = peer(python, nodes)
                found.setdefault("its_hub", []).append(done["seconds"] / done["nodes"] * 1e6)
    if chosen.json:
        print(json.dumps(rows, indent=2))
        return
    names = [*VARIANTS, *(["its_hub"] if python else [])]
    print(
        "microseconds a node (one Generate and one step score), median of", chosen.rounds, "rounds"
    )
    print(
        f"{'nodes':>8}  "
        + "  ".join(f"{n:>22}" for n in names)
        + ("   journal / its_hub" if python else "")
    )
    for nodes, found in rows.items():
        cells = [
            f"{statistics.median(found[n]):8.1f} ({min(found[n]):.1f}–{max(found[n]):.1f})"
            for n in names
        ]
        ratio = (
            statistics.median(found["journal"]) / statistics.median(found["its_hub"])
            if python
            else None
        )
        print(
            f"{nodes:>8}  "
            + "  ".join(f"{c:>22}" for c in cells)
            + (f"   {ratio:.2f}" if ratio else "")
        )


if __name__ == "__main__":
    main()
