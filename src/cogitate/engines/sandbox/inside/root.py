"""Builds the file system a sandbox sees and starts the fork server in it; runs once a server."""

from __future__ import annotations

import json
import os
from typing import Any

from . import syscalls

BOX = "/box"
"""The only writable place: a file system in memory, new for every run."""
_DEVICES = ("null", "zero", "full", "random", "urandom")

BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from inside.zygote import main; main(sys.argv[2])"
)


def main(told: str) -> None:
    """Launch by the host's plan, or tell the host why not."""
    plan: dict[str, Any] = json.loads(told)
    try:
        launch(plan)
    except OSError as error:
        os.write(plan["control"], f"{error.strerror or error}".encode())
        os._exit(1)


def launch(plan: dict[str, Any]) -> None:
    """Build the root, become nobody, and go on as the fork server."""
    plan["proc"] = os.open("/proc", os.O_PATH | os.O_DIRECTORY) if os.path.isdir("/proc") else -1
    user, group = os.geteuid(), os.getegid()
    if plan["walls"] == "namespaces":
        flags = syscalls.NEW_MOUNT | (0 if user == 0 else syscalls.NEW_USER)
        syscalls.unshare(flags)
        if user:
            write_maps(plan["proc"], user, group)
        build(plan)
    if user == 0 and plan["walls"] != "none":
        os.setgroups([])
        os.setresgid(plan["uid"], plan["uid"], plan["uid"])
        os.setresuid(plan["uid"], plan["uid"], plan["uid"])
    go_on(plan)


def go_on(plan: dict[str, Any]) -> None:
    """Replace this interpreter by the clean one inside."""
    for kept in (plan["control"], plan["host"], plan["proc"]):
        if kept >= 0:
            os.set_inheritable(kept, True)
    os.execve(plan["python"], arguments(plan), plan["environment"])


def arguments(plan: dict[str, Any]) -> list[str]:
    """The command line of the server; its hash seed is fixed so that a program does the same anywhere."""
    python = [plan["python"], "-s", "-P", "-S", "-B"]
    return [*python, "-c", BOOT, plan["engine"], json.dumps(plan)]


def write_maps(proc: int, user: int, group: int) -> None:
    """Call this user 1000 in the namespace just made."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"1000 {user} 1"),
        ("gid_map", f"1000 {group} 1"),
    ):
        opened = os.open(f"self/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
        try:
            os.write(opened, text.encode())
        finally:
            os.close(opened)


def build(plan: dict[str, Any]) -> None:
    """A root of bind mounts, all read-only, in which nothing else of the host can be named."""
    small = "mode=755,size=1m,nr_inodes=4k"
    syscalls.mount("", "/", "", syscalls.RECURSIVE | syscalls.PRIVATE)
    syscalls.mount("tmpfs", "/tmp", "tmpfs", syscalls.NO_SUID | syscalls.NO_DEVICES, small)
    os.mkdir("/tmp/new")
    os.mkdir("/tmp/old")
    syscalls.pivot_root("/tmp", "/tmp/old")
    os.chdir("/")
    syscalls.mount("tmpfs", "/new", "tmpfs", syscalls.NO_SUID | syscalls.NO_DEVICES, small)
    for source, target in plan["binds"]:
        _bind(f"/old{source}", f"/new{target}")
    for name in _DEVICES:
        if os.path.exists(f"/old/dev/{name}"):
            _bind(f"/old/dev/{name}", f"/new/dev/{name}")
    for target, path in [*plan["links"], (f"{BOX}/shm", "/dev/shm"), (f"{BOX}/tmp", "/tmp")]:
        os.makedirs(os.path.dirname(f"/new{path}"), exist_ok=True)
        os.symlink(target, f"/new{path}")
    os.makedirs(f"/new{BOX}")
    os.chdir("/new")
    syscalls.pivot_root(".", ".")
    syscalls.unmount(".")
    os.chdir("/")
    syscalls.mount("", "/", "", syscalls.REMOUNT | syscalls.BIND | syscalls.READ_ONLY | 6)


def _bind(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o444))
    syscalls.mount(source, target, "", syscalls.BIND | syscalls.RECURSIVE)
    if not target.startswith("/new/dev/"):
        syscalls.make_read_only(target)
