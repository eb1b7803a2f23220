"""How busy a search keeps llama.cpp, and how much of its prompts is served from the cache.

    python benchmarks/engine.py                 the embedded model, 3 interleaved rounds
    python benchmarks/engine.py --model gguf/FILE --tokens 48 --rounds 5

Compares, in one run on one model: a beam search of this package (width 4, 16 branches a depth, 6 steps of as many
tokens each, driven like any search, with a scorer that asks nobody) against 16 raw sequences with prompts of their own,
decoded to the same length in one batch; and a beam whose siblings are sent one by one. Prints decoded tokens a second, and
the share of prompt tokens that were found in the cache, by depth. A depth counts from 1; at depth 1 all branches share
the question, which must be computed once.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cogitate.core.candidates import Artifact, Score
from cogitate.core.errors import Failed
from cogitate.core.events import Answered, Event
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Generate, Reply, Sampling
from cogitate.core.seeds import Seed
from cogitate.core.task import Message, Task
from cogitate.core.usage import ZERO, Usage
from cogitate.drive import run_async
from cogitate.engines.llamacpp import LlamaCpp
from cogitate.engines.llamacpp.native import cores
from cogitate.engines.weights import resolve
from cogitate.search import BeamSearch, Solve

WIDTH, BRANCHES, STEPS = 4, 16, 6
QUESTION = (
    "Solve this step by step, carefully and briefly, one step per line. Natalia sold clips to 48 of "
    "her friends in April, and then she sold half as many clips in May. How many clips did Natalia "
    "sell altogether in April and May? Explain each step."
)


@dataclass(frozen=True)
class Line:
    prompt: Prompt
    depth: int = 0
    text: str = ""


@dataclass(frozen=True)
class FixedSteps:
    """Steps of a fixed number of tokens, so that both sides decode as many."""

    tokens: int

    async def start(self, task: Task, seed: Seed) -> Line:
        return Line(Prompt.chat(*task.messages))

    async def step(self, state: Line, seed: Seed) -> Line:
        said = await Generate(
            state.prompt, seed.int(), self.tokens, sampling=Sampling(temperature=0.8)
        )
        return Line(state.prompt.then(said.text, said.ids), state.depth + 1, state.text + said.text)

    def done(self, state: Line) -> bool:
        return state.depth >= STEPS

    async def render(self, state: Line) -> Artifact:
        return Artifact(state.text, complete=False)


@dataclass(frozen=True)
class ByDigest:
    """Any order will do: only the serving is measured."""

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> list[Score]:
        return [Score(zlib.crc32(s.text.encode()) % 97) for s in states]


async def beam(engine: LlamaCpp, tokens: int, seed: int) -> tuple[Usage, dict[int, list[Usage]]]:
    """A beam search, with the usage of its requests by depth."""
    by_depth: dict[int, list[Usage]] = {}

    def hear(event: Event) -> None:
        if isinstance(event, Answered) and isinstance(event.outcome, Reply):
            request: Any = event.request
            depth = request.prompt.depth - base + 1
            by_depth.setdefault(depth, []).append(event.outcome.usage)

    base = Prompt.chat(Message("user", QUESTION)).depth
    search = BeamSearch(width=WIDTH, branch=BRANCHES // WIDTH, depth=STEPS, distinct=False)
    strategy = Solve(FixedSteps(tokens), ByDigest(), search)
    done = await run_async(strategy(Task.of(QUESTION), Seed(seed)), engine, listen=hear)
    return done.usage, by_depth


async def raw(engine: LlamaCpp, tokens: int, seed: int) -> tuple[Usage, dict[int, list[Usage]]]:
    """As many sequences as branches, each with a prompt of its own, decoded to the same length."""
    batch = [
        Generate(
            Prompt.chat(Message("user", f"{seed}.{place} {QUESTION}")),
            place,
            tokens * STEPS,
            sampling=Sampling(temperature=0.8),
        )
        for place in range(BRANCHES)
    ]
    spent = ZERO
    for reply in await engine.serve(batch):
        if isinstance(reply, Failed):
            raise reply
        spent += reply.usage
    return spent, {}


async def measured(
    path: Path, name: str, tokens: int, seed: int
) -> tuple[float, dict[int, float], int]:
    engine = LlamaCpp(path, slots=BRANCHES, coalesce=name != "one by one")
    engine.load()
    try:
        begun = time.perf_counter()
        spent, by_depth = await (raw if name == "raw" else beam)(engine, tokens, seed)
        seconds = time.perf_counter() - begun
    finally:
        await engine.close()
    shares = {
        depth: sum(u.tokens_cached for u in used) / max(1, sum(u.tokens_in for u in used))
        for depth, used in sorted(by_depth.items())
    }
    return spent.tokens_out / seconds, shares, spent.tokens_out


def main() -> None:
    reader = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    reader.add_argument("--model", default="smollm2")
    reader.add_argument("--tokens", type=int, default=32, help="tokens of one step")
    reader.add_argument("--rounds", type=int, default=3)
    given = reader.parse_args()
    path = resolve(given.model)
    print(
        f"{path.name}, {cores()} cores, {BRANCHES} branches, {STEPS} steps of {given.tokens} tokens"
    )
    names = ("beam", "one by one", "raw")
    rates: dict[str, list[float]] = {name: [] for name in names}
    shared: dict[str, list[dict[int, float]]] = {name: [] for name in names}
    for seed in range(given.rounds):
        for name in names:
            rate, shares, _ = asyncio.run(measured(path, name, given.tokens, seed))
            rates[name].append(rate)
            shared[name].append(shares)
    middle = statistics.median(rates["raw"])
    for name in names:
        found = rates[name]
        told = "  ".join(
            f"{depth}: {statistics.median(s[depth] for s in shared[name]):.0%}"
            for depth in shared[name][0]
        )
        print(
            f"{name:<11} {statistics.median(found):6.1f} tokens/s ({min(found):.1f}–{max(found):.1f}), "
            f"{statistics.median(found) / middle:.2f} of raw"
            + (f"   cached by depth {told}" if told else "")
        )


if __name__ == "__main__":
    main()
