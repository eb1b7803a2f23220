"""Quotas hold: under any interleaving, for any number of threads and processes, and after a kill."""

from __future__ import annotations

import functools
import itertools
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sqlalchemy")

from accounts_process import NOW, Process
from sqlalchemy import select
from sqlalchemy.engine import Engine

from cogitate.apps.gateway.accounts import Quota, holds
from cogitate.apps.gateway.accounts.holds import Denial, held_in_all, standing
from cogitate.apps.gateway.accounts.quotas import Amounts, limits
from cogitate.apps.gateway.accounts.shares import Hold
from cogitate.apps.gateway.accounts.tables import COUNTERS, opened


def held(engine: Engine) -> tuple[int, int]:
    with engine.begin() as connection:
        return held_in_all(connection)


def used(engine: Engine, key: str, window: str, unit: str) -> float:
    with engine.begin() as connection:
        return float(standing(connection, key, NOW)[window]["used"][unit])


def check(engine: Engine, most: dict[str, Amounts]) -> None:
    """What is counted and what is held never exceed a quota, and are what processes hold."""
    with engine.begin() as connection:
        for row in connection.execute(select(COUNTERS)).mappings():
            for unit, limit in zip(holds.UNITS, most[row["window"]], strict=True):
                assert row[f"held_{unit}"] >= 0
                assert row[f"used_{unit}"] + row[f"held_{unit}"] <= limit, (row["window"], unit)
        counters, processes = held_in_all(connection)
        assert counters == processes


STEP = st.tuples(
    st.sampled_from(("admit", "charge", "release", "write", "die", "later")),
    st.integers(0, 2),  # which process
    st.integers(0, 60),  # how much
    st.integers(0, 5),  # which request
)


_NUMBERS = itertools.count()


@functools.cache
def one_for_all() -> Engine:
    """Making tables takes longer than the rest of an example; each has a key of its own."""
    return opened(Path(tempfile.mkdtemp(prefix="cogitate-accounts-")) / "a.sqlite")


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, min_size=5, max_size=40), st.booleans())
def test_any_interleaving_keeps_the_quota_and_ends_with_nothing_held(
    steps: list[tuple[str, int, int, int]], alone: bool
) -> None:
    """Three processes, five quotas in four windows, and a process that is taken for dead now and then."""
    engine, key = one_for_all(), f"k{next(_NUMBERS)}"
    bounds = limits(
        [
            *(Quota("tokens", 200, "day"), Quota("tokens_out", 120, "total")),
            *(Quota("requests", 9, "minute"), Quota("usd", 0.0000002)),
        ],
        4,
    )
    most = dict(bounds)
    count = 1 if alone else 3
    processes = [Process(engine, f"{key}-{i}", alone=alone) for i in range(count)]
    flying: list[tuple[Process, Hold]] = []
    paid: dict[str, int] = {"tokens": 0, "tokens_out": 0}
    for step, who, size, which in steps:
        process = processes[who % count]
        if step == "admit":
            found = process.admit(key, bounds, (1, 2 * size, size, size))
            if isinstance(found, Hold):
                flying.append((process, found))
        elif step == "write":
            process.write()
        elif step == "later":
            for each in processes:
                each.now += 40  # a minute ends now and then, and the day does not
        elif step == "die" and not alone:
            # its requests are lost with it, and what it held is given back by another
            process.write()
            flying = [pair for pair in flying if pair[0] is not process]
            process.shares.lost()
            with engine.begin() as connection:
                holds.leave(connection, process.name)
            processes[who % count] = Process(engine, f"{process.name}'")
            processes[who % count].now = process.now
        elif flying:
            owner, hold = flying.pop(which % len(flying))
            part = min(size, hold.amounts[2])
            spent = None if step == "release" else (1, part + hold.amounts[2], part, part)
            owner.leave(hold, spent)
            if spent is not None:
                paid["tokens"] += spent[1]
                paid["tokens_out"] += spent[2]
        check(engine, most)
    assert paid["tokens"] <= 200
    assert paid["tokens_out"] <= 120
    for owner, hold in flying:
        owner.leave(hold, None)
    for process in processes:
        process.close()
    check(engine, most)
    assert held(engine) == (0, 0)
    for window, unit in (("day", "tokens"), ("total", "tokens_out")):
        if any(step == "admit" for step, *_ in steps):
            assert used(engine, key, window, unit) == paid[unit]


RACER = """
import json, sys, threading
sys.path.insert(0, sys.argv[1])
from accounts_process import Process, QUOTA
from cogitate.apps.gateway.accounts.holds import Denial
from cogitate.apps.gateway.accounts.tables import opened

engine = opened(sys.argv[2])
process = Process(engine, sys.argv[3])
let_in = []

def client():
    for _ in range(int(sys.argv[4])):
        found = process.admit("k", QUOTA, (1, 10, 5, 1))
        if not isinstance(found, Denial):
            let_in.append(found)
            process.leave(found, (1, 10, 5, 1))
            if len(let_in) % 7 == 0:
                process.write()

print("ready", flush=True)
sys.stdin.readline()
threads = [threading.Thread(target=client) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
process.close()
print(json.dumps(len(let_in)))
"""


@pytest.mark.parametrize(
    ("processes", "tries"), [(2, 25), pytest.param(4, 80, marks=pytest.mark.slow)]
)
def test_a_race_of_processes_and_threads_never_exceeds_a_quota(
    processes: int, tries: int, tmp_path: Path
) -> None:
    """Each of three threads a process tries more often than its share would allow."""
    path = tmp_path / "a.sqlite"
    engine = opened(path)
    racers = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                RACER,
                str(Path(__file__).parent),
                str(path),
                f"r{i}",
                str(tries),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(processes)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    counts = []
    for racer in racers:
        out, _ = racer.communicate(timeout=60)
        assert racer.returncode == 0
        counts.append(json.loads(out))
    assert sum(counts) <= 100
    assert sum(counts) >= 90, "what one does not need, others may use"
    assert used(engine, "k", "total", "tokens") == 10 * sum(counts)
    assert held(engine) == (0, 0)
    engine.dispose()


def test_many_threads_of_one_process_take_exactly_what_there_is(tmp_path: Path) -> None:
    engine = opened(tmp_path / "a.sqlite")
    process = Process(engine, "p", alone=True)
    bounds = limits([Quota("tokens_out", 1000, "day")], None)
    let_in: list[Hold] = []
    barrier = threading.Barrier(8)

    def client() -> None:
        barrier.wait()
        for _ in range(40):
            found = process.admit("k", bounds, (1, 10, 10, 0))
            if isinstance(found, Hold):
                let_in.append(found)

    threads = [threading.Thread(target=client) for _ in range(8)]
    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(often)
    assert len(let_in) == 100, "every token can be used, whatever was held ahead"
    for hold in let_in:
        process.leave(hold, None)
    process.close()
    assert (held(engine), used(engine, "k", "day", "tokens_out")) == ((0, 0), 0)
    engine.dispose()


def test_what_a_dead_process_held_is_given_back(tmp_path: Path) -> None:
    engine = opened(tmp_path / "a.sqlite")
    bounds = limits([Quota("tokens_out", 100)], None)
    dead = Process(engine, "dead")
    hold = dead.admit("k", bounds, (1, 0, 80, 0))
    assert isinstance(hold, Hold)
    other = Process(engine, "other")
    with engine.begin() as connection:
        assert holds.reclaim(connection, NOW + 14) == 0
    assert isinstance(other.admit("k", bounds, (1, 0, 80, 0)), Denial)
    other.now = NOW + 16
    other.live()
    with engine.begin() as connection:
        assert holds.reclaim(connection, NOW + 16) == 1
    assert isinstance(other.admit("k", bounds, (1, 0, 80, 0)), Hold)
    # It was only asleep: what it spent is counted, and what was given back is not given back twice.
    before = held(engine)
    assert before[0] == before[1] >= 80
    dead.now = NOW + 17
    dead.leave(hold, (1, 0, 15, 0))
    dead.write()
    assert used(engine, "k", "total", "tokens_out") == 15
    assert held(engine) == before
    dead.live()
    dead.write()
    assert held(engine) == before
    other.close()
    dead.close()
    assert held(engine) == (0, 0)
    engine.dispose()


def test_a_killed_process_leaves_nothing_held(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    code = (
        "import sys, os, signal; sys.path.insert(0, sys.argv[1])\n"
        "from accounts_process import Process, QUOTA\n"
        "from cogitate.apps.gateway.accounts.tables import opened\n"
        "process = Process(opened(sys.argv[2]), 'killed')\n"
        "hold = process.admit('k', QUOTA, (1, 10, 5, 1))\n"
        "process.leave(process.admit('k', QUOTA, (1, 10, 5, 1)), (1, 7, 5, 1)); process.write()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(path)], timeout=60, check=False
    )
    assert done.returncode == -9
    engine = opened(path)
    assert held(engine)[0] > 0
    with engine.begin() as connection:
        holds.reclaim(connection, NOW + 16)
    assert held(engine) == (0, 0)
    assert used(engine, "k", "total", "tokens") == 7
    engine.dispose()


def refusal(found: Hold | Denial) -> Denial:
    assert isinstance(found, Denial)
    return found


def test_a_denial_says_when_to_come_again(tmp_path: Path) -> None:
    engine = opened(tmp_path / "a.sqlite")
    process = Process(engine, "p", alone=True)
    process.now = NOW + 20  # 40 seconds before a minute ends
    bounds = limits([Quota("tokens", 100, "minute"), Quota("usd", 1e-7)], 2)
    first = process.admit("k", bounds, (1, 90, 0, 40))
    assert isinstance(first, Hold)
    soon = refusal(process.admit("k", bounds, (1, 90, 0, 40)))
    assert soon.retry_after_s == 1, "what is in flight may leave enough"
    process.leave(first, (1, 60, 0, 40))
    process.write()
    later = refusal(process.admit("k", bounds, (1, 90, 0, 40)))
    assert later.retry_after_s == 40
    assert "100 tokens a minute; 60 are used" in later.reason
    never = refusal(process.admit("k", bounds, (1, 101, 0, 0)))
    assert never.retry_after_s is None, "it is larger than the quota"
    spent = refusal(process.admit("k", bounds, (1, 1, 0, 80)))
    assert spent.retry_after_s is None, "and this one is for ever"
    assert "1e-07 usd in all" in spent.reason
    both = [process.admit("k", bounds, (1, 1, 0, 1)) for _ in range(3)]
    assert [type(found) for found in both] == [Hold, Hold, Denial]
    assert refusal(both[2]).retry_after_s == 1
    assert "2 requests of this key are in flight" in refusal(both[2]).reason
    process.now = NOW + 61
    for found in both[:2]:
        assert isinstance(found, Hold)
        process.leave(found, (1, 1, 0, 1))
    assert isinstance(process.admit("k", bounds, (1, 90, 0, 1)), Hold), "another minute"
    engine.dispose()


def test_one_key_does_not_spend_for_another(tmp_path: Path) -> None:
    engine = opened(tmp_path / "a.sqlite")
    process = Process(engine, "p", alone=True)
    bounds = limits([Quota("requests", 1)], None)
    assert isinstance(process.admit("a", bounds, (1, 0, 0, 0)), Hold)
    assert isinstance(process.admit("a", bounds, (1, 0, 0, 0)), Denial)
    assert isinstance(process.admit("b", bounds, (1, 0, 0, 0)), Hold)
    engine.dispose()


def test_a_server_that_used_more_than_its_ceiling_is_counted_in_full(tmp_path: Path) -> None:
    engine = opened(tmp_path / "a.sqlite")
    process = Process(engine, "p", alone=True)
    bounds = limits([Quota("tokens_out", 100)], None)
    hold = process.admit("k", bounds, (1, 0, 10, 0))
    assert isinstance(hold, Hold)
    process.leave(hold, (1, 0, 250, 0))
    process.write()
    assert used(engine, "k", "total", "tokens_out") == 250
    assert isinstance(process.admit("k", bounds, (1, 0, 1, 0)), Denial)
    process.close()
    assert held(engine) == (0, 0)
    engine.dispose()


def test_a_share_is_no_waste_where_processes_are_several(tmp_path: Path) -> None:
    """What one process holds ahead and does not use is given back with the next writing."""
    engine = opened(tmp_path / "a.sqlite")
    one, two = Process(engine, "one"), Process(engine, "two")
    bounds = limits([Quota("tokens_out", 100)], 1)
    first = one.admit("k", bounds, (1, 0, 10, 0))
    assert isinstance(first, Hold)
    assert isinstance(two.admit("k", bounds, (1, 0, 10, 0)), Denial), "one at once"
    one.leave(first, (1, 0, 10, 0))
    second = two.admit("k", bounds, (1, 0, 10, 0))
    assert isinstance(second, Hold), "the slot was given back at once"
    two.leave(second, (1, 0, 10, 0))
    for _ in range(2):
        one.write()
        two.write()
    assert held(engine) == (0, 0)
    assert isinstance(two.admit("k", bounds, (1, 0, 80, 0)), Hold)
    six = limits([], 6)
    assert isinstance(one.admit("k6", six, (1, 0, 0, 0)), Hold)
    for _ in range(5):
        assert isinstance(two.admit("k6", six, (1, 0, 0, 0)), Hold), "none was held ahead"
    assert isinstance(two.admit("k6", six, (1, 0, 0, 0)), Denial)
    engine.dispose()
