"""What hostile programs try; each test names the layer that stops it.

They run under limits on this process's own children as well, so that a hole in the sandbox cannot take
the machine with it.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from pathlib import Path

import pytest
from sandbox_traces import processes_of

from cogitate.core.execute import Execute, ExecutionLimits
from cogitate.engines.sandbox import Sandbox, probe

pytestmark = pytest.mark.usefixtures("isolated", "guard")

LIMITS = ExecutionLimits(seconds=5, cpu_seconds=3, memory_bytes=256 << 20, tmp_bytes=16 << 20)
SHORT = ExecutionLimits(seconds=1, memory_bytes=256 << 20, tmp_bytes=16 << 20, output_bytes=10_000)


@pytest.fixture(scope="module")
def guard():
    """Protect the host: nothing started from here may write a large file or dump its memory."""
    held = {which: resource.getrlimit(which) for which in (resource.RLIMIT_FSIZE,)}
    for which, (_, most) in held.items():
        resource.setrlimit(which, (1 << 30, most))
    yield
    for which, pair in held.items():
        resource.setrlimit(which, pair)


@pytest.fixture
def tries(ask):
    """Run lines in the sandbox with what attempts need; what it printed, a line a word."""
    setting = """
import ctypes, errno, os, signal, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def attempt(call, *args):
    try:
        value = call(*args)
    except Exception as error:
        code = getattr(error, "errno", None)
        return print(errno.errorcode.get(code, type(error).__name__) if code else type(error).__name__)
    if isinstance(value, int) and value < 0:
        return print(errno.errorcode[ctypes.get_errno()])
    print("DONE")
"""

    def one(source: str, limits: ExecutionLimits = LIMITS, **known):
        ran = ask(setting + source, limits=limits, **known).run
        assert ran.finished, ran
        return ran.stdout.split()

    return one


def settled(before: set[str], patience_s: float = 3.0) -> set[str]:
    """Processes that are still there beyond those before."""
    end = time.monotonic() + patience_s
    while (extra := processes_of(os.getpid()) - before) and time.monotonic() < end:
        time.sleep(0.02)
    return extra


# ----------------------------------------------------------------------- the network


def test_no_socket_to_anywhere(tries):
    """Layer: system call filter; below it the empty network namespace."""
    families = "AF_INET AF_INET6 AF_NETLINK AF_PACKET AF_VSOCK AF_ALG"
    said = tries(
        f"for name in {families!r}.split():\n"
        "    attempt(socket.socket, getattr(socket, name), socket.SOCK_DGRAM)"
    )
    assert said == ["EPERM"] * 6


def test_no_local_server_of_the_host_is_reached(tries, tmp_path):
    """Layers: network namespace for abstract names, private root for paths."""
    import socket

    path, name = str(tmp_path / "server"), f"\0cogitate-test-{os.getpid()}"
    servers = []
    for address in (path, name):
        server = socket.socket(socket.AF_UNIX)
        server.bind(address)
        server.listen()
        servers.append(server)
    said = tries(
        f"for address in ({path!r}, {name!r}):\n"
        "    attempt(socket.socket(socket.AF_UNIX).connect, address)"
    )
    for server in servers:
        server.close()
    assert said[0] == "ENOENT"
    assert said[1] in ("ECONNREFUSED", "EPERM")


# ------------------------------------------------------------------- more than its share


def test_a_fork_bomb_stops_at_the_limit(ask, tries):
    """Layer: RLIMIT_NPROC in a user namespace of the run's own; then the death of its first process."""
    assert ask("pass").passed  # the server is up and will stay
    before = processes_of(os.getpid())
    said = tries(
        "n = 0\ntry:\n"
        "    while True:\n"
        "        if os.fork() == 0:\n            time.sleep(60)\n"
        "        n += 1\n"
        "except OSError as error:\n    print(n, errno.errorcode[error.errno])"
    )
    assert 16 <= int(said[0]) <= 32
    assert said[1] == "EAGAIN"
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    ran = ask(bomb, limits=SHORT).run
    assert ran.ended == "timeout", ran
    assert settled(before) == set()


def test_memory_of_one_process_is_limited(ask):
    """Layer: RLIMIT_AS."""
    ran = ask("held = bytearray(1 << 30)", limits=LIMITS).run
    assert (ran.ended, ran.status) == ("memory", 1)


def test_memory_of_many_processes_is_limited(ask):
    """Layer: the watcher outside, which adds up what the run holds."""
    source = (
        "import os, time\n"
        "for _ in range(8):\n"
        "    if os.fork() == 0:\n"
        "        held = bytearray(b'x') * (100 << 20)\n"
        "        time.sleep(60)\n"
        "time.sleep(60)"
    )
    began = time.monotonic()
    assert ask(source, limits=LIMITS).run.ended == "memory"
    assert time.monotonic() - began < 4


def test_memory_that_belongs_to_no_process_cannot_be_had(tries):
    """Layer: system call filter."""
    said = tries(
        "attempt(os.memfd_create, 'x')\n"
        "attempt(libc.shmget, 0, 1 << 20, 0o1600)\n"
        "attempt(libc.msgget, 0, 0o1600)\n"
        "attempt(libc.semget, 0, 1, 0o1600)"
    )
    assert said == ["EPERM"] * 4


def test_the_disk_is_neither_filled_nor_seen(tries):
    """Layers: the size cap of the private file system, RLIMIT_FSIZE, the cap on its files."""
    said = tries(
        "def fill():\n"
        "    for i in range(100):\n"
        "        with open(f'f{i}', 'wb') as file:\n"
        "            file.write(b'x' * (4 << 20))\n"
        "def many():\n"
        "    for i in range(100000):\n"
        "        os.close(os.open(f'g{i}', os.O_CREAT))\n"
        "attempt(fill)\n"
        "[os.remove(name) for name in os.listdir('.')]\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "attempt(os.truncate, os.open('big', os.O_CREAT | os.O_RDWR), 1 << 40)\n"
        "attempt(many)"
    )
    assert said == ["ENOSPC", "EFBIG", "ENOSPC"]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_endless_output_is_cut(ask, stream):
    """Layer: the warden's cap."""
    ran = ask(f"import sys\nwhile True:\n    sys.{stream}.write('é' * 999)", limits=SHORT).run
    assert (ran.ended, ran.truncated) == ("output", (stream,))
    assert len(getattr(ran, stream).encode()) <= 10_000 + 2


def test_time_is_limited_awake_and_asleep(ask):
    """Layers: the warden's clock; RLIMIT_CPU."""
    limits = ExecutionLimits(seconds=10, cpu_seconds=1)
    for source, given in (("import time; time.sleep(60)", SHORT), ("while True: pass", limits)):
        began = time.monotonic()
        assert ask(source, limits=given).run.ended == "timeout"
        assert time.monotonic() - began < 5


def test_a_sleeper_that_hears_no_signal_is_killed(ask):
    """Layer: SIGKILL to all of the pid namespace."""
    source = (
        "import signal, time\n"
        "for one in set(signal.Signals) - {9, 19}:\n"
        "    try:\n        signal.signal(one, signal.SIG_IGN)\n    except OSError:\n        pass\n"
        "time.sleep(60)"
    )
    assert ask(source, limits=SHORT).run.ended == "timeout"


# ---------------------------------------------------------------------- the host unseen


def test_the_environment_says_nothing(ask, monkeypatch):
    """Layer: a clean interpreter started with constants."""
    monkeypatch.setenv("COGITATE_TEST_KEY", "sk-secret")
    ran = ask("import os; print(sorted(os.environ)); print(os.environ)").run
    assert "secret" not in ran.stdout
    names = eval(ran.stdout.splitlines()[0])
    known = {"HOME", "LANG", "LD_LIBRARY_PATH", "MALLOC_ARENA_MAX", "PATH", "PWD"}
    assert set(names) <= known | {"PYTHONHASHSEED", "PYTHONUTF8"}


def test_there_is_no_proc_and_no_file_of_the_host(tries, tmp_path):
    """Layer: the private root."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    said = tries(
        f"for path in ('/proc', '/sys', '/root', '/home', '/etc/shadow', '/proc/1/environ', {str(secret)!r}):\n"
        "    attempt(os.stat, path)\n"
        "print(os.stat('/').st_ino > 0, os.getppid(), os.uname().nodename)"
    )
    assert said == ["ENOENT"] * 7 + ["True", "1", "sandbox"]


def test_nothing_but_the_box_can_be_written(tries):
    """Layers: read-only mounts; Landlock."""
    said = tries(
        "for path in ('/x', '/etc/passwd', '/engine/inside/x', '/dev/x', sys.executable):\n"
        "    attempt(open, path, 'wb')\n"
        "attempt(os.chmod, '/engine/inside/warden.py', 0o777)\n"
        "attempt(os.link, '/etc/passwd', '/box/passwd')\n"
        "attempt(os.mknod, 'device', 0o20666, os.makedev(1, 1))"
    )
    assert all(word in ("EROFS", "EACCES", "EPERM", "EXDEV") for word in said), said


def test_devices_can_be_read_but_not_fed(tries):
    """Layer: Landlock, where the kernel has it; elsewhere the device takes it and mixes it in."""
    layers = {layer.name: layer for layer in probe()}
    if not layers["landlock"].holds:
        pytest.skip("this kernel has no Landlock")
    said = tries("attempt(open, '/dev/urandom', 'wb')\nattempt(open, '/dev/urandom', 'rb')")
    assert said == ["EACCES", "DONE"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look at the namespaces of others")
def test_every_run_has_namespaces_of_its_own():
    """Layer: namespaces; no two runs share any, and none is the host's."""
    kinds = ("user", "pid", "net", "mnt", "ipc", "uts")

    def seen(pid: str) -> list[str]:
        return [str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in kinds]

    async def look() -> list[list[str]]:
        engine = Sandbox(concurrency=2)
        await engine.serve([Execute("pass")])
        server = processes_of(os.getpid())
        task = asyncio.create_task(engine.serve([Execute("import time; time.sleep(1)")] * 2))
        await asyncio.sleep(0.3)
        # A run's watcher shares all but the pid namespace, which is for its children.
        found = [seen(pid) for pid in processes_of(os.getpid()) - server]
        await task
        await engine.close()
        return found

    inside = asyncio.run(look())
    outside = set(seen("self"))
    for place, kind in enumerate(kinds):
        names = {row[place] for row in inside} - ({outside_pid()} if kind == "pid" else set())
        assert len(names) == 2, kind
        assert not names & outside, kind


def outside_pid() -> str:
    return str(Path("/proc/self/ns/pid").readlink())


def test_errors_name_no_path_of_the_host(ask):
    """Layer: the private root; the interpreter started inside it."""
    ran = ask("import json, sys\nprint(json.__file__, sys.path, sys.prefix)\njson.loads('{')").run
    assert str(Path.home()) not in ran.stdout + ran.stderr
    assert str(Path(__file__).parent) not in ran.stdout + ran.stderr


# --------------------------------------------------------------------- other processes


def test_signals_reach_nobody_outside(ask, sandbox):
    """Layer: pid namespace; its first process hears no signal for which it has no handler."""
    source = (
        "import os, signal\n"
        "for one in set(signal.Signals):\n"
        "    for pid in (1, os.getppid()):\n"
        "        os.kill(pid, one)\n"
        f"try:\n    os.kill({os.getpid()}, 9)\nexcept ProcessLookupError:\n    print('nobody')"
    )
    ran = ask(source).run
    assert (ran.stdout, ran.finished) == ("nobody\n", True)
    everyone = "import os\ntry: os.kill(-1, 9)\nexcept ProcessLookupError: print('nobody')"
    assert ask(everyone).run.stdout == "nobody\n"
    assert ask("print(1)").run.stdout == "1\n"


def test_no_process_reads_or_steers_another(tries):
    """Layers: system call filter; unreadable memory; no /proc."""
    said = tries(
        "child = os.fork() or time.sleep(9)\n"
        "attempt(libc.ptrace, 16, 1, 0, 0)\n"
        "attempt(libc.ptrace, 16, child, 0, 0)\n"
        "attempt(libc.process_vm_readv, 1, None, 0, None, 0, 0)\n"
        "attempt(libc.process_vm_writev, 1, None, 0, None, 0, 0)\n"
        "attempt(libc.syscall, 438, os.pidfd_open(1), 0, 0)\n"
        "attempt(libc.prctl, 4, 1, 0, 0, 0)\n"
        "attempt(libc.ioctl, 0, 0x5412, b'x')"
    )
    assert said == ["EPERM"] * 7


def test_keyrings_are_closed(tries):
    """Layer: system call filter."""
    import platform

    numbers = {"x86_64": (248, 249, 250), "aarch64": (217, 218, 219)}[platform.machine()]
    said = tries(
        f"for number in {numbers}:\n    attempt(libc.syscall, number, b'user', b'a', b'b', 1, -3)"
    )
    assert said == ["EPERM"] * 3


def test_no_namespace_is_entered_and_none_made(tries):
    """Layer: system call filter; clone3, whose flags it cannot read, is answered as unknown."""
    said = tries(
        "for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x2000000):\n"
        "    attempt(libc.unshare, flag)\n"
        "attempt(libc.setns, os.pidfd_open(1), 0x20000)\n"
        "attempt(libc.mount, b'x', b'/box', b'tmpfs', 0, b'')\n"
        "attempt(libc.umount2, b'/box', 2)\n"
        "attempt(os.chroot, '/box')\n"
        "attempt(libc.syscall, 435, 0, 0)\n"
        "attempt(libc.syscall, 442, -100, b'/', 0, 0, 0)\n"
        "attempt(libc.syscall, 425, 8, 0)\n"
        "attempt(libc.syscall, 999)"
    )
    assert said == ["EPERM"] * 9 + ["ENOSYS"] + ["EPERM"] * 2 + ["ENOSYS"]


def test_no_rights_are_had_or_gained(tries):
    """Layers: no capabilities, locked; no_new_privs; an unused user outside."""
    said = tries(
        "attempt(os.setuid, 0)\n"
        "attempt(os.setgroups, [0])\n"
        "attempt(os.chown, '/box/work', 0, 0)\n"
        "attempt(os.setpriority, os.PRIO_PROCESS, 0, -5)\n"
        "print(os.getuid(), libc.prctl(39, 0, 0, 0, 0), libc.prctl(24, 21, 0, 0, 0))"
    )
    assert said[0] in ("EPERM", "EINVAL")
    assert said[1:4] == ["EPERM", "EINVAL", "EACCES"] or set(said[1:4]) <= {
        "EPERM",
        "EINVAL",
        "EACCES",
    }
    assert said[4:] == ["1000", "1", "-1"]


def test_grandchildren_do_not_survive(ask):
    """Layer: the pid namespace ends with its first process."""
    assert ask("pass").passed
    before = processes_of(os.getpid())
    source = (
        "import os, time\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork() == 0:\n"
        "            os.closerange(0, 64)\n"
        "            time.sleep(60)\n"
        "        os._exit(0)\n"
        "print('left')"
    )
    began = time.monotonic()
    assert ask(source).run.stdout == "left\n"
    assert time.monotonic() - began < 3
    assert settled(before) == set()


def test_a_run_leaves_nothing_to_the_next(ask):
    """Layer: new namespaces, a new file system and a new fork for every run."""
    first = (
        "import builtins, json, os, socket, sys\n"
        "open('/box/work/left', 'w').close(); open('/box/tmp/left', 'w').close()\n"
        "builtins.print = json.loads = sys.exit = None\n"
        "os.environ['LEFT'] = 'x'; os.nice(5)\n"
        "server = socket.socket(socket.AF_UNIX); "
    )
    second = (
        "import os, json, sys\n"
        "print(os.listdir('/box/work'), os.listdir('/box/tmp'), 'LEFT' in os.environ)\n"
        "print(json.loads('1'), os.nice(0))"
    )
    assert ask(first).run.finished
    assert ask(second).run.stdout == "[] [] False\n1 0\n"


# -------------------------------------------------------------------- tricks with files


def test_links_out_of_the_box_lead_nowhere(ask):
    """Layer: the private root; the host follows no link that a run made."""
    source = (
        "import os, zipfile, tarfile, io\n"
        "os.symlink('/etc/passwd', 'a.out'); os.symlink('/', 'root')\n"
        "print(open('a.out').read().count('\\n'), os.path.exists('root/proc/self'))\n"
        "with zipfile.ZipFile('x.zip', 'w') as made: made.writestr('../../../../etc/evil', 'x')\n"
        "zipfile.ZipFile('x.zip').extractall('.')\n"
        "print(os.path.exists('/etc/evil'))"
    )
    assert ask(source).run.stdout.split() == ["2", "False", "False"]


def test_a_zip_bomb_meets_the_limits(ask):
    """Layers: the size cap of the private file system; RLIMIT_FSIZE."""
    source = (
        "import zipfile\n"
        "with zipfile.ZipFile('x.zip', 'w', zipfile.ZIP_DEFLATED) as made:\n"
        "    with made.open('bomb', 'w') as file:\n"
        "        for _ in range(100): file.write(b'0' * (1 << 20))\n"
        "zipfile.ZipFile('x.zip').extractall('.')"
    )
    ran = ask(source, limits=LIMITS).run
    assert ran.ended == "error"
    assert "No space left" in ran.stderr or "File too large" in ran.stderr


def test_a_pickle_runs_only_inside(tries):
    """Layer: nothing of a run is unpickled outside; inside it has no more rights than the program."""
    said = tries(
        "import pickle\n"
        "class Evil:\n    def __reduce__(self): return (os.system, ('touch /evil',))\n"
        "pickle.loads(pickle.dumps(Evil()))\n"
        "print(os.path.exists('/evil'))"
    )
    assert said == ["False"]


# ------------------------------------------------------------------------ fake verdicts

TESTS = "assert program.double(2) == 4\nassert program.double(5) == 10\nprint('all passed')"


@pytest.mark.parametrize(
    "cheat",
    [
        "import sys; print('all passed'); sys.exit(0)",
        "import os; os.write(1, b'all passed'); os._exit(0)",
        "import os\ndef double(x): os._exit(0)",
        "import sys\ndef double(x): sys.exit(0)",
        "class Yes:\n    def __eq__(self, other): return True\ndef double(x): return Yes()",
        "class Yes(int):\n    def __eq__(self, other): return True\ndef double(x): return Yes(3)",
        "import builtins\nbuiltins.AssertionError = Warning\ndef double(x): return 0",
        "import os, time\ndef double(x):\n    os.kill(1, 9); os.kill(os.getppid(), 9); return 0",
        "import os, json\nfor fd in range(3, 64):\n"
        "    try: os.write(fd, json.dumps({'secret': '', 'finished': True}).encode() + b'\\n')\n"
        "    except OSError: pass",
        "import os\nfor fd in range(3, 64):\n"
        "    try: os.write(fd, b'\\0\\0\\0\\0\\0\\0\\0\\x0b{\"value\": 4}' * 50)\n"
        "    except OSError: pass",
        "import os\ndef double(x):\n    raise SystemExit(0)",
        "import os, signal\ndef double(x): os.kill(os.getpid(), signal.SIGKILL)",
        "import time\ndef double(x): time.sleep(60)",
        "def double(x): return [[]] * 10 + [x]",
        "def double(x):\n    made = []\n    for _ in range(5000): made = [made]\n    return made",
        "import gc\ndef double(x):\n"
        "    for one in gc.get_objects():\n"
        "        if isinstance(one, dict) and 'expected' in one: return one['expected']\n"
        "    return 0",
    ],
)
def test_a_verdict_cannot_be_faked(ask, cheat):
    """Layer: the tests run in walls of their own; only plain values cross."""
    done = ask(cheat, harness=TESTS, limits=SHORT)
    assert not done.passed
    assert not done.harness.finished
    assert "all passed" not in done.harness.stdout


def test_the_honest_program_passes(ask):
    assert ask("def double(x): return 2 * x", harness=TESTS).passed


def test_tests_can_neither_be_read_nor_changed(ask):
    """Layer: the harness is in no memory and no file that the program can name."""
    source = (
        "import gc, os, sys\n"
        "def double(x):\n"
        "    seen = str([o for o in gc.get_objects() if isinstance(o, str)]) + str(sys.modules)\n"
        "    seen += str([os.listdir(p) for p in ('/', '/box', '/box/work', '/box/tmp')])\n"
        "    print('needle' + '-in-tests' in seen)\n"
        "    for path in ('/box/work', '/box/tmp'):\n"
        "        for name in ('sitecustomize.py', 'random.py', 'program.py', 'math.py'):\n"
        "            open(f'{path}/{name}', 'w').write('raise SystemExit(0)')\n"
        "    return 0"
    )
    done = ask(source, harness="import random, math\nword = 'needle-in-tests'\n" + TESTS)
    assert done.run.stdout == "False\n"
    assert not done.passed
    assert done.harness.ended == "error"


def test_an_early_exit_is_no_finish(ask):
    """Layer: the end sentinel."""
    told = (
        "import os\n"
        'os.write(3, b\'{"secret": "00", "finished": true}\\n{"finished": true}\\n\')\n'
        "os._exit(0)"
    )
    for leave in ("import sys; sys.exit(0)", "import os; os._exit(0)", "raise SystemExit", told):
        ran = ask(f"{leave}\nassert False").run
        assert (ran.status, ran.ended, ran.finished) == (0, "ok", False)
        assert not ask(leave).passed
