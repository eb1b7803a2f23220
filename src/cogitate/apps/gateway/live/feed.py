"""The stream of a request's changes: server-sent events that resume and never queue.

The number of an event is the version of the picture that it makes whole. A reader that comes back with
it gets what is newer; one that reads slowly gets larger changes and fewer of them.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Any, Final

from .hub import Hub, Look, Watched

PACE_S: Final = 0.1
"""Between two changes that are sent."""
BEAT_S: Final = 15.0
"""Between two signs of life where nothing changes."""
CHECK_S: Final = 30.0
"""Between two checks that the reader may still look."""
ROWS: Final = 2000
"""Rows of nodes in one event."""
AGAIN_MS: Final = 1000
"""When a reader comes back that was cut off."""


def resumed(last: str, watched: Watched) -> int:
    """The version that a reader has, by the number of the last event it got; 0 where that tells nothing."""
    epoch, _, version = last.partition(".")
    if epoch != watched.epoch or not version.isascii() or not version.isdigit():
        return 0
    return int(version[:12])


async def feed(
    hub: Hub,
    watched: Watched,
    since: int,
    allowed: Callable[[], Awaitable[bool]],
    *,
    pace_s: float = PACE_S,
) -> AsyncGenerator[bytes]:
    """The events of one reader, until the request has ended, the hub closes or the reader may look no more."""
    hub.readers += 1
    try:
        beat = checked = time.monotonic()
        first = True
        again = f"retry: {AGAIN_MS}\n".encode()
        while not hub.closed:
            now = time.monotonic()
            if now - checked >= CHECK_S:
                if not await allowed():
                    return
                checked = now
            final = not watched.running
            if first or final or watched.fresh or watched.version > since:
                look = await _look(watched, since)
                for event in _events(look, watched.epoch, whole=not since):
                    yield again + event
                    again = b""
                    await asyncio.sleep(0)
                since, first, beat = look.version, False, time.monotonic()
                if final:
                    yield b"event: end\ndata: {}\n\n"
                    return
            elif now - beat >= BEAT_S:
                yield b": still here\n\n"
                beat = now
            await asyncio.sleep(pace_s)
    finally:
        hub.readers -= 1


async def _look(watched: Watched, since: int) -> Look:
    """A look; a large one beside the loop, which has others to serve."""
    if since and watched.nodes < ROWS:
        return watched.look(since, ROWS)
    return await asyncio.to_thread(watched.look, since, ROWS)


def _events(look: Look, epoch: str, *, whole: bool) -> Iterator[bytes]:
    """One look, in as many events as its rows need; only the last one carries the number."""
    for i, part in enumerate(look.parts[:-1]):
        yield _event("part", {"whole": whole and i == 0, "nodes": part})
    last = look.parts[-1] if look.parts else []
    said = look.said | {"whole": whole and len(look.parts) < 2, "nodes": last}
    yield _event("look", said, f"{epoch}.{look.version}")


def _event(name: str, data: dict[str, Any], number: str = "") -> bytes:
    # ASCII only: a text may hold half a surrogate pair, which UTF-8 cannot say.
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {name}\ndata: {text}\n\n".encode("ascii")
