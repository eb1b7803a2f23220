"""What one request costs in the machine, the ledger, the journal and in replay.

    python benchmarks/requests.py
    python benchmarks/requests.py --sizes 1000 10000 --rounds 5

Chains of four requests each, answered by a constant: all under one `gather`, and one after the other through
`each` with sealed streams, as many problems run. Microseconds a request, medians over rounds, and bytes of journal.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from cogitate.budget import Ledger
from cogitate.core.flow import each, gather
from cogitate.core.machine import Machine
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Completion, Generate, Reply
from cogitate.core.task import Message
from cogitate.core.usage import Budget, Usage
from cogitate.drive import FileJournal

STEPS = 4
ASKED = Prompt.chat(Message("user", "What is 2 + 2? " * 10))
CEILING = Usage(tokens_in=100, tokens_out=1024, calls=1)
USED = Usage(tokens_in=100, tokens_out=58, calls=1)
SAID = Completion("Step 1: add, 2 + 2 = 4 and so on.\n\n", tokens=58)


class Plain:
    @staticmethod
    def encode(value: Any) -> Any:
        return value

    decode = encode


async def chain(number: int) -> int:
    prompt = ASKED
    for step in range(STEPS):
        prompt = prompt.then((await Generate(prompt, seed=STEPS * number + step)).text)
    return prompt.depth


async def many(count: int) -> int:
    total = 0
    async for depth in each(range(count), chain, at_most=64, codec=Plain()):
        total += depth
    return total


def flow(shape: str, requests: int) -> Any:
    count = requests // STEPS
    return gather(*(chain(k) for k in range(count))) if shape == "gather" else many(count)


def drive(flow: Any, journal: FileJournal | None, accounts: bool) -> None:
    books = Ledger(Budget(tokens_out=10**12))
    machine: Machine[Any] = Machine(flow, journal, books=books)
    while not machine.done:
        for ask in machine.pending():
            ask = machine.take(ask.at)
            if accounts:
                books.verdict(ask.account, CEILING)
                hold = books.reserve(ask.account, CEILING)
                books.settle(hold, "policy", USED)
            machine.tell(ask.at, Reply(SAID, USED, engine="constant"))
        if journal is not None:
            journal.flush()


def one_round(shape: str, requests: int) -> tuple[list[float], float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        ticks = [time.perf_counter()]
        drive(flow(shape, requests), None, accounts=False)
        ticks.append(time.perf_counter())
        drive(flow(shape, requests), None, accounts=True)
        ticks.append(time.perf_counter())
        with FileJournal.create(path, {}) as journal:
            drive(flow(shape, requests), journal, accounts=True)
        ticks.append(time.perf_counter())
        with FileJournal.open(path, read_only=True) as journal:
            machine: Machine[Any] = Machine(flow(shape, requests), journal, books=Ledger(Budget()))
            assert machine.done
        ticks.append(time.perf_counter())
        size = path.stat().st_size / requests
    spans = [(b - a) / requests * 1e6 for a, b in itertools.pairwise(ticks)]
    return spans, size


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    print(f"{'':>7} {'requests':>9} {'machine':>9} {'+ledger':>9} {'+journal':>9} {'replay':>9}  B")
    for shape in ("gather", "each"):
        for size in chosen.sizes:
            rounds = [one_round(shape, size) for _ in range(chosen.rounds)]
            medians = [statistics.median(spans[i] for spans, _ in rounds) for i in range(4)]
            cells = " ".join(f"{value:>9.1f}" for value in medians)
            print(f"{shape:>7} {size:>9} {cells}  {rounds[0][1]:.0f}", flush=True)


if __name__ == "__main__":
    main()
