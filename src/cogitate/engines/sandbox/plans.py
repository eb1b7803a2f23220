"""What a sandbox sees of this machine: an interpreter, its libraries, and nothing else by name."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INSIDE = Path(__file__).parent
_LIBRARIES = ("/lib", "/lib64", "/lib32", "/usr/lib", "/usr/lib64")
_SHARED = ("/etc/ld.so.cache", "/usr/share/zoneinfo")
_PEOPLE = ("passwd", "group")
_FOR_COMPILERS = ("/bin", "/usr")
FIRST_UNUSED_USER = 1_879_048_192
"""Above every range that login, containers and systemd hand out."""


@dataclass(frozen=True)
class Plan:
    """How a fork server is started."""

    walls: str
    """`namespaces`, `bubblewrap`, or `none` where the user allowed that."""
    compiler: bool = False
    """Whether a C++ compiler is to be seen."""
    packages: tuple[str, ...] = ()
    """Directories of importable packages."""
    uid: int = field(default_factory=lambda: FIRST_UNUSED_USER + os.getpid())

    def told(self, control: int, host: int, box: str = "") -> dict[str, Any]:
        """The plan as the launcher reads it.

        The server listens on the descriptor `control` and ends with the process that `host` is of; `box` is
        the directory of runs without walls.
        """
        shown = self.walls != "none"
        prefix, python = interpreter()
        home = "/usr" if prefix == "/usr" else "/python"
        work = "/box/work" if shown else box
        environment = {
            "PATH": f"{home}/bin:/usr/bin" if self.compiler else f"{home}/bin",
            "HOME": work,
            "LANG": "C.UTF-8",
            "PYTHONUTF8": "1",
            "PYTHONHASHSEED": "0",
            "MALLOC_ARENA_MAX": "2",  # each more takes 64 MiB of the address space
            "LD_LIBRARY_PATH": f"{home}/lib" if shown else f"{prefix}/lib",
        }
        return {
            "walls": self.walls,
            "control": control,
            "host": host,
            "uid": self.uid,
            "box": box,
            "binds": self._binds(prefix, home) if shown else [],
            "links": _links() if shown else [],
            "python": f"{home}/{python}" if shown else f"{prefix}/{python}",
            "engine": "/engine" if shown else str(INSIDE),
            "paths": [f"/packages/{i}" for i in range(len(self.packages))]
            if shown
            else list(self.packages),
            "environment": environment,
        }

    def _binds(self, prefix: str, home: str) -> list[tuple[str, str]]:
        binds = [(str(INSIDE / "inside"), "/engine/inside")]
        binds += [(str(INSIDE / "inside/etc" / name), f"/etc/{name}") for name in _PEOPLE]
        if home == "/usr":
            binds.append((os.path.realpath(sys.executable), f"/usr/{interpreter()[1]}"))
        else:
            binds.append((prefix, home))
        places = [*_LIBRARIES, *_SHARED, *(_FOR_COMPILERS if self.compiler else ())]
        binds += [
            (os.path.realpath(place), place)
            for place in places
            if Path(place).exists() and not Path(place).is_symlink()
        ]
        binds += [(os.path.realpath(p), f"/packages/{i}") for i, p in enumerate(self.packages)]
        return binds if not self.compiler else _without_covered(binds)


def _without_covered(binds: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out what lies below another bind of itself."""
    wide = [target for source, target in binds if source == target]
    return [
        (source, target)
        for source, target in binds
        if not any(target.startswith(f"{other}/") and source == target for other in wide)
    ]


def _links() -> list[tuple[str, str]]:
    """Links such as /lib to usr/lib, as this system has them."""
    return [
        (str(Path(place).readlink()), place)
        for place in (*_LIBRARIES[:3], "/bin")
        if Path(place).is_symlink()
    ]


def interpreter() -> tuple[str, str]:
    """Where Python is installed, and its program below that."""
    prefix = os.path.realpath(sys.base_prefix)
    base: str = getattr(sys, "_base_executable", None) or sys.executable
    program = os.path.realpath(base)
    if program.startswith(f"{prefix}/"):
        return prefix, os.path.relpath(program, prefix)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return prefix, f"bin/python{version}"


def choices(walls: str) -> list[str]:
    """The kinds of walls to try, best first."""
    if walls != "auto":
        return [walls]
    return ["bubblewrap", "namespaces"] if shutil.which("bwrap") else ["namespaces"]


def compiler() -> str:
    """The path of g++, or nothing."""
    found = shutil.which("g++", path="/usr/bin:/usr/local/bin")
    return found or ""


def launch_command(plan: dict[str, Any]) -> list[str]:
    """The command line of the launcher: ours, or bubblewrap in front of the server itself."""
    if plan["walls"] == "bubblewrap":
        return _bubblewrap(plan)
    boot = (
        "import sys; sys.path.insert(0, sys.argv[1]); from inside.root import main; "
        "main(sys.argv[2])"
    )
    return [sys.executable, "-I", "-S", "-B", "-c", boot, str(INSIDE), json.dumps(plan)]


def _bubblewrap(plan: dict[str, Any]) -> list[str]:
    """The same root by bubblewrap; the server keeps the rights in its namespace that its forks need."""
    from .inside.root import arguments

    command = ["bwrap", "--unshare-all", "--uid", "1000", "--gid", "1000", "--cap-add", "ALL"]
    command += ["--new-session", "--clearenv"]
    for source, target in plan["binds"]:
        command += ["--ro-bind", source, target]
    for target, path in plan["links"]:
        command += ["--symlink", target, path]
    for name in ("null", "zero", "full", "random", "urandom"):
        command += ["--dev-bind-try", f"/dev/{name}", f"/dev/{name}"]
    command += ["--symlink", "/box/shm", "/dev/shm", "--symlink", "/box/tmp", "/tmp"]
    command += ["--dir", "/box", "--remount-ro", "/"]
    for name, value in plan["environment"].items():
        command += ["--setenv", name, value]
    return [*command, "--", *arguments(plan)]
