"""What every search costs a node, in time and memory, beside its_hub's and treequest's.

    python benchmarks/searches.py                                      ours alone
    python benchmarks/searches.py --peers                              with its_hub 1.2.0 and treequest 0.3.3
    python benchmarks/searches.py --searches beam_search mcts --sizes 256 2048 10000 --rounds 3

An engine answers at once with a constant step, through machine and ledger, without a journal. A node is
one `Generate` with one score; whole answers are one node each. The peers run their own searches of the same size over
models and scorers that answer at once, in environments of their own. Every figure is from a fresh process; rounds
are interleaved; each cell is the median over rounds of microseconds a node, and the largest resident memory above
that of an empty run. treequest's `step` copies its tree, so it stops after a minute and says at how many nodes;
`in place` is its other mode.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DEPTH = 8
SIZES = (256, 1_000, 2_048, 10_000, 100_000)


# --------------------------------------------------------------------------------------- ours


def searches() -> dict[str, tuple[str, Callable[[int], Any]]]:
    """Each search with its process, made for a number of nodes."""
    from cogitate.search import (
        AdaptiveBranching,
        BeamSearch,
        BestOf,
        DiverseTreeSearch,
        Evolution,
        Lookahead,
        MonteCarloTreeSearch,
        Particles,
        Refinement,
        SampleUntilGood,
        SequentialRevision,
        SuccessiveHalving,
    )

    def per(nodes: int, each: int) -> int:
        return max(1, round(nodes / each))

    return {
        "best_of": ("steps", lambda n: BestOf(per(n, DEPTH))),
        "until_good": ("steps", lambda n: SampleUntilGood(per(n, DEPTH), 9.0, 64)),
        "beam_search": ("steps", lambda n: BeamSearch(per(n, 64), 8, DEPTH, distinct=False)),
        "dvts": ("steps", lambda n: DiverseTreeSearch(per(n, 64), 8, DEPTH)),
        "lookahead": (
            "steps",
            lambda n: Lookahead(BeamSearch(per(n, 120), 8, DEPTH, distinct=False), 1),
        ),
        "particles": ("steps", lambda n: Particles(per(n, DEPTH), DEPTH)),
        "halving": ("steps", lambda n: SuccessiveHalving(per(n, 2), 0.5, depth=DEPTH)),
        "mcts": (
            "steps",
            lambda n: MonteCarloTreeSearch(per(n, 4), 4, 64, distinct=False, finish=False),
        ),
        "adaptive_branching": (
            "steps",
            lambda n: AdaptiveBranching(n, "step", 64, distinct=False, finish=False),
        ),
        "evolution": ("answers", lambda n: Evolution(64, per(n, 64), elites=0)),
        "sequential_revision": ("answers", lambda n: SequentialRevision(8, per(n, 8))),
        "refine": (
            "answers",
            lambda n: Refinement(7, per(n, 8), accept="last", stop_unchanged=False),
        ),
    }


def ours(name: str, nodes: int) -> dict[str, Any]:
    """One search in this process."""
    from cogitate.core.protocols import Limits, silent
    from cogitate.core.requests import Completion, Generate, Reply, ScoreSteps
    from cogitate.core.seeds import Seed
    from cogitate.core.task import Task
    from cogitate.core.usage import Budget, Usage
    from cogitate.drive import run
    from cogitate.processes import Answer, Boundaries, Reasoning
    from cogitate.scorers import ProcessReward
    from cogitate.search import Solve

    generated, scored = Usage(tokens_in=20, tokens_out=5, calls=1), Usage(tokens_in=20, calls=1)

    class Instant:
        serves = frozenset({Generate, ScoreSteps})
        limits = Limits(concurrency=1, max_batch=1_000_000, mixed=True)
        fingerprint = "instant"
        nodes = 0

        def ceiling(self, request: Any) -> Usage:
            out = request.max_tokens if isinstance(request, Generate) else 0
            return Usage(tokens_in=request.prompt.size + 4096, tokens_out=out, calls=1)

        async def serve(self, batch: Any, emit: Any = silent) -> Any:
            return [self.one(request) for request in batch]

        def one(self, request: Any) -> Any:
            if isinstance(request, Generate):
                self.nodes += 1
                text = f"step {request.seed % 999_983}\n\n"
                return Reply(Completion(text, "stop", "\n\n", 5), generated)
            count = len(request.steps)
            return Reply((0.5,) * (count - 1) + (hash(request.steps[-1]) % 1000 / 1000,), scored)

        async def close(self) -> None: ...

    process_name, make = searches()[name]
    process: Any = (
        Reasoning(Boundaries(max_steps=10_000, max_step_tokens=64))
        if name in ("mcts", "adaptive_branching")
        else Reasoning(Boundaries(max_steps=DEPTH, max_step_tokens=64))
    )
    if process_name == "answers":
        process = Answer(max_tokens=64)
    flow = Solve(process, ProcessReward("last"), make(nodes))(
        Task.of("What is 2 + 2?", kind="number"), Seed(0)
    )
    engine, budget = Instant(), Budget(tokens_out=10**12, calls=10**12)
    before = resident()
    start = time.perf_counter()
    run(flow, engine, budget=budget)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "nodes": engine.nodes, "bytes": resident() - before}


def resident() -> int:
    """The largest resident memory so far; 0 where the platform does not say."""
    try:
        import resource
    except ImportError:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


# -------------------------------------------------------------------------------------- peers

ITS_HUB = """
import asyncio, json, logging, sys, time, resource
import its_hub
from its_hub.core.algorithms.beam_search import BeamSearch
from its_hub.core.algorithms.particle_gibbs import ParticleFiltering
from its_hub.core.lms.step_generation import StepGeneration
from its_hub.api.reward_models import AbstractProcessRewardModel
logging.disable(logging.CRITICAL)

class Model(its_hub.AbstractLanguageModel):
    nodes = 0
    async def agenerate_single(self, messages, stop=None, usage_accumulator=None, **options):
        self.nodes += 1
        return {"role": "assistant", "content": f"step {self.nodes % 999983}"}
    async def agenerate(self, messages, stop=None, **options):
        many = isinstance(messages[0], list)
        out = [await self.agenerate_single(m) for m in (messages if many else [messages])]
        return out if many else out[0]

class Reward(AbstractProcessRewardModel):
    def score(self, prompt, steps):
        if steps and isinstance(steps[0], list):
            return [self.score(prompt, one) for one in steps]
        return [hash(s) % 1000 / 1000 for s in steps]
    async def ascore(self, prompt, steps):
        return self.score(prompt, steps)

name, nodes, depth = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
model, steps = Model(), StepGeneration(max_steps=depth, step_token="\\n\\n")
if name == "beam":
    search, budget = BeamSearch(steps, Reward(), beam_width=max(1, nodes // 64)), max(1, nodes // 64) * 8
else:
    search, budget = ParticleFiltering(steps, Reward()), max(1, nodes // depth)
memory = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = memory()
start = time.perf_counter()
asyncio.run(search.ainfer(model, "What is 2 + 2?", budget, return_response_only=False))
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "nodes": model.nodes, "bytes": memory() - before}))
"""

TREEQUEST = """
import json, random, resource, sys, time
import treequest

name, nodes, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
draw = random.Random(0)
made = {
    "mcts": lambda: treequest.StandardMCTS(samples_per_action=4),
    "ab": lambda: treequest.ABMCTSA(),
}[name]()
options = {"inplace": True} if mode == "inplace" else {}
memory = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = memory()
start = time.perf_counter()
state, done = made.init_tree(), 0
while done < nodes and time.perf_counter() - start < 60:
    state = made.step(state, {"a": lambda parent: (draw.random(), draw.random())}, **options)
    done += 1
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "nodes": done, "bytes": memory() - before}))
"""

PEERS = {
    "its_hub beam": ("its_hub==1.2.0", ITS_HUB, "beam", str(DEPTH)),
    "its_hub particles": ("its_hub==1.2.0", ITS_HUB, "particles", str(DEPTH)),
    "treequest MCTS step": ("treequest==0.3.3", TREEQUEST, "mcts", "step"),
    "treequest MCTS in place": ("treequest==0.3.3", TREEQUEST, "mcts", "inplace"),
    "treequest AB step": ("treequest==0.3.3", TREEQUEST, "ab", "step"),
    "treequest AB in place": ("treequest==0.3.3", TREEQUEST, "ab", "inplace"),
}
_FAILED: dict[str, Any] = {"seconds": float("nan"), "nodes": 1, "bytes": 0}


def peer_python(folder: Path, package: str) -> Path:
    """An environment with one peer; made once in `folder`."""
    home = folder / package.replace("==", "-")
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", package], check=True)
    return python


def measured(arguments: list[str], timeout_s: float = 600) -> dict[str, Any]:
    try:
        done = subprocess.run(
            arguments, capture_output=True, text=True, check=True, timeout=timeout_s
        )
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.SubprocessError as error:
        told = getattr(error, "stderr", "") or str(error)
        print(f"{arguments[-3:]}: {str(told).strip()[-200:]}", file=sys.stderr)
        return _FAILED


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--searches", nargs="+", metavar="NAME")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--environments", type=Path, default=Path(tempfile.gettempdir()) / "peers")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "NODES"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(ours(chosen.one[0], int(chosen.one[1]))))
        return
    commands: dict[str, Callable[[int], list[str]]] = {
        name: lambda nodes, name=name: [sys.executable, __file__, "--one", name, str(nodes)]
        for name in chosen.searches or searches()
    }
    if chosen.peers:
        for name, (package, script, which, last) in PEERS.items():
            python = str(peer_python(chosen.environments, package))
            commands[name] = lambda nodes, p=python, s=script, w=which, x=last: [
                p, "-c", s, w, str(nodes), x,
            ]  # fmt: skip
    rows: dict[str, dict[int, list[dict[str, Any]]]] = {name: {} for name in commands}
    for nodes in chosen.sizes:
        for _ in range(chosen.rounds):
            for name, command in commands.items():
                rows[name].setdefault(nodes, []).append(measured(command(nodes)))
        if not chosen.json:
            show(nodes, rows)
    if chosen.json:
        print(json.dumps(rows, indent=2))


def show(nodes: int, rows: dict[str, dict[int, list[dict[str, Any]]]]) -> None:
    print(f"\n{nodes} nodes: microseconds a node (least to most), bytes of memory a node")
    for name, found in rows.items():
        each = [one["seconds"] / one["nodes"] * 1e6 for one in found[nodes]]
        memory = statistics.median(one["bytes"] / one["nodes"] for one in found[nodes])
        reached = min(one["nodes"] for one in found[nodes])
        short = f"   stopped at {reached} nodes" if reached < 0.7 * nodes else ""
        print(
            f"  {name:<24} {statistics.median(each):10.1f} ({min(each):.1f}–{max(each):.1f})"
            f"   {memory:9.0f}{short}",
            flush=True,
        )


if __name__ == "__main__":
    main()
