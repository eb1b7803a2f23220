"""The sandbox does what a program, its tests, its inputs and its cells ask for."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.execute import Execute, ExecutionLimits, Run, SourceFile
from cogitate.core.requests import Grade, Reply
from cogitate.engines.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("isolated")


def serve(engine, *requests):
    return asyncio.run(engine.serve(requests))


def test_a_program_reads_its_input_and_files(ask):
    ran = ask(
        "import sys; print(sys.stdin.read().upper(), open('data/é.txt').read(), end='')\n"
        "print('oops', file=sys.stderr)",
        stdin="héllo",
        files=(SourceFile("data/é.txt", "ñ\r\n"),),
    ).run
    assert (ran.stdout, ran.stderr, ran.status, ran.ended) == ("HÉLLO ñ\n", "oops\n", 0, "ok")
    assert ran.finished


def test_a_program_is_its_own_main(ask):
    source = (
        "import pickle, sys, dataclasses, atexit, threading\n"
        "@dataclasses.dataclass\nclass Point:\n    x: int\n"
        "assert pickle.loads(pickle.dumps(Point(1))) == Point(1)\n"
        "atexit.register(print, 'bye')\n"
        "threading.Thread(target=lambda: print('thread')).start()\n"
        "if __name__ == '__main__': print(sys.argv)"
    )
    ran = ask(source).run
    assert sorted(ran.stdout.split()) == ["['program.py']", "bye", "thread"]
    assert ran.stdout.endswith("bye\n")


@pytest.mark.parametrize(
    ("source", "status", "ended"),
    [
        ("", 0, "ok"),
        ("1/0", 1, "error"),
        ("this is no Python", 1, "error"),
        ("import sys; sys.exit(7)", 7, "error"),
        ("import sys; sys.exit('why')", 1, "error"),
        ("import os; os._exit(3)", 3, "error"),
        ("import os; os.abort()", -6, "killed"),
        ("import ctypes; ctypes.string_at(0)", -11, "killed"),
        ("def f(): return f()\nf()", 1, "error"),
        ("(" * 100_000, 1, "memory"),
        ("\x00", 1, "error"),
        ("print('\\ud800')", 1, "error"),
    ],
)
def test_how_a_program_ended(ask, source, status, ended):
    ran = ask(source).run
    assert ran.status == status
    assert ran.ended == ended or (ended == "memory" and ran.ended == "error")
    assert ran.finished is (source == "")


def test_a_traceback_shows_the_program_alone(ask):
    ran = ask("def f(x):\n    return 1 / x\n\nf(0)").run
    assert ran.stderr.splitlines()[:3] == [
        "Traceback (most recent call last):",
        '  File "<program>", line 4, in <module>',
        "    f(0)",
    ]
    assert "/engine" not in ran.stderr


def test_bytes_that_are_no_text_are_replaced(ask):
    ran = ask("import sys; sys.stdout.buffer.write(b'a\\xff\\x00b')").run
    assert ran.stdout == "a\ufffd\x00b"


def test_each_input_has_a_run_of_its_own(ask):
    source = (
        "import os\nwho = input()\n"
        "print(who, os.path.exists('left'))\nopen('left', 'w').close()\n"
        "assert who != 'b'"
    )
    done = ask(source, inputs=("a\n", "b\n", "c\n"))
    assert [run.stdout for run in done.runs] == ["a False\n", "b False\n", "c False\n"]
    assert [run.ended for run in done.runs] == ["ok", "error", "ok"]
    assert not done.passed


def test_runs_do_not_share_their_randomness_but_their_hashes(ask):
    source = "import random; print(random.random(), hash('x'))"
    (one, two) = (ask(source).run.stdout.split() for _ in range(2))
    assert one[0] != two[0]
    assert one[1] == two[1]


@pytest.mark.parametrize(
    "value",
    [
        "None, True, 3, -2**70, 0.1, 'é\\ud800', b'\\x00'",
        "[1, (2, [3]), {4: {5}}, frozenset({6})]",
        "float('inf'), -0.0, 1+2j, range(1, 9, 2)",
        "{(1, 2): [None], None: 'x', 1.5: b'y'}",
    ],
)
def test_plain_values_cross_unchanged(ask, value):
    harness = f"value = {value}\ngot = program.same(value)\nassert repr(got) == repr(value), got"
    done = ask("def same(x): return x", harness=harness)
    assert done.passed, done.harness.stderr


def test_a_harness_sees_exceptions_changes_and_iterators(ask):
    source = (
        "class Odd(Exception): pass\n"
        "def sort(held): held.sort()\n"
        "def count(n): yield from range(n)\n"
        "def bad(kind): raise {'v': ValueError, 'o': Odd}[kind]('why')\n"
        "def thing(): return object()\n"
    )
    harness = (
        "held = [3, 1]; program.sort(held); assert held == [1, 3]\n"
        "assert list(program.count(3)) == [0, 1, 2]\n"
        "def raised(call, *args):\n"
        "    try: call(*args)\n"
        "    except Exception as error: return type(error).__name__, str(error)\n"
        "assert raised(program.bad, 'v') == ('ValueError', 'why')\n"
        "assert raised(program.bad, 'o') == ('ProgramError', 'Odd: why')\n"
        "assert raised(program.missing)[0] == 'NameError'\n"
        "assert raised(program.thing)[0] == 'TypeError'\n"
        "assert raised(program.sort, lambda: 0)[0] == 'TypeError'\n"
    )
    done = ask(source, harness=harness)
    assert done.passed, done.harness.stderr


# ------------------------------------------------------------------------------- cells


def test_cells_continue_and_branch(ask):
    first, second = "x = [1]\nx", "x.append(2)\nprint('two')\nx"
    assert ask(first, cell=True).run.value == "[1]"
    done = ask(second, cell=True, after=(first,))
    assert (done.run.value, done.run.stdout, done.rebuilt) == ("[1, 2]", "two\n", 0)
    branch = ask("x.append(9)\nx", cell=True, after=(first,))
    assert (branch.run.value, branch.rebuilt) == ("[1, 9]", 0)
    assert ask("x", cell=True, after=(first, second)).run.value == "[1, 2]"


def test_a_failed_cell_leaves_what_it_did_and_a_killed_one_nothing(ask):
    failed = "y = 3\n1/0"
    assert ask(failed, cell=True).run.ended == "error"
    assert ask("y", cell=True, after=(failed,)).run.value == "3"
    killed, limits = "y = 4\nwhile True: pass", ExecutionLimits(seconds=0.5)
    assert ask(killed, cell=True, after=(failed,), limits=limits).run.ended == "timeout"
    assert ask("y", cell=True, after=(failed, killed), limits=limits).run.value == "3"


def test_a_state_whose_files_another_branch_changed_is_rebuilt(ask):
    first, write = "import os\nz = 1", "open('f', 'w').write('x')"
    ask(first, cell=True)
    ask(write, cell=True, after=(first,))
    other = ask("os.listdir('.')", cell=True, after=(first,))
    assert (other.run.value, other.rebuilt) == ("[]", 1)
    line = ask("os.listdir('.')", cell=True, after=(first, write))
    assert line.run.value == "['f']"


def test_states_given_up_are_rebuilt():
    async def both():
        engine = Sandbox(sessions=1)
        seen = []
        for source, after in (("a = 1", ()), ("b = 1", ()), ("a + 1", ("a = 1",))):
            (reply,) = await engine.serve([Execute(source, cell=True, after=after)])
            seen.append((reply.value.run.value, reply.value.rebuilt))
        await engine.close()
        return seen

    assert asyncio.run(both()) == [("", 0), ("", 0), ("2", 1)]


def test_a_branch_cannot_destroy_another(ask):
    first = "import os\nw = 1"
    ask(first, cell=True)
    ask("os.kill(-1, 9)", cell=True, after=(first,))
    assert ask("w", cell=True, after=(first,)).run.value == "1"


# --------------------------------------------------------------------------------- c++

needs_compiler = pytest.mark.skipif(
    not Path("/usr/bin/g++").exists(), reason="g++ is not installed"
)
ADDER = (
    "#include <iostream>\nint main() { int x; std::cin >> x; std::cout << x + 1; return x == 9; }"
)


@needs_compiler
def test_a_compiled_program_runs_once_an_input(ask):
    done = ask(ADDER, language="c++", inputs=("1", "9"))
    assert [(r.stdout, r.status, r.ended) for r in done.runs] == [
        ("2", 0, "ok"),
        ("10", 1, "error"),
    ]
    assert done.runs[0].finished


@needs_compiler
def test_a_compile_error_is_an_outcome(ask):
    ran = ask("int main( {", language="c++").run
    assert (ran.ended, ran.stdout) == ("compile", "")
    assert "program.cpp:1" in ran.stderr


@needs_compiler
def test_a_compiled_program_is_confined_alike(ask):
    source = (
        "#include <sys/socket.h>\n#include <unistd.h>\n#include <cstdio>\n#include <cerrno>\n"
        'int main() { printf("%d ", socket(2, 1, 0)); printf("%d ", errno); printf("%d", access("/proc", 0)); '
        "fflush(stdout); while (fork() >= 0); for (;;) pause(); }"
    )
    ran = ask(source, language="c++", limits=ExecutionLimits(seconds=1)).run
    assert (ran.stdout.split()[:3], ran.ended) == (["-1", "1", "-1"], "timeout")


# -------------------------------------------------------------------------- the engine


def test_usage_is_time_alone_and_below_its_ceiling(sandbox):
    request = Execute("print(1)", inputs=("", ""))
    (reply,) = serve(sandbox, request)
    assert isinstance(reply, Reply)
    assert reply.usage.calls == reply.usage.tokens_out == 0
    assert 0 < reply.usage.seconds < sandbox.ceiling(request).seconds
    assert isinstance(reply.value.run, Run)


def test_what_it_does_not_serve_is_refused(sandbox):
    (other,) = serve(sandbox, Grade(("1",), "number"))
    assert isinstance(other, Failed)
    assert other.kind == "unsupported"
    (large,) = serve(sandbox, Execute("x" * (65 << 20)))
    assert isinstance(large, Failed)
    assert large.kind == "too_long"


@pytest.mark.parametrize(
    "known",
    [
        {"language": "perl"},
        {"after": ("x",)},
        {"inputs": ("a",), "harness": "x"},
        {"inputs": ("a",), "stdin": "b"},
        {"cell": True, "harness": "x"},
        {"language": "c++", "cell": True},
    ],
)
def test_parts_that_exclude_each_other_are_refused(known):
    with pytest.raises(InvalidInput):
        Execute("x", **known)


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "", "a\0b"])
def test_files_stay_in_the_working_directory(path):
    with pytest.raises(InvalidInput):
        SourceFile(path, "x")


@pytest.mark.parametrize("limits", [{"seconds": 0}, {"seconds": float("inf")}, {"processes": -1}])
def test_limits_are_finite(limits):
    with pytest.raises(InvalidInput):
        ExecutionLimits(**limits)


def test_cancelling_ends_what_runs():
    async def cut():
        engine = Sandbox(concurrency=2)
        await engine.serve([Execute("pass")])
        task = asyncio.create_task(engine.serve([Execute("import time; time.sleep(60)")] * 2))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (reply,) = await engine.serve([Execute("print(2)")])
        await engine.close()
        await engine.close()
        (closed,) = await engine.serve([Execute("print(2)")])
        return reply, closed, time.monotonic() - began

    reply, closed, seconds = asyncio.run(cut())
    assert reply.value.run.stdout == "2\n"
    assert isinstance(closed, Failed)
    assert seconds < 3


def test_a_lost_server_is_started_again(sandbox):
    async def lose():
        (before,) = await sandbox.serve([Execute("print(1)")])
        server = sandbox._servers._held[False]
        server._process.kill()
        server._process.wait()
        (after,) = await sandbox.serve([Execute("print(2)")])
        return before, after

    before, after = asyncio.run(lose())
    assert (before.value.run.stdout, after.value.run.stdout) == ("1\n", "2\n")


def test_a_cold_sandbox_does_the_same():
    engine = Sandbox(warm=False)
    (reply,) = serve(engine, Execute("print(input())", stdin="x"))
    assert reply.value.run.stdout == "x\n"


def test_packages_may_be_lent(tmp_path):
    (tmp_path / "lent.py").write_text("value = 5")
    tmp_path.chmod(0o755)  # a sandbox started as root is nobody inside
    engine = Sandbox(packages=(str(tmp_path),))
    source = "import lent\nprint(lent.value, lent.__file__)\nopen('/packages/0/x', 'w')"
    (reply,) = serve(engine, Execute(source))
    asyncio.run(engine.close())
    assert reply.value.run.stdout == "5 /packages/0/lent.py\n"
    assert "Read-only" in reply.value.run.stderr or "Permission" in reply.value.run.stderr
    with pytest.raises(InvalidInput):
        Sandbox(packages=("/no/such/place",))
