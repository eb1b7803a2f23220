"""A soak of the gateway: a model's server that misbehaves, and clients that do.

    python benchmarks/gateway_soak.py --seconds 1800
    python benchmarks/gateway_soak.py --seconds 20 --clients 16 --json

Three processes: the model's server, which answers 429 and 500, resets connections, hangs, and sends half bodies, half
streams, what is not JSON and replies without usage; the clients, which stream, leave early, send a head or a body byte
by byte, and send what cannot be read, some of them without a good key and some beyond their quota; and between them the
gateway, with keys, a database, journals and the live view. Afterwards every request is compared with the server's own
log and with what its client was told, and nothing may be left: no task, permit, slot, descriptor, thread or hold. Memory
must be flat. The run ends with status 1 where something is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from gateway_soak_sides import KEYS, clients, upstream

from cogitate.apps.gateway import Gateway
from cogitate.apps.gateway.accounts import Accounts, Quota
from cogitate.apps.gateway.accounts.holds import held_in_all
from cogitate.apps.gateway.accounts.keyring import add
from cogitate.apps.gateway.accounts.tables import COUNTERS, PROMPTS, REQUESTS, opened
from cogitate.apps.gateway.running import server
from cogitate.assembly import load

SETTLES_S = 20.0
"""Idle connections to the model's server are dropped within this time."""
FLAT_MB, FLAT_PART = 8.0, 0.06
"""Memory may grow so much from the second quarter of a run to its last."""
WORKED = ("half body", "half stream", "silent stream", "hang", "stream that hangs", "reset")
CUT = (499, 502, 503, 504)

SETTINGS = """
[endpoints.up]
base_url = "http://127.0.0.1:{port}/v1"
model = "toy"
dialect = "generic"

[endpoints.many]
base_url = "http://127.0.0.1:{port}/v1"
model = "toy"
dialect = "openai"

[gateway]
models = ["up", "many"]
body_seconds = 1.0
in_flight = 12
queue = 64
journals = "{folder}/journals"

[gateway.most]
seconds = 5.0
tokens_out = 20000
"""


def descriptors() -> int:
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def threads() -> int:
    """Threads but those of the loop's own pool, which keeps them."""
    pooled = ("asyncio_", "ThreadPoolExecutor")
    return sum(1 for t in threading.enumerate() if not t.name.startswith(pooled))


def tasks() -> Counter[str]:
    return Counter(getattr(t.get_coro(), "__qualname__", "?") for t in asyncio.all_tasks())


# ------------------------------------------------------------------------------- the gateway


def accounts_in(folder: Path) -> tuple[Any, list[str]]:
    """A database with a key for each kind of client, and one that was revoked."""
    engine = opened(folder / "accounts.db")
    secrets: list[str] = []
    with engine.begin() as connection:
        for name, quotas, concurrency in KEYS:
            made = add(
                connection,
                name,
                quotas=[Quota.read(text) for text in quotas],
                concurrency=concurrency,
                now=time.time(),
            )
            secrets.append(made.secret)
    return engine, secrets


class Samples:
    """What the process holds, second by second."""

    def __init__(self) -> None:
        self.memory: list[float] = []
        self.most_descriptors = 0

    async def take(self, until: asyncio.Event) -> None:
        while not until.is_set():
            self.memory.append(resident_mb())
            self.most_descriptors = max(
                self.most_descriptors, sum(1 for _ in Path("/proc/self/fd").iterdir())
            )
            await asyncio.sleep(1.0)

    def growth(self) -> tuple[float, float]:
        """From the second quarter to the last: megabytes, and megabytes a minute over both."""
        part = len(self.memory) // 4
        if part < 2:
            return 0.0, 0.0
        grown = statistics.median(self.memory[-part:]) - statistics.median(
            self.memory[part : 2 * part]
        )
        late = self.memory[part:]
        slope = statistics.linear_regression(range(len(late)), late).slope * 60
        return grown, slope


async def child(role: str, *more: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, "--role", role, *more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=2**30,
    )


async def asked(url: str, secrets: Sequence[str], seconds: float, count: int, seed: int) -> Any:
    process = await child("clients", "--url", url, "--seconds", f"{seconds}", "--seed", f"{seed}")
    said, _ = await process.communicate(json.dumps([*secrets, count]).encode())
    if process.returncode:
        raise SystemExit("the clients failed")
    return json.loads(said)


async def idle(gateway: Gateway, before: int, tasks_before: Counter[str]) -> None:
    """Wait until nothing is left, but not for ever."""
    end = time.monotonic() + SETTLES_S
    while time.monotonic() < end:
        await asyncio.sleep(0.25)
        if descriptors() <= before and not tasks() - tasks_before and not gateway.metrics.in_flight:
            return


def left(gateway: Gateway, held: Mapping[str, Any]) -> list[str]:
    """Permits, slots and requests that nobody gave back."""
    problems: list[str] = []
    turns = gateway.accounts.turns
    if turns.running or turns.waiting:
        problems.append(f"{turns.running} slots and {turns.waiting} places in the queue were left")
    if gateway._leashes or gateway.metrics.in_flight:
        problems.append(f"{len(gateway._leashes)} requests were left")
    for name, task in held.items():
        for engine in task.result().router.engines:
            permits = getattr(engine, "_permits", None)
            most = gateway.store._most(engine._engine) if permits is not None else 0
            if permits is not None and permits._value != most:
                problems.append(f"{most - permits._value} permits of {name} were left")
    running = [row for row in gateway.hub.list(None) if row.get("state") == "running"]
    if running:
        problems.append(f"{len(running)} requests are shown as running")
    return problems


def more_than(fewer: int, threads_before: int, tasks_before: Counter[str]) -> list[str]:
    problems: list[str] = []
    if more := tasks() - tasks_before:
        problems.append(f"tasks were left: {dict(more)}")
    if (after := descriptors()) > fewer:
        problems.append(f"{after - fewer} descriptors were left")
    if (alive := threads()) > threads_before:
        problems.append(f"{alive - threads_before} threads were left")
    return problems


async def soak(
    seconds: float, count: int, seed: int, folder: Path, *, quick: bool = False
) -> dict[str, Any]:
    before, threads_before, tasks_before = descriptors(), threads(), tasks()
    model = await child("upstream", "--seed", f"{seed}")
    assert model.stdout is not None
    port = int(await model.stdout.readline())
    file = folder / "cogitate.toml"
    file.write_text(SETTINGS.format(port=port, folder=folder))
    engine, secrets = accounts_in(folder)
    configuration = load(file, environment={})
    settings = configuration.gateway
    accounts = Accounts.open(
        folder / "accounts.db",
        slots=settings.in_flight,
        waiting=settings.queue,
        prompt_days=1.0,
    )
    gateway = Gateway(configuration, accounts=accounts)
    running = server(gateway, port=0)
    serving = asyncio.ensure_future(running.serve())
    while not running.started:
        await asyncio.sleep(0.02)
    url = f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    warm: dict[str, Any] = {"told": {}, "hurried": []}
    if not quick:
        warm = await asked(url, secrets, 1.0, 4, seed + 1)
        await asyncio.sleep(SETTLES_S)  # until the connections of the first second are dropped
        before, threads_before, tasks_before = descriptors(), threads(), tasks()
    samples, over = Samples(), asyncio.Event()
    sampling = asyncio.ensure_future(samples.take(over))
    began = time.monotonic()
    told = await asked(url, secrets, seconds, count, seed)
    took = time.monotonic() - began
    over.set()
    await sampling
    held = dict(gateway.store._held)
    if not quick:
        await idle(gateway, before, tasks_before)
        problems = [*left(gateway, held), *more_than(before, threads_before, tasks_before)]
        running.should_exit = True
        await serving
    else:  # idle connections live longer than this run may
        running.should_exit = True
        await serving
        problems = left(gateway, held)
    after = descriptors()
    grown, slope = samples.growth()
    if seconds >= 60 and grown > max(FLAT_MB, FLAT_PART * samples.memory[0]):
        problems.append(f"memory grew by {grown:.1f} MB, {slope:.2f} MB a minute")
    assert model.stdin is not None
    model.stdin.write(b"end\n")
    log = json.loads(await model.stdout.readline())
    await model.wait()
    compared = compare(
        log, rows_of(engine), told["told"] | warm["told"], {*told["hurried"], *warm["hurried"]}
    )
    problems += compared.pop("problems")
    with engine.connect() as connection:
        if any(holds := held_in_all(connection)):
            problems.append(f"holds were left in the database: {holds}")
        problems += counted(connection)
    engine.dispose()
    if quick:
        await asyncio.sleep(0.1)
        problems += more_than(before, threads_before, tasks_before)
    return {
        "seconds": round(took, 1),
        "clients": count,
        "requests": sum(told["outcomes"].values()),
        "outcomes": dict(sorted(told["outcomes"].items())),
        **compared,
        "memory": f"{samples.memory[0]:.0f} to {samples.memory[-1]:.0f} MB, "
        f"{slope:+.2f} MB a minute, {grown:+.1f} MB from the second quarter to the last",
        "descriptors": f"{before} before, {samples.most_descriptors} at most, {after} after",
        "problems": problems[:30],
    }


# ------------------------------------------------------------------------------ what it cost


def rows_of(engine: Any) -> dict[int, Any]:
    """The audit by the number that each request holds in its question."""
    found: dict[int, Any] = {}
    with engine.connect() as connection:
        joined = REQUESTS.join(PROMPTS, REQUESTS.c.id == PROMPTS.c.request)
        for row in connection.execute(joined.select()).mappings():
            number = re.search(r"soak (\d+):", row["body"])
            if number is not None:  # else it was one of those that nobody could read
                found[int(number[1])] = dict(row)
    return found


def counted(connection: Any) -> list[str]:
    """The counters of keys for all time must be the sums of their records."""
    problems: list[str] = []
    records: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in connection.execute(REQUESTS.select()).mappings():
        records[row["key_id"]]["tokens_out"] += row["tokens_out"]
    for row in connection.execute(COUNTERS.select()).mappings():
        if row["window"] != "total":
            continue
        recorded = records[row["key_id"]]["tokens_out"]
        if row["used_tokens_out"] > recorded:
            problems.append(
                f"a key was charged {row['used_tokens_out']} tokens, its records say {recorded}"
            )
    return problems


def compare(
    log: Sequence[Mapping[str, Any]],
    rows: Mapping[int, Any],
    told: Mapping[str, Any],
    hurried: Set[int],
) -> dict[str, Any]:
    """Every request by the server's log, the audit, and what its client was told."""
    calls: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in log:
        calls[entry["number"]].append(entry)
    problems: list[str] = []
    equal = estimated = 0
    for number, made in calls.items():
        row = rows.get(number)
        problem = wrong(row, made, cut=number in hurried)
        if problem:
            problems.append(f"request {number}: {problem}; audit {shown(row)}, server {made}")
        elif row is not None and row["estimated"]:
            estimated += 1
        elif row is not None:
            equal += 1
    for number, usage in told.items():
        row = rows.get(int(number))
        if row is None or [row["tokens_in"], row["tokens_out"]] != usage:
            problems.append(f"request {number}: its client was told {usage}, audit {shown(row)}")
    return {
        "calls": len(log),
        "faults": dict(Counter(e["fault"] or "none" for e in log).most_common()),
        "charged as the server counts": equal,
        "charged as estimates": estimated,
        "told their usage": len(told),
        "problems": problems,
    }


def shown(row: Any) -> Any:
    if row is None:
        return None
    names = ("id", "status", "model", "strategy", "calls", "tokens_in", "tokens_out", "estimated")
    return {name: row[name] for name in names}


def wrong(row: Any, made: Sequence[Mapping[str, Any]], *, cut: bool) -> str:
    """What the audit says that cannot be, of one request; `cut`: its deadline may have ended a call."""
    done = [e for e in made if e["done"]]
    sure = [e["usage"] for e in done if e["usage"] is not None]
    worked = [e for e in made if e["fault"] in WORKED or (e["done"] and e["usage"] is None)]
    unclear = bool(worked) or any(not e["done"] and not e["fault"] for e in made)
    if row is None:
        return "work was done and nobody was charged" if done or unclear else ""
    counts = [sum(u[i] for u in sure) for i in (0, 1)]
    if any(e["fault"] == "not JSON" for e in made):
        return ""  # a reply that nobody can read may be charged as a guess, or asked for again
    if not row["estimated"]:
        if unclear:
            return "a call that was cut, or told no usage, is not marked as an estimate"
        # Siblings that one call of the server made are so many calls of ours.
        made_in_all = sum(e["choices"] for e in done)
        if [row["tokens_in"], row["tokens_out"], row["calls"]] != [*counts, made_in_all]:
            return f"the server counts {counts} in {made_in_all} calls"
        return ""
    if not unclear and not cut and row["status"] not in CUT:
        return "every call said what it cost, and it is marked as an estimate"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="neither warm up nor cool down")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.role == "upstream":
        asyncio.run(upstream(chosen.seed))
        return 0
    if chosen.role == "clients":
        *secrets, count = json.loads(sys.stdin.read())
        report = asyncio.run(clients(chosen.url, secrets, count, chosen.seconds, chosen.seed))
        print(json.dumps(report))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(
            soak(chosen.seconds, chosen.clients, chosen.seed, Path(folder), quick=chosen.quick)
        )
    if chosen.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:<32} {value}")
    return 1 if report["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
