"""Models opened once and shared by all requests: a bound on calls in flight, and a clock of their work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cogitate.core.errors import Failed
from cogitate.core.protocols import Emit, Engine, Limits, silent
from cogitate.core.requests import Reply, Request
from cogitate.core.usage import Usage

if TYPE_CHECKING:
    from cogitate.assembly import Configuration, Opened
    from cogitate.assembly.models import Source


@dataclass(slots=True)
class Meter:
    """How long a request waited for others. Mutable: a clock."""

    start: float
    busy: float = 0.0
    open: int = 0
    since: float = 0.0

    @classmethod
    def started(cls) -> Meter:
        """A clock that runs from now."""
        return cls(time.perf_counter())

    def enter(self) -> None:
        """A call goes out."""
        if not self.open:
            self.since = time.perf_counter()
        self.open += 1

    def leave(self) -> None:
        """A call is back."""
        self.open -= 1
        if not self.open:
            self.busy += time.perf_counter() - self.since

    @property
    def own_ms(self) -> float:
        """Milliseconds so far in which no call was out: what we ourselves took."""
        now = time.perf_counter()
        busy = self.busy + (now - self.since if self.open else 0.0)
        return max(0.0, (now - self.start - busy) * 1000)


METER: ContextVar[Meter | None] = ContextVar("cogitate_gateway_meter", default=None)
"""The clock of the request on whose behalf a call is made."""


class Shared:
    """An engine for many runs at once: its limit on calls in flight holds for all of them together."""

    def __init__(self, engine: Engine, most: int, *, metered: bool = True) -> None:
        self._engine, self._metered = engine, metered
        self._permits = asyncio.Semaphore(most)
        self._limits = engine.limits

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)  # what engines that stand in for others say beside

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        return self._engine.serves

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def fingerprint(self) -> str:
        return self._engine.fingerprint

    def ceiling(self, request: Request[Any]) -> Usage:
        """As the engine says."""
        return self._engine.ceiling(request)

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> Sequence[Reply[Any] | Failed]:
        """As the engine does, once there is a permit."""
        meter = METER.get() if self._metered else None
        async with self._permits:
            if meter is None:
                return await self._engine.serve(batch, emit)
            meter.enter()
            try:
                return await self._engine.serve(batch, emit)
            finally:
                meter.leave()

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()


class Store:
    """Opens each model at its first use and keeps it open. Lives in one event loop."""

    def __init__(
        self, configuration: Configuration, own: Mapping[str, Source] | None = None
    ) -> None:
        """Nothing is opened yet.

        Args:
            configuration: names models, and says how many calls one server bears.
            own: engines and models of the caller's by the names that clients use; the caller closes engines.
        """
        self._configuration, self._own = configuration, dict(own or {})
        self._stack = AsyncExitStack()
        self._held: dict[str, asyncio.Task[Opened]] = {}

    async def opened(self, model: str) -> Opened:
        """The engines of a model, ready to serve.

        Raises:
            CogitateError: where it cannot be opened; the next request tries again.
        """
        task = self._held.get(model)
        if task is None:
            task = self._held[model] = asyncio.ensure_future(self._open(model))
            task.add_done_callback(lambda done: self._forget(model, done))
        # A client that leaves must not end the opening that others wait for.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Close what was opened."""
        for task in self._held.values():
            task.cancel()
        await asyncio.wait(self._held.values()) if self._held else None
        self._held.clear()
        await self._stack.aclose()

    def _forget(self, model: str, task: asyncio.Task[Opened]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._held.pop(model, None)

    async def _open(self, model: str) -> Opened:
        from cogitate.assembly import named, opened

        source = self._own.get(model)
        models = named(model if source is None else {"policy": source}, self._configuration)
        found = await self._stack.enter_async_context(opened(models, self._configuration))
        return self._shared(found)

    def _shared(self, found: Opened) -> Opened:
        from cogitate.assembly import Opened
        from cogitate.drive import Router

        router = found.router
        services = {id(e) for e in router.services}
        shared = {
            id(e): Shared(e, self._most(e), metered=id(e) not in services) for e in router.engines
        }
        roles = {r: [shared[id(e)] for e in held] for r, held in router.roles.items()}
        unkept = [shared[id(e)] for e in router.engines if not router.keeps(e)]
        outer = Router(roles, [shared[id(e)] for e in router.services], unkept=unkept)
        return Opened(outer, found.models)

    def _most(self, engine: Engine) -> int:
        """Calls in flight: of a server as many as configured, of an engine in this process what it bears."""
        from cogitate.drive import Endpoints
        from cogitate.engines.openai import OpenAICompatible

        if isinstance(engine, OpenAICompatible | Endpoints):
            return self._configuration.gateway.upstream_concurrency
        return max(1, engine.limits.concurrency)
