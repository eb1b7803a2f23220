"""The warm servers of one sandbox, one a kind; started when first needed and again when one was lost."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Coroutine, Mapping
from typing import Any

from cogitate.core.errors import Failed

from .plans import Plan, choices
from .server import Server, Unavailable, converse

_TRIES = 3


class Servers:
    """Starts, keeps and ends servers."""

    # Mutable on purpose: it holds processes.

    def __init__(
        self,
        walls: str,
        packages: tuple[str, ...],
        allow_unisolated_execution: bool,
        *,
        warm: bool = True,
    ) -> None:
        self._walls, self._packages, self._warm = walls, packages, warm
        self._unisolated = allow_unisolated_execution
        self._held: dict[bool, Server] = {}
        self._locks: dict[bool, tuple[Any, asyncio.Lock]] = {}
        self._closed = False

    async def channel(self) -> socket.socket:
        """Fork a warden and leave the conversation with it to the caller.

        Raises:
            Failed: when no isolation holds here, or the server is lost.
        """
        return (await self._open(compiler=False, held={}))[1]

    async def begin(
        self,
        message: dict[str, Any],
        seconds: float,
        *,
        compiler: bool = False,
        held: Mapping[str, int] | None = None,
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Fork for one request; what is returned sends it and waits for its outcome.

        The descriptors in `held` are handed over when this returns.

        Raises:
            Failed: when no isolation holds here, or the server is lost.
        """
        server, channel = await self._open(compiler=compiler, held=held or {})
        return self._finish(server, channel, message, seconds)

    async def _open(
        self, *, compiler: bool, held: Mapping[str, int]
    ) -> tuple[Server, socket.socket]:
        for _ in range(_TRIES):
            server = await self.server(compiler=compiler)
            try:
                return server, server.open(held)
            except Unavailable:
                server.close()  # it died since it was last asked: try another
        raise Failed("the sandbox's server dies again and again", "crashed", transient=True)

    async def _finish(
        self, server: Server, channel: socket.socket, message: dict[str, Any], seconds: float
    ) -> dict[str, Any]:
        try:
            return await converse(channel, message, seconds)
        finally:
            channel.close()
            if not self._warm:
                server.close()

    async def server(self, *, compiler: bool = False) -> Server:
        """A server that is up.

        Raises:
            Failed: when no isolation holds here.
        """
        if not self._warm:
            return await self._start(compiler)
        loop = asyncio.get_running_loop()
        known, lock = self._locks.get(compiler, (None, None))
        if lock is None or known is not loop:
            lock = asyncio.Lock()
            self._locks[compiler] = (loop, lock)
        async with lock:
            server = self._held.get(compiler)
            if server is None or not server.alive:
                if server is not None:
                    server.close()
                server = self._held[compiler] = await self._start(compiler)
            return server

    def close(self) -> None:
        """End them all; may be called twice."""
        self._closed = True
        while self._held:
            self._held.popitem()[1].close()

    async def _start(self, compiler: bool) -> Server:
        if self._closed:
            raise Failed("the sandbox is closed; make another one", "unserved")
        if sys.platform != "linux":
            raise Failed(
                f"programs are run on Linux alone, and this is {sys.platform}; see the Docker backend",
                "refused",
            )
        reasons: list[str] = []
        for walls in [*choices(self._walls), *(["none"] if self._unisolated else [])]:
            server = Server(Plan(walls, compiler, packages=self._packages))
            try:
                await server.start()
            except Unavailable as error:
                reasons.append(f"{walls}: {error}")
            else:
                return server
        raise Failed(
            f"this machine cannot isolate a program ({'; '.join(reasons)}), so none is run; see "
            "`cogitate doctor`, or pass allow_unisolated_execution=True to run it with all your rights",
            "refused",
        )
