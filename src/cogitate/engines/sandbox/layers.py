"""Which layers of isolation hold on this machine, found out by trying them."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer and whether it holds."""

    name: str
    holds: bool
    detail: str
    needed: bool = True
    """Whether nothing is run without it."""


def works() -> bool:
    """Whether programs are isolated here."""
    return all(layer.holds for layer in probe() if layer.needed)


def probe() -> tuple[Layer, ...]:
    """Try every layer; takes about a tenth of a second, changes nothing, and never raises."""
    if sys.platform != "linux":
        return (Layer("kernel", False, f"the sandbox needs Linux; this is {sys.platform}"),)
    import asyncio
    import threading

    found: list[Layer] = []
    thread = threading.Thread(target=lambda: found.extend(asyncio.run(_try())))
    thread.start()
    thread.join()
    return tuple(found)


async def _try() -> list[Layer]:
    from .plans import Plan
    from .server import Server, Unavailable

    server = Server(Plan("namespaces"))
    try:
        await server.start()
    except (Unavailable, OSError) as error:
        return [Layer("namespaces", False, str(error))]
    finally:
        server.close()
    return [Layer("namespaces", True, "user, pid, network, mount, ipc and uts")]
