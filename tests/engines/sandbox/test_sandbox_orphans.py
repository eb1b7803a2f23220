"""Whatever kills the process that asked, nothing stays: no process, no mount, no temporary file."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sandbox_traces import processes_of

pytestmark = pytest.mark.usefixtures("isolated")

# Runs a mixture of programs without end: quick, printing, forking, sleeping, writing, with tests, as cells.
PARENT = """
import asyncio, sys
from cogitate.core.execute import Execute, ExecutionLimits
from cogitate.engines.sandbox import Sandbox

limits = ExecutionLimits(seconds=0.2)
KINDS = (
    Execute("print(1)"),
    Execute("import os\\nfor _ in range(5): os.fork()\\nopen(str(os.getpid()), 'w').write('x' * 9999)"),
    Execute("import os, time\\nif os.fork() == 0:\\n    os.setsid()\\n    time.sleep(99)\\nprint(2)"),
    Execute("import time; time.sleep(9)", limits=limits),
    Execute("def f(x): return x", harness="assert program.f(1) == 1"),
    Execute("y = 1\\ny", cell=True),
    Execute("y + 1", cell=True, after=("y = 1\\ny",)),
)

async def main():
    engine = Sandbox(concurrency=8, warm=sys.argv[1] == "warm")
    async def work(lane):
        turn = lane
        while True:
            await engine.serve([KINDS[turn % len(KINDS)]])
            turn += 1
            print("ran", flush=True)
    async with asyncio.TaskGroup() as group:
        for lane in range(8):
            group.create_task(work(lane))

asyncio.run(main())
"""


def mounts() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()


def nothing_left(
    parent: int, files: Path, before: list[str], patience_s: float = 5.0
) -> tuple[set[str], list[str], list[str]] | None:
    """`None` when no process, file or mount is left, after a moment for the kernel to clean up."""
    end = time.monotonic() + patience_s
    while True:
        found = (
            processes_of(parent),
            [path.name for path in files.iterdir()],
            [mount for mount in mounts() if mount not in before],
        )
        if not any(found):
            return None
        if time.monotonic() > end:
            return found
        time.sleep(0.02)


def run_and_kill(rng: random.Random, kind: str, at_most: int, files: Path) -> tuple[int, int]:
    """Start a parent, kill it at a random moment; its number, and how many runs it saw to their end."""
    parent = started([PARENT, kind], files)
    assert parent.stdout is not None
    seen, wanted = 0, rng.randrange(at_most)
    while seen < wanted and parent.stdout.readline():
        seen += 1
    time.sleep(rng.random() * 0.05)
    parent.send_signal(rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV]))
    rest, _ = parent.communicate()
    return parent.pid, seen + rest.count(b"ran")


def started(arguments: list[str], files: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(files)},
    )


def check(runs: int, at_most: int, seed: int, files: Path) -> tuple[int, int]:
    """Kill parents until so many runs were made; runs and kills."""
    rng, before = random.Random(seed), mounts()
    done = kills = 0
    while done < runs:
        kind = "cold" if rng.random() < 0.1 else "warm"
        pid, seen = run_and_kill(rng, kind, at_most if kind == "warm" else 5, files)
        done, kills = done + seen, kills + 1
        assert nothing_left(pid, files, before) is None
    return done, kills


def test_a_killed_parent_leaves_nothing(tmp_path: Path) -> None:
    done, kills = check(60, 40, 1, tmp_path)
    assert done >= 60
    assert kills >= 2


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_runs_leave_nothing(tmp_path: Path) -> None:
    runs = int(os.environ.get("COGITATE_SANDBOX_RUNS", "10000"))
    done, kills = check(runs, 150, 2, tmp_path)
    print(f"{done} runs, {kills} parents killed, nothing left")
    assert done >= runs


def test_a_fork_of_the_parent_does_not_keep_the_server(tmp_path: Path) -> None:
    """The control socket lives on in it, so the server watches its parent as well."""
    before = mounts()
    source = (
        "import asyncio, os, time\n"
        "from cogitate.core.execute import Execute\n"
        "from cogitate.engines.sandbox import Sandbox\n"
        "engine = Sandbox()\n"
        "asyncio.run(engine.serve([Execute('pass')]))\n"
        "pid = os.fork()\n"
        "if pid == 0:\n    time.sleep(20)\n    os._exit(0)\n"
        "print(pid, flush=True)\n"
        "time.sleep(20)"
    )
    parent = started([source], tmp_path)
    assert parent.stdout is not None
    fork = int(parent.stdout.readline())
    assert processes_of(parent.pid)  # they are found while they live
    parent.kill()
    parent.wait()
    parent.stdout.close()
    try:
        assert nothing_left(parent.pid, tmp_path, before) is None
    finally:
        os.kill(fork, signal.SIGKILL)
