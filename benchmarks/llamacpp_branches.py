"""Branches of one prefix on llama.cpp: separate requests, coalesced siblings, independent sequences.

A search of 4 beams, 16 branches and 6 steps on the small embedded model, with the selection made at
random so that only the serving is measured. Prints tokens a second and the share of prompt tokens
that were not computed again.

    python benchmarks/llamacpp_branches.py [--model FILE] [--tokens 32] [--rounds 1]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from pathlib import Path

from cogitate.core.errors import Failed
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Generate, Sampling
from cogitate.core.task import Message
from cogitate.core.usage import ZERO, Usage
from cogitate.engines.llamacpp import LlamaCpp
from cogitate.engines.llamacpp.native import cores
from cogitate.engines.weights import resolve

BEAMS, BRANCHES, STEPS = 4, 16, 6
QUESTION = (
    "Solve this step by step, carefully and briefly, one step per line. Natalia sold clips to 48 of "
    "her friends in April, and then she sold half as many clips in May. How many clips did Natalia "
    "sell altogether in April and May? Explain each step."
)


def ask(prompt: Prompt, seed: int, tokens: int) -> Generate:
    return Generate(prompt, seed, tokens, sampling=Sampling(0.8))


async def tree(engine: LlamaCpp, tokens: int, chooser: random.Random) -> Usage:
    """Grow the beams: each child continues its parent's ids."""
    spent, beams = ZERO, [Prompt.chat(Message("user", QUESTION))]
    for step in range(STEPS):
        each = BRANCHES // len(beams)
        batch = [
            ask(beam, 1000 * step + 100 * place + child, tokens)
            for place, beam in enumerate(beams)
            for child in range(each)
        ]
        children: list[Prompt] = []
        for request, reply in zip(batch, await engine.serve(batch), strict=True):
            if isinstance(reply, Failed):
                raise reply
            spent += reply.usage
            children.append(request.prompt.then(reply.value.text, reply.value.ids))
        beams = chooser.sample(children, BEAMS)
    return spent


async def independent(engine: LlamaCpp, tokens: int, chooser: random.Random) -> Usage:
    """As many sequences as branches, each a prompt of its own, decoded to the same length."""
    spent = ZERO
    batch = [
        ask(Prompt.chat(Message("user", f"{chooser.random()} {QUESTION}")), place, tokens * STEPS)
        for place in range(BRANCHES)
    ]
    for reply in await engine.serve(batch):
        if isinstance(reply, Failed):
            raise reply
        spent += reply.usage
    return spent


async def measure(path: Path, name: str, tokens: int, seed: int) -> None:
    engine = LlamaCpp(path, slots=BRANCHES, coalesce=name == "coalesced")
    engine.load()
    try:
        grow = independent if name == "raw" else tree
        begun = time.perf_counter()
        spent = await grow(engine, tokens, random.Random(seed))
        seconds = time.perf_counter() - begun
    finally:
        await engine.close()
    print(
        f"{name:<10} {spent.tokens_out / seconds:7.1f} tokens/s   "
        f"{spent.tokens_cached / spent.tokens_in:6.1%} of {spent.tokens_in} prompt tokens reused   "
        f"{spent.tokens_out} tokens out in {seconds:.1f} s",
        flush=True,
    )


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("--model", default="smollm2")
    reader.add_argument("--tokens", type=int, default=32, help="tokens of one step")
    reader.add_argument("--rounds", type=int, default=1)
    given = reader.parse_args()
    path = resolve(given.model)
    print(
        f"{path.name}, {cores()} cores, {BEAMS} beams, {BRANCHES} branches, {STEPS} steps of {given.tokens}"
    )
    for seed in range(given.rounds):
        for name in ("separate", "coalesced", "raw"):
            asyncio.run(measure(path, name, given.tokens, seed))


if __name__ == "__main__":
    main()
