"""Finding what a process's sandboxes left behind."""

from __future__ import annotations

from pathlib import Path

from cogitate.engines.sandbox.plans import FIRST_UNUSED_USER


def processes_of(parent: int) -> set[str]:
    """Servers and wardens of the sandboxes that a process made, by number; they carry its mark."""
    mark = f'"uid": {FIRST_UNUSED_USER + parent},'.encode()
    found: set[str] = set()
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark in command.read_bytes():
                found.add(command.parent.name)
        except OSError:
            continue
    return found
