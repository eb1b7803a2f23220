"""Where nothing isolates, nothing runs, unless the caller says that it may; and the probe runs anywhere."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from cogitate.core.errors import Failed
from cogitate.core.execute import Execute, ExecutionLimits
from cogitate.engines.sandbox import Sandbox, layers, pool, probe, server
from cogitate.engines.sandbox.inside import seccomp

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox needs Linux")


def serve(engine, *args, **known):
    async def once():
        (reply,) = await engine.serve([Execute(*args, **known)])
        await engine.close()
        return reply

    return asyncio.run(once())


@pytest.fixture
def no_walls(monkeypatch):
    """A machine on which every kind of walls fails."""
    monkeypatch.setattr(pool, "choices", lambda walls: [])


def test_the_probe_answers_everywhere():
    found = probe()
    assert found
    assert all(layer.name and (layer.holds or layer.remedy) for layer in found)
    assert layers.works() is all(layer.holds for layer in found if layer.needed)


def test_another_system_is_told_so(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    (only,) = probe()
    assert not only.holds
    assert "Linux" in only.detail
    reply = serve(Sandbox(), "print(1)")
    assert isinstance(reply, Failed)
    assert reply.kind == "refused"


@LINUX
def test_a_launcher_that_fails_is_a_reason(monkeypatch):
    refused = "import os, sys; os.write(int(sys.argv[1]), b'Operation not permitted')"
    monkeypatch.setattr(
        server,
        "launch_command",
        lambda plan: [sys.executable, "-c", refused, str(plan["control"])],
    )
    first, *_ = probe()
    assert (first.name, first.holds, first.needed) == ("namespaces", False, True)
    assert "Operation not permitted" in first.detail
    assert not layers.works()
    reply = serve(Sandbox(), "print(1)")
    assert isinstance(reply, Failed)
    assert reply.kind == "refused"
    assert "Operation not permitted" in str(reply)


@LINUX
def test_without_walls_nothing_runs(no_walls, tmp_path):
    reply = serve(Sandbox(), f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert isinstance(reply, Failed)
    assert reply.kind == "refused"
    assert "allow_unisolated_execution" in str(reply)
    assert not list(tmp_path.iterdir())


@LINUX
def test_with_leave_it_runs_under_limits_and_cleans_up(no_walls, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    limits = ExecutionLimits(seconds=2, memory_bytes=256 << 20, output_bytes=1000)

    def allowed(*args, **known):
        reply = serve(Sandbox(allow_unisolated_execution=True), *args, limits=limits, **known)
        return reply.value

    assert allowed("print(input())", stdin="x").run.stdout == "x\n"
    assert allowed("x = bytearray(1 << 30)").run.ended == "memory"
    assert allowed("while True: print('x')").run.ended == "output"
    assert allowed("def f(x): return x", harness="assert program.f(1) == 1").passed
    assert allowed("x = 2\nx", cell=True).run.value == "2"
    left = allowed(
        "import os, time\npid = os.fork()\nif pid == 0:\n    os.setsid()\n    time.sleep(60)\nprint(pid)"
    )
    pid, end = int(left.run.stdout), time.monotonic() + 3
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()
    assert not list(tmp_path.iterdir())


def test_importing_it_needs_nothing_of_linux():
    source = (
        "import sys\n"
        "for name in ('resource', 'fcntl', 'pwd', 'grp', 'termios'): sys.modules[name] = None\n"
        "import cogitate.engines.sandbox, cogitate.engines.sandbox.docker, cogitate.core.kinds\n"
        "assert 'cogitate.engines.sandbox.pool' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", source], check=True, env=dict(os.environ))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_is_well_formed(machine):
    """Jumps stay inside, and the last word is a return; the numbers' names are those of the other machine."""
    code = seccomp.program(machine)
    assert len(code) < 4096
    for place, (operation, yes, no, _) in enumerate(code):
        if operation & 7 == 5:
            assert place + 1 + max(yes, no) < len(code)
    assert code[-1][0] & 7 == 6
    names = set(seccomp.denied(machine))
    assert {"ptrace", "mount", "setns", "bpf", "keyctl", "io_uring_setup", "userfaultfd"} <= names
    assert set(seccomp.denied("aarch64")) <= set(seccomp.denied("x86_64"))
    numbers = list(seccomp.denied(machine).values())
    assert len(numbers) == len(set(numbers))


def test_a_machine_without_known_numbers_gets_no_filter():
    with pytest.raises(OSError, match="mips"):
        seccomp.program("mips")
