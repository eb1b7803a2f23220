"""Runs a second a core: the sandbox cold, warm and in batches, beside bare Python and bubblewrap alone.

    python benchmarks/sandbox.py
    python benchmarks/sandbox.py --rounds 7 --runs 60

One run after another on one core, so that each figure is runs a second a core. All kinds take turns in every round;
medians over rounds with the lowest and highest. `python -I` isolates nothing and `bwrap` sets no limits, filter or
verdict: they are the floor, not rivals.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from cogitate.core.execute import Execute
from cogitate.engines.sandbox import Sandbox

SOURCE = "print(sum(i * i for i in range(100)))"
EXPECTED = "328350\n"


def bare_command() -> list[str]:
    return [sys.executable, "-I", "-c", SOURCE]


def walled_command() -> list[str]:
    prefix = os.path.realpath(sys.base_prefix)
    python = os.path.realpath(sys.executable)
    command = ["bwrap", "--unshare-all", "--clearenv", "--tmpfs", "/tmp"]
    for path in dict.fromkeys([prefix, "/usr", "/lib", "/lib64"]):
        if Path(path).exists():
            command += ["--ro-bind", path, path]
    return [*command, "--setenv", "LD_LIBRARY_PATH", f"{prefix}/lib", python, "-I", "-c", SOURCE]


def process(command: list[str]) -> Callable[[int], Awaitable[None]]:
    async def go(runs: int) -> None:
        for _ in range(runs):
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            assert done.stdout == EXPECTED

    return go


def sandboxed(engine: Sandbox, **known: object) -> Callable[[int], Awaitable[None]]:
    async def go(runs: int) -> None:
        for _ in range(runs):
            (reply,) = await engine.serve([Execute(SOURCE, **known)])  # type: ignore[arg-type]
            assert reply.value.run.stdout == EXPECTED, reply  # type: ignore[union-attr]

    return go


def batched(engine: Sandbox) -> Callable[[int], Awaitable[None]]:
    async def go(runs: int) -> None:
        (reply,) = await engine.serve([Execute(SOURCE, inputs=("",) * runs)])
        assert all(run.stdout == EXPECTED for run in reply.value.runs)  # type: ignore[union-attr]

    return go


def cells(engine: Sandbox) -> Callable[[int], Awaitable[None]]:
    async def go(runs: int) -> None:
        for _ in range(runs):
            (reply,) = await engine.serve([Execute(SOURCE, cell=True, after=("x = 1",))])
            assert reply.value.run.stdout == EXPECTED  # type: ignore[union-attr]

    return go


async def measure(rounds: int, runs: int) -> dict[str, list[float]]:
    warm, cold = Sandbox(concurrency=1), Sandbox(concurrency=1, warm=False)
    kinds: dict[str, Callable[[int], Awaitable[None]]] = {"python -I": process(bare_command())}
    if shutil.which("bwrap"):
        kinds["bwrap python -I"] = process(walled_command())
    kinds |= {
        "sandbox, cold": sandboxed(cold),
        "sandbox, warm": sandboxed(warm),
        "sandbox, warm, inputs": batched(warm),
        "sandbox, warm, tests apart": sandboxed(warm, harness="pass"),
        "sandbox, warm, cells": cells(warm),
    }
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(rounds + 1):
        for name, go in kinds.items():
            began = time.perf_counter()
            await go(runs if turn else 2)
            if turn:  # the first is for caches and the server's start
                rates[name].append(runs / (time.perf_counter() - began))
    await warm.close()
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=40)
    chosen = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rates = asyncio.run(measure(chosen.rounds, chosen.runs))
    floor = statistics.median(rates["python -I"])
    print(f"{'kind':28} {'runs/s':>8} {'lowest':>8} {'highest':>8} {'of python -I':>13}")
    for name, held in rates.items():
        middle = statistics.median(held)
        print(f"{name:28} {middle:8.1f} {min(held):8.1f} {max(held):8.1f} {middle / floor:13.2f}")


if __name__ == "__main__":
    main()
