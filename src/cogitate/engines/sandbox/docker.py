"""Docker in place of our own walls: the same request, a container a run; labelled untried.

The command line is tested against a stand-in for the `docker` program. No Docker daemon was at hand where this was
written, so nobody has seen it isolate anything yet.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cogitate.core.errors import Failed
from cogitate.core.execute import Ending, Execute, Execution, ExecutionLimits, Run
from cogitate.core.protocols import Emit, Limits, silent
from cogitate.core.requests import Reply, Request
from cogitate.core.usage import ZERO, Usage

_START_S = 30.0
"""What a container may take to start and to go, beyond the run's own limit."""

# Reads what to do as one line of JSON, so that neither source nor input is ever part of a command line.
_BOOT = """
import json, os, sys, tempfile
told = json.loads(sys.stdin.buffer.readline())
for path, text in told["files"]:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)
given = tempfile.TemporaryFile()
given.write(told["stdin"].encode("utf-8", "surrogateescape"))
given.seek(0)
os.dup2(given.fileno(), 0)
sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
sys.argv[:] = ["program.py"]
space = vars(sys.modules["__main__"])
source, secret = told["source"], told["secret"]
for name in ("told", "given", "path", "text", "file", "tempfile", "json"):
    space.pop(name, None)
exec(compile(source, "<program>", "exec"), {"__name__": "__main__"})
sys.stdout.flush()
sys.stderr.write("\\n" + secret)
"""


@dataclass(eq=False)
class DockerSandbox:
    """Serves `Execute` by `docker run`: Python programs with their inputs and files, no harness and no cells.

    The end sentinel is the last line of standard error, taken off again; it is good against accidents only.
    """

    image: str = "python:3.12-slim"
    command: str = "docker"
    """The program that is called."""
    concurrency: int = 4

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """`Execute` alone."""
        return frozenset({Execute})

    @property
    def limits(self) -> Limits:
        """One container a request."""
        return Limits(concurrency=self.concurrency)

    @property
    def fingerprint(self) -> str:
        """The image."""
        return f"docker:{self.image}"

    def ceiling(self, request: Request[Any]) -> Usage:
        """Time alone, by the limits of its runs and the starts of its containers."""
        if not isinstance(request, Execute):
            return ZERO
        return Usage(seconds=(len(request.inputs) or 1) * (request.limits.seconds + _START_S))

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> list[Reply[Any] | Failed]:
        """Run each program; cancelling removes its container."""
        return [await self._one(request) for request in batch]

    async def close(self) -> None:
        """Nothing is held."""

    def arguments(self, limits: ExecutionLimits, name: str) -> list[str]:
        """The whole command line of a run."""
        cpu = max(1, int(-(-limits.cpu_seconds // 1)))
        return [
            *(self.command, "run", "--rm", "--interactive", "--name", name, "--pull", "never"),
            *("--network", "none", "--ipc", "private", "--hostname", "sandbox"),
            *("--read-only", "--user", "65534:65534", "--workdir", "/box", "--init"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--tmpfs", f"/box:rw,nosuid,nodev,noexec,mode=1777,size={limits.tmp_bytes}"),
            *("--memory", f"{limits.memory_bytes}", "--memory-swap", f"{limits.memory_bytes}"),
            *("--pids-limit", f"{limits.processes + 1}", "--log-driver", "none"),
            *("--ulimit", f"cpu={cpu}:{cpu + 1}", "--ulimit", "core=0"),
            *("--ulimit", f"fsize={limits.file_bytes}:{limits.file_bytes}"),
            *("--ulimit", f"nofile={limits.open_files}:{limits.open_files}"),
            *("--env", "HOME=/box", "--env", "TMPDIR=/box", "--env", "PYTHONHASHSEED=0"),
            *(self.image, "python", "-s", "-P", "-B", "-X", "utf8", "-c", _BOOT),
        ]

    async def _one(self, request: Request[Any]) -> Reply[Any] | Failed:
        if not isinstance(request, Execute):
            return Failed(f"the sandbox cannot serve {type(request).__name__}", "unsupported")
        if request.harness or request.cell or request.language != "python":
            return Failed(
                "Docker runs Python programs with their inputs, but no harness, no cell and no C++; use "
                "the sandbox of Linux for those",
                "unsupported",
            )
        began = time.monotonic()
        try:
            runs = [await self._run(request, given) for given in request.inputs or (request.stdin,)]
        except Failed as failure:
            return failure
        seconds = time.monotonic() - began
        return Reply(Execution(tuple(runs)), Usage(seconds=seconds), seconds, self.fingerprint)

    async def _run(self, request: Execute, stdin: str) -> Run:
        name, secret = f"cogitate-{secrets.token_hex(8)}", secrets.token_hex(16)
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *self.arguments(request.limits, name), stdin=pipe, stdout=pipe, stderr=pipe
            )
        except OSError as error:
            raise Failed(
                f"{self.command} cannot be started: {error.strerror}", "refused"
            ) from error
        told = {
            "source": request.source,
            "stdin": stdin,
            "secret": secret,
            "files": [[file.path, file.text] for file in request.files],
        }
        try:
            return await self._watch(process, json.dumps(told), secret, request.limits)
        finally:
            await self._remove(process, name)

    async def _watch(
        self, process: asyncio.subprocess.Process, told: str, secret: str, limits: ExecutionLimits
    ) -> Run:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        room = limits.output_bytes
        ended: Ending | None = None
        out, errors = bytearray(), bytearray()
        with suppress(ConnectionError):
            process.stdin.write(told.encode() + b"\n")
            await process.stdin.drain()
        process.stdin.close()
        try:
            async with asyncio.timeout(limits.seconds + _START_S), asyncio.TaskGroup() as group:
                group.create_task(_take(process.stdout, out, room))
                group.create_task(_take(process.stderr, errors, room + len(secret) + 1))
            status = await process.wait()
        except TimeoutError:
            ended, status = "timeout", -9
        except ExceptionGroup as group:
            if not group.subgroup(_TooMuch):
                raise
            ended, status = "output", -9
        if status == 125:
            raise Failed(f"Docker did not start the run: {_text(errors)[-300:]}", "refused")
        finished = errors.endswith(secret.encode())
        if finished:
            del errors[-len(secret) - 1 :]
        signal = 128 - status if status > 128 else 0  # as a shell tells it
        cut = [n for n, held in (("stdout", out), ("stderr", errors)) if len(held) > room]
        return Run(
            _text(out[:room]),
            _text(errors[:room]),
            signal or status,
            ended or ("ok" if status == 0 else "killed" if signal else "error"),
            finished and ended is None,
            truncated=tuple(cut),
        )

    async def _remove(self, process: asyncio.subprocess.Process, name: str) -> None:
        """Make sure that the container is gone, whatever happened."""
        if process.returncode is not None:
            return
        quiet = asyncio.subprocess.DEVNULL
        with suppress(ProcessLookupError):
            process.kill()
        remover = await asyncio.create_subprocess_exec(
            self.command, "rm", "--force", name, stdout=quiet, stderr=quiet
        )
        await asyncio.shield(remover.wait())
        await process.wait()


class _TooMuch(Exception):
    """A stream went beyond its cap."""


async def _take(stream: asyncio.StreamReader, into: bytearray, room: int) -> None:
    while piece := await stream.read(65536):
        into += piece
        if len(into) > room:
            raise _TooMuch


def _text(held: bytes | bytearray) -> str:
    return bytes(held).decode("utf-8", "replace")
