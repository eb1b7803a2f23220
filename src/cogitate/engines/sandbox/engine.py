"""The engine that runs programs: isolated in layers, warm, one fork and one set of walls a run."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.execute import Execute, Execution, ExecutionLimits, Run
from cogitate.core.protocols import Emit, Limits, silent
from cogitate.core.requests import Reply, Request
from cogitate.core.usage import ZERO, Usage

if TYPE_CHECKING:
    from .images import Images
    from .pool import Servers
    from .sessions import Sessions

VERSION = 1
"""Raised when the same program may come to another outcome; part of the fingerprint."""
Walls = Literal["auto", "namespaces", "bubblewrap"]
_LARGEST_REQUEST = 64 << 20
_AFTER_HARNESS_S = 1.0
"""How long a program may take to end once its harness has."""


class Sandbox:
    r"""Serves `Execute`: every run in new namespaces, under a filter, with no rights and little of anything.

    A server holds a warm interpreter and forks for each run; a run cannot reach another, the server or
    this process. Where the machine cannot isolate, it refuses.

    >>> import asyncio
    >>> from cogitate.engines.sandbox import probe
    >>> async def ask():
    ...     engine = Sandbox()
    ...     (reply,) = await engine.serve([Execute("print(int(input()) + 1)", inputs=("1", "41"))])
    ...     await engine.close()
    ...     return [run.stdout for run in reply.value.runs]
    >>> isolated = all(layer.holds for layer in probe() if layer.needed)
    >>> asyncio.run(ask()) if isolated else ["2\n", "42\n"]
    ['2\n', '42\n']
    """

    # Mutable on purpose: it holds processes.

    def __init__(
        self,
        *,
        walls: Walls = "auto",
        concurrency: int | None = None,
        warm: bool = True,
        sessions: int = 16,
        packages: tuple[str, ...] = (),
        allow_unisolated_execution: bool = False,
    ) -> None:
        """Configure the sandbox; nothing starts before the first request.

        Args:
            walls: who builds the outer walls; `auto`: bubblewrap where installed, else our own launcher.
            concurrency: runs at once; by default as many as there are cores.
            warm: keep servers; otherwise each run starts its own and ends it.
            sessions: states of cells kept warm; more are rebuilt when asked for.
            packages: directories of packages that programs may import, seen read-only; started as root, the
                sandbox is nobody, so others must be able to read them.
            allow_unisolated_execution: run programs even where nothing keeps them from reading, changing
                and sending whatever this user can.
        """
        if sessions < 1 or (concurrency is not None and concurrency < 1):
            raise InvalidInput(
                f"{concurrency} runs at once and {sessions} sessions were asked for; at least 1 each"
            )
        for path in packages:
            if not Path(path).is_dir():
                raise InvalidInput(f"the package directory {path!r} does not exist")
        self._concurrency = concurrency or os.cpu_count() or 1
        self._options = (walls, packages, allow_unisolated_execution)
        self._warm, self._sessions_at_most = warm, sessions
        self._servers: Servers | None = None
        self._sessions: Sessions | None = None
        self._images: Images | None = None
        self._places: tuple[Any, asyncio.Semaphore] | None = None
        self._closed = False

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """`Execute` alone."""
        return frozenset({Execute})

    @property
    def limits(self) -> Limits:
        """One program a core."""
        return Limits(concurrency=self._concurrency)

    @property
    def fingerprint(self) -> str:
        """Versions of the sandbox and of the interpreter it runs."""
        return f"sandbox:{VERSION}:python-{sys.version_info[0]}.{sys.version_info[1]}"

    def ceiling(self, request: Request[Any]) -> Usage:
        """Time alone, by the limits of its runs; no model is asked."""
        if not isinstance(request, Execute):
            return ZERO
        runs = len(request.inputs) or (2 if request.harness else 1 + len(request.after))
        return Usage(seconds=runs * request.limits.seconds)

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> list[Reply[Any] | Failed]:
        """Run each program; cancelling kills what runs and frees what it held."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(request)) for request in batch]
        return [task.result() for task in tasks]

    async def close(self) -> None:
        """End every server and session; may be called twice."""
        self._closed = True
        if self._sessions is not None:
            self._sessions.close()
        if self._servers is not None:
            self._servers.close()

    async def _one(self, request: Request[Any]) -> Reply[Any] | Failed:
        if not isinstance(request, Execute):
            return Failed(f"the sandbox cannot serve {type(request).__name__}", "unsupported")
        if self._closed:
            return Failed("the sandbox is closed; make another one", "unserved")
        held = sum(map(len, (request.source, request.stdin, request.harness, *request.inputs)))
        if held + sum(len(file.text) for file in request.files) > _LARGEST_REQUEST:
            return Failed("the program, its input and its files are too large to run", "too_long")
        began = time.monotonic()
        try:
            value = await self._execution(request)
        except Failed as failure:
            return failure
        seconds = time.monotonic() - began
        return Reply(value, Usage(seconds=seconds), seconds=seconds, engine=self.fingerprint)

    async def _execution(self, request: Execute) -> Execution:
        if request.cell:
            return await self._cell(request)
        if request.harness:
            return await self._tested(request)
        if request.language != "python":
            return await self._compiled(request)
        inputs = request.inputs or (request.stdin,)
        message = _message(request.source, request)
        return Execution(await self._each(inputs, message, request.limits, {}))

    async def _each(
        self,
        inputs: tuple[str, ...],
        message: dict[str, Any],
        limits: ExecutionLimits,
        held: Mapping[str, int],
    ) -> tuple[Run, ...]:
        """One run an input, as many at once as there are places."""
        if len(inputs) == 1:
            return (await self._run(message | {"stdin": inputs[0]}, limits, held),)
        with _first_failure():
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._run(message | {"stdin": stdin}, limits, held))
                    for stdin in inputs
                ]
        return tuple(task.result() for task in tasks)

    async def _run(
        self, message: dict[str, Any], limits: ExecutionLimits, held: Mapping[str, int]
    ) -> Run:
        async with self._place():
            return run_of(await (await self._pool().begin(message, limits.seconds, held=held)))

    async def _tested(self, request: Execute) -> Execution:
        """The program and its harness, each in walls of its own, with one socket between them."""
        limits = request.limits
        ours, its = socket.socketpair()
        program = _message(request.source, request) | {"stdin": request.stdin}
        harness: dict[str, Any] = program | {
            "source": request.harness,
            "role": "harness",
            "stdin": "",
            "files": [],
        }
        pool = self._pool()
        async with self._place():
            try:
                runs = [
                    await pool.begin(message, limits.seconds, held={"link": end.fileno()})
                    for message, end in ((program, its), (harness, ours))
                ]
            finally:
                ours.close()
                its.close()
            below = asyncio.ensure_future(runs[0])
            try:
                verdict = run_of(await runs[1])
                await asyncio.wait({below}, timeout=_AFTER_HARNESS_S)
            finally:
                below.cancel()
                await asyncio.wait({below})
        gone = Run("", "", -9, "killed")
        lost = below.cancelled() or below.exception() is not None
        return Execution((gone if lost else run_of(below.result()),), verdict)

    async def _compiled(self, request: Execute) -> Execution:
        if self._images is None:
            from .images import Images

            self._images = Images()
        async with self._place():
            found = await self._images.of(request.source, self._pool())
        if isinstance(found, Run):
            return Execution((found,) * (len(request.inputs) or 1))
        from .images import as_descriptor

        message = _message("", request) | {"mode": "image"}
        image = as_descriptor(found)
        try:
            inputs = request.inputs or (request.stdin,)
            return Execution(await self._each(inputs, message, request.limits, {"image": image}))
        finally:
            os.close(image)

    async def _cell(self, request: Execute) -> Execution:
        if self._sessions is None:
            from .sessions import Sessions

            self._sessions = Sessions(self._sessions_at_most)
        async with self._place():
            return await self._sessions.run(request, self._pool())

    def _pool(self) -> Servers:
        if self._servers is None:
            from .pool import Servers

            self._servers = Servers(*self._options, warm=self._warm)
        return self._servers

    @asynccontextmanager
    async def _place(self) -> AsyncGenerator[None]:
        """Wait for a free core; a wall-clock limit means little on a crowded one."""
        loop = asyncio.get_running_loop()
        if self._places is None or self._places[0] is not loop:
            self._places = (loop, asyncio.Semaphore(self._concurrency))
        async with self._places[1]:
            yield


@contextmanager
def _first_failure() -> Generator[None]:
    """Let the failure of one of many runs stand for all."""
    try:
        yield
    except BaseExceptionGroup as group:
        failures = group.subgroup(Failed)
        if failures is None:
            raise
        while isinstance(failures, BaseExceptionGroup):
            failures = failures.exceptions[0]
        raise failures from None


def _message(source: str, request: Execute) -> dict[str, Any]:
    """A run as the warden reads it."""
    return {
        "mode": "run",
        "role": "program",
        "source": source,
        "files": [[file.path, file.text] for file in request.files],
        "limits": asdict(request.limits),
    }


def run_of(told: dict[str, Any]) -> Run:
    """A warden's outcome as a value."""
    return Run(
        told["stdout"],
        told["stderr"],
        told["status"],
        told["ended"],
        told["finished"],
        told["value"],
        tuple(told["truncated"]),
    )
