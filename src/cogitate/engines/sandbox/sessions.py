"""States of cells by the digest of their history; a state that is not held is made again by running it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from typing import Any

from cogitate.core.errors import Failed
from cogitate.core.execute import Execute, Execution, Run

from .pool import Servers
from .server import converse

_STATES_A_BOX = 8
"""States that share a box at most; the next one starts another."""


@dataclass(eq=False)
class Session:
    """One box with its warden, and the states in it."""

    # Mutable on purpose: it holds a process.
    link: Any
    """The socket to its warden."""
    turn: tuple[Any, asyncio.Lock] = field(
        default_factory=lambda: (asyncio.get_running_loop(), asyncio.Lock())
    )
    """One cell at a time; an event loop may end and another ask on."""
    made: int = 0
    """States made so far, the first interpreter aside; a state's number."""
    live: int = 0
    dropped: list[int] = field(default_factory=list[int])
    """States given up; the warden hears of them with the next cell."""
    closed: bool = False

    def close(self) -> None:
        """End every state."""
        self.closed = True
        self.link.close()


@dataclass(frozen=True)
class _State:
    session: Session
    number: int


class Sessions:
    """At most so many states, the least recently used given up first."""

    # Mutable on purpose: a cache of processes.

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._held: OrderedDict[str, _State] = OrderedDict()

    async def run(self, request: Execute, pool: Servers) -> Execution:
        """Run a cell on the state that its history names."""
        for _ in range(
            2
        ):  # the second time from the beginning: a state on the way may have been lost
            names = _names(request)
            known = max((i for i, name in enumerate(names[:-1]) if self._get(name)), default=-1)
            state = self._get(names[known]) if known >= 0 else None
            if state is None:
                known, state = 0, await self._start(names[0], request, pool)
            cells = [*request.after, request.source][known:]
            run = None
            for name, source in zip(names[known + 1 :], cells, strict=True):
                told, state = await self._cell(state, name, source, request)
                if told is None:
                    self._forget(state.session)
                    break
                run = told
            else:
                if run is not None:
                    return Execution((run,), rebuilt=len(cells) - 1)
        raise Failed("a cell's state was lost twice while it was rebuilt", "crashed")

    def close(self) -> None:
        """End all states."""
        for state in self._held.values():
            state.session.close()
        self._held.clear()

    def _get(self, name: str) -> _State | None:
        state = self._held.get(name)
        if state is None:
            return None
        if state.session.closed:
            self._forget(state.session)
            return None
        self._held.move_to_end(name)
        return state

    def _forget(self, session: Session) -> None:
        session.close()
        for name in [n for n, state in self._held.items() if state.session is session]:
            del self._held[name]

    async def _start(self, name: str, request: Execute, pool: Servers) -> _State:
        """A new interpreter in a box of its own."""
        link = await pool.channel()
        message = {
            "mode": "cells",
            "role": "program",
            "stdin": "",
            "states": _STATES_A_BOX,
            "files": [[file.path, file.text] for file in request.files],
            "limits": asdict(request.limits),
        }
        session = Session(link)
        try:
            from .inside import frames

            await asyncio.get_running_loop().sock_sendall(link, frames.packed(message))
        except OSError as error:
            session.close()
            raise Failed("a session could not be started", "crashed", transient=True) from error
        return self._keep(name, _State(session, 0))

    async def _cell(
        self, state: _State, name: str, source: str, request: Execute
    ) -> tuple[Run | None, _State]:
        """Run one cell on a state; no run where the state was lost."""
        from .engine import run_of

        session = state.session
        seconds = request.limits.seconds
        if session.turn[0] is not asyncio.get_running_loop():
            session.turn = (asyncio.get_running_loop(), asyncio.Lock())
        async with session.turn[1]:
            if session.closed:
                return None, state
            number = session.made + 1
            asked = {
                "parent": state.number,
                "state": number,
                "source": source,
                "seconds": seconds,
                "drop": [one for one in session.dropped if one != state.number],
            }
            session.dropped.clear()
            try:
                told = await converse(session.link, asked, seconds)
            except Failed:
                return None, state
            except BaseException:
                self._forget(session)
                raise
            if told.get("lost"):
                return None, state
            if told.get("held"):
                session.made = number
                return run_of(told), self._keep(name, _State(session, number))
        return run_of(told), state  # killed: what comes after it continues the state before it

    def _keep(self, name: str, state: _State) -> _State:
        old = self._held.pop(name, None)
        self._held[name] = state
        state.session.live += 1
        if old is not None:
            self._drop(old)
        while len(self._held) > self._at_most:
            self._drop(self._held.popitem(last=False)[1])
        if state.session.live > _STATES_A_BOX:
            first = next(n for n, s in self._held.items() if s.session is state.session)
            self._drop(self._held.pop(first))
        return state

    def _drop(self, state: _State) -> None:
        session = state.session
        session.live -= 1
        if session.live <= 0:
            session.close()
        else:
            session.dropped.append(state.number)


def _names(request: Execute) -> list[str]:
    """Digests of the history before, between and after its cells."""
    digest = hashlib.blake2b(repr((request.files, request.limits)).encode(), digest_size=16)
    names = [digest.hexdigest()]
    for source in (*request.after, request.source):
        digest.update(hashlib.blake2b(source.encode("utf-8", "surrogatepass")).digest())
        names.append(digest.hexdigest())
    return names
