"""Which layers of isolation hold on this machine, found out by trying them."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .server import Server


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer and whether it holds."""

    name: str
    holds: bool
    detail: str
    needed: bool = True
    """Whether nothing is run without it."""
    remedy: str = ""
    """What to do where it does not hold."""


# What a program finds when it tries; it runs inside, so it must be a text.
_TRIAL = """
import ctypes, json, os, resource, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def refused(call):
    try:
        call()
    except OSError as error:
        return error.errno in (1, 13, 30, 38)
    return False
def number(result):
    return ctypes.get_errno() if result < 0 else 0
def opens(path):
    open(path, "w").close()
sets = (ctypes.c_uint32 * 6)()
got = libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), sets)
print(json.dumps({
    "pid": os.getpid(), "name": os.uname().nodename, "proc": os.path.exists("/proc/self"),
    "uid": os.getuid(), "environment": sorted(os.environ),
    "filter": libc.prctl(21, 0, 0, 0, 0) == 2 and number(libc.ptrace(0, 0, 0, 0)) == 1,
    "network": refused(lambda: socket.socket()), "namespaces": number(libc.unshare(0x10000000)) == 1,
    "root": refused(lambda: opens("/box/../outside")), "dump": libc.prctl(3, 0, 0, 0, 0) == 0,
    "privileges": libc.prctl(39, 0, 0, 0, 0) == 1 and got == 0 and not any(sets),
    "limits": [resource.getrlimit(which)[1] for which in (
        resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU)],
}))
"""


_ONE_WILL_DO = "one kind of walls is enough; this one needs user namespaces and a readable Python"
_LANDLOCK = "optional: a kernel from 5.13 on that has Landlock switched on"
_KERNEL = "use a kernel with this feature, or the Docker backend"


def works() -> bool:
    """Whether programs are isolated here."""
    return all(layer.holds for layer in probe() if layer.needed)


def probe(walls: str = "auto") -> tuple[Layer, ...]:
    """Try every layer; takes about a tenth of a second, changes nothing, and never raises."""
    if sys.platform != "linux":
        return (
            Layer(
                "kernel",
                False,
                f"the sandbox needs Linux; this is {sys.platform}",
                remedy="use Linux, or the Docker backend",
            ),
        )
    import asyncio
    import threading

    found: list[Layer] = []
    # A thread of its own, because the caller may be inside an event loop.
    thread = threading.Thread(target=lambda: found.extend(asyncio.run(_try(walls))))
    thread.start()
    thread.join()
    return tuple(found)


async def _try(walls: str) -> list[Layer]:
    from .plans import choices

    outer: list[Layer] = []
    tried: tuple[str, dict[str, Any]] | None = None
    for name in choices(walls):
        why, seen = await _seen(name)
        outer.append(Layer(f"walls by {name}", seen is not None, why, False, _ONE_WILL_DO))
        tried = tried or (None if seen is None else (name, seen))
    if tried is None:
        return [
            Layer(
                "namespaces",
                False,
                "; ".join(f"{layer.name}: {layer.detail}" for layer in outer),
                remedy="allow user namespaces, or run as root with the right to make namespaces",
            ),
            *outer,
            *_around(),
        ]
    return [*_inner(tried[1]), *outer, *_around()]


async def _seen(walls: str) -> tuple[str, dict[str, Any] | None]:
    """What a program inside sees, or why there is none."""
    from cogitate.core.errors import Failed

    from .plans import Plan
    from .server import Server, Unavailable

    server = Server(Plan(walls))
    try:
        await server.start()
        return "a program was run in them", await _program(server)
    except (Unavailable, OSError, Failed, ValueError) as error:
        return str(error), None
    finally:
        server.close()


async def _program(server: Server) -> dict[str, Any]:
    from dataclasses import asdict

    from cogitate.core.execute import ExecutionLimits

    from .server import converse

    channel = server.open({})
    try:
        message: dict[str, Any] = {
            "mode": "run",
            "role": "program",
            "source": _TRIAL,
            "stdin": "",
            "files": [],
            "limits": asdict(ExecutionLimits()),
        }
        told = await converse(channel, message, 10.0)
        return json.loads(told["stdout"])
    finally:
        channel.close()


def _inner(seen: dict[str, Any]) -> list[Layer]:
    alone = seen["pid"] == 2 and seen["name"] == "sandbox" and not seen["proc"]
    limits = all(limit > 0 for limit in seen["limits"])
    found = [
        ("namespaces", alone, "user, pid, network, mount, ipc and uts, new for every run"),
        ("read-only root", seen["root"], "only an interpreter and its libraries are seen"),
        ("system call filter", seen["filter"] and seen["namespaces"], "seccomp"),
        ("no network", seen["network"], "no interface, and no socket but local ones"),
        ("no privileges", seen["privileges"], "no capabilities, and none to be gained"),
        ("unreadable memory", seen["dump"], "no process may look into another"),
        ("limits", limits, "address space, processes, file size, CPU time"),
    ]
    return [Layer(name, holds, detail, remedy=_KERNEL) for name, holds, detail in found]


def _around() -> list[Layer]:
    """What helps where it is there, and what else can be run."""
    from .inside import landlock
    from .plans import compiler

    try:
        speaks = landlock.version()
    except OSError:
        speaks = 0
    found = compiler()
    return [
        Layer("landlock", bool(speaks), f"version {speaks}" if speaks else "", False, _LANDLOCK),
        Layer(
            "c++", bool(found), "g++" if found else "", needed=False, remedy="optional: install g++"
        ),
        Layer(
            "docker",
            shutil.which("docker") is not None,
            "another backend; its command is there, not tried",
            needed=False,
            remedy="optional: install Docker",
        ),
    ]
