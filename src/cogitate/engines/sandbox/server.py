"""A fork server from the host's side: started, asked, ended; it leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from typing import Any

from cogitate.core.errors import Failed

from .inside import frames
from .plans import Plan, launch_command

START_S = 20.0
_GRACE_S = 5.0
"""How long after its own deadline a run may still be on its way back."""


class Unavailable(Exception):
    """No sandbox can be started here; the text says why."""


class Server:
    """A warm interpreter in which every run is a fork in namespaces of its own."""

    # Mutable on purpose: it holds a process.

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._box: tempfile.TemporaryDirectory[str] | None = None

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start it.

        Raises:
            Unavailable: when it cannot be started here.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._control = ours
        errors = os.memfd_create("errors")
        try:
            with theirs:
                self._process = self._launched(theirs.fileno(), errors)
            async with asyncio.timeout(START_S):
                said = await asyncio.get_running_loop().sock_recv(ours, 4096)
            if said != b"ready":
                raise Unavailable(said.decode(errors="replace") or _last_line(errors))
        except TimeoutError:
            self.close()
            raise Unavailable(f"it did not start within {START_S:g} s") from None
        except OSError as error:
            self.close()
            raise Unavailable(error.strerror or str(error)) from error
        except BaseException:
            self.close()
            raise
        finally:
            os.close(errors)

    def _launched(self, control: int, errors: int) -> subprocess.Popen[bytes]:
        if self.plan.walls == "none":
            self._box = tempfile.TemporaryDirectory(prefix="cogitate-")
        host = os.pidfd_open(os.getpid())
        plan = self.plan.told(control, host, self._box.name if self._box else "")
        passed, nobody = [control, host], False
        if self.plan.walls == "bubblewrap":
            plan["proc"] = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            passed.append(plan["proc"])
            nobody = os.geteuid() == 0
        try:
            return subprocess.Popen(
                launch_command(plan),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=passed,
                env={"PATH": os.defpath},
                cwd="/",
                start_new_session=True,
                user=self.plan.uid if nobody else None,
                group=self.plan.uid if nobody else None,
                extra_groups=[] if nobody else None,
            )
        finally:
            for one in passed[1:]:
                os.close(one)

    def open(self, extra: Mapping[str, int]) -> socket.socket:
        """Fork a warden; returns the socket on which it takes one request.

        Raises:
            Unavailable: when the server is gone.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        names = ["run", *extra]
        try:
            if self._control is None:
                raise Unavailable("the sandbox is closed")
            held = [theirs.fileno(), *extra.values()]
            socket.send_fds(self._control, [json.dumps(names).encode()], held)
        except OSError as error:
            ours.close()
            raise Unavailable(f"the sandbox's server is gone ({error.strerror})") from error
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    def close(self) -> None:
        """End it and all that runs in it; may be called twice."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.wait()
        if self._box is not None:
            self._box.cleanup()
            self._box = None


async def converse(channel: socket.socket, message: dict[str, Any], seconds: float) -> Any:
    """Send a request to a warden and take its reply; closing the channel ends the run.

    Raises:
        Failed: when the warden is gone without a reply.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds + _GRACE_S):
            await loop.sock_sendall(channel, frames.packed(message))
            size = int.from_bytes(await _exactly(loop, channel, frames.HEADER), "big")
            if size > frames.LARGEST:
                raise Failed("the sandbox sent a reply that is too long", "malformed")
            return json.loads(await _exactly(loop, channel, size))
    except (OSError, TimeoutError) as error:
        raise Failed("a run ended without a word: its sandbox was killed", "crashed") from error


async def _exactly(loop: asyncio.AbstractEventLoop, channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = await loop.sock_recv(channel, min(size - len(parts), 1 << 20))
        if not part:
            raise ConnectionResetError
        parts += part
    return bytes(parts)


def _last_line(errors: int) -> str:
    os.lseek(errors, 0, os.SEEK_SET)
    lines = os.read(errors, 65536).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "its process ended at once"
