"""The live view on this machine alone, behind a random key in the address: for `cogitate view --browser`."""

from __future__ import annotations

import contextlib
import hmac
import secrets
import socket
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cogitate.core.errors import InvalidInput

from .hub import Hub
from .routes import ROOT, routes
from .shelf import Shelf

if TYPE_CHECKING:
    import uvicorn

_HOST = "127.0.0.1"
_WAIT_S = 10.0
_LEAVE_S = 2


class Loopback:
    """A server on the loopback interface; whoever has its address may look.

    The key stands behind the `#`, which browsers send to nobody: the page takes it from there, shows it
    once and forgets it. Mutable: it holds a socket.
    """

    def __init__(
        self, hub: Hub, journals: Path | Shelf | None = None, *, key: str = "", port: int = 0
    ) -> None:
        """Take a port.

        Args:
            hub: what runs and ran.
            journals: what may be opened.
            key: who has it may look; a random one by default.
            port: a free one by default.

        Raises:
            InvalidInput: where the port is taken.
        """
        self.hub, self.key = hub, key or secrets.token_urlsafe(24)
        try:
            self._socket = socket.create_server((_HOST, port))
        except OSError as error:
            raise InvalidInput(
                f"port {port} of {_HOST} was asked for, but it cannot be had: {error.strerror}; "
                "name another one, or none"
            ) from None
        self.port: int = self._socket.getsockname()[1]
        self._names = frozenset({f"{_HOST}:{self.port}", f"localhost:{self.port}"})
        refused: Callable[..., Any] = _refused
        self.app = Starlette(
            routes=routes(hub, journals, self._allow), exception_handlers={HTTPException: refused}
        )

    def url(self, **shown: str) -> str:
        """The address, key included; `j` names a journal to open, `r` a request."""
        return f"http://{_HOST}:{self.port}{ROOT}#{urlencode({'key': self.key, **shown})}"

    async def _allow(self, request: Request) -> str | None:
        # Another page may have its own name lead to this machine; the name gives it away.
        if request.headers.get("host", "") not in self._names:
            raise HTTPException(403, "this server answers to its own name only")
        said = request.headers.get("authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(said, f"Bearer {self.key}".encode()):
            raise HTTPException(401, "the key is part of the address that was printed")
        return None

    def _server(self) -> uvicorn.Server:
        import uvicorn

        settings = uvicorn.Config(
            self.app,
            log_level="error",
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=_LEAVE_S,
        )
        return uvicorn.Server(settings)

    def serve(self, started: Callable[[], None]) -> None:
        """Serve until an interrupt; `started` is called when it listens."""
        timer = threading.Timer(0.2, started)
        timer.daemon = True
        timer.start()  # the socket listens already: who comes early waits
        try:
            with contextlib.suppress(KeyboardInterrupt):
                self._server().run(sockets=[self._socket])
        finally:
            timer.cancel()
            self.close()

    @contextlib.contextmanager
    def beside(self) -> Generator[str]:
        """Serve in a thread beside this one; yields the address."""
        server = self._server()
        thread = threading.Thread(target=server.run, args=([self._socket],), daemon=True)
        thread.start()
        try:
            end = time.monotonic() + _WAIT_S
            while not server.started and thread.is_alive() and time.monotonic() < end:
                time.sleep(0.01)
            yield self.url()
        finally:
            self.hub.close()
            server.should_exit = True
            thread.join(_WAIT_S)
            self.close()

    def close(self) -> None:
        """Let the feeds end and give the port back."""
        self.hub.close()
        self._socket.close()


async def _refused(request: Request, error: HTTPException) -> Response:
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    return JSONResponse({"error": error.detail}, error.status_code, headers)
