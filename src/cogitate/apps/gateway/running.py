"""Running the application with uvicorn: accounts opened, slow clients cut, a shutdown that loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from cogitate.core.errors import InvalidInput

from .accounts import Accounts
from .server import Gateway

if TYPE_CHECKING:
    import socket

    import uvicorn

    from cogitate.assembly import Configuration
    from cogitate.assembly.models import Source

_REST_S: Final = 10
"""Beyond the configured grace: for ending what did not end by itself."""


def accounts_url(configuration: Configuration) -> str:
    """The database that the configuration names; empty where no key is needed.

    Raises:
        InvalidInput: where the variable that holds it is not set.
    """
    settings = configuration.gateway
    if not settings.accounts_variable:
        return settings.accounts
    url = configuration.key(settings.accounts_variable)
    if not url:
        raise InvalidInput(
            f"the environment variable {settings.accounts_variable}, which gateway.accounts_variable names, "
            "is not set; put the address of the database into it"
        )
    return url


def accounts_of(configuration: Configuration) -> Accounts:
    """The accounts that the configuration names; no key is needed where it names none.

    Raises:
        InvalidInput: where the database cannot be used, or its variable is not set.
    """
    settings, url = configuration.gateway, accounts_url(configuration)
    if not url:
        return Accounts.none(slots=settings.in_flight, waiting=settings.queue)
    return Accounts.open(
        url,
        slots=settings.in_flight,
        waiting=settings.queue,
        prompt_days=settings.retention_days if settings.store_prompts else None,
    )


def server(gateway: Gateway, *, host: str | None = None, port: int | None = None) -> uvicorn.Server:
    """A server for the application, not started yet.

    Args:
        gateway: the application.
        host: by default the configured one.
        port: by default the configured one; 0 takes a free one.
    """
    import uvicorn

    settings = gateway.settings
    configured = uvicorn.Config(
        gateway,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
        http=_protocol(settings.body_seconds),
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(settings.grace_s) + _REST_S,
    )

    class Draining(uvicorn.Server):
        """Ends requests cleanly before connections are cut."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            drained = asyncio.ensure_future(gateway.drain())
            await super().shutdown(sockets)
            await drained

    return Draining(configured)


def serve(configuration: Configuration, models: Mapping[str, Source] | None = None) -> None:
    """Serve until a signal says stop.

    Raises:
        InvalidInput: where the address cannot be used.
    """
    gateway = Gateway(configuration, accounts=accounts_of(configuration), models=models)
    running = server(gateway)
    if threading.current_thread() is threading.main_thread():
        # uvicorn raises the signal again once it has shut down, which is a success here.
        signal.signal(signal.SIGTERM, _ended)
    with contextlib.suppress(KeyboardInterrupt):
        try:
            running.run()
        except SystemExit as end:
            if end.code:
                at = f"{running.config.host}:{running.config.port}"
                raise InvalidInput(
                    f"the address {at} cannot be used; is another server there? Name another --port"
                ) from None


def _ended(number: int, frame: Any) -> None:
    """A signal that was heard already."""


def _protocol(head_s: float) -> type[asyncio.Protocol]:
    """HTTP that gives up on clients who take too long for the head of a request."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Spoken
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol as Spoken

    spoken: Any = Spoken

    class Patient(spoken):
        """Mutable: one connection."""

        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            outer: Any = super()
            outer.connection_made(transport)
            self._timer = self.loop.call_later(head_s, self._late)

        def connection_lost(self, exc: Exception | None) -> None:
            self._calm()
            outer: Any = super()
            outer.connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            outer: Any = super()
            outer.data_received(data)
            cycle = self.cycle
            if cycle is not None and not cycle.response_complete:
                self._calm()
            elif self._timer is None:
                self._timer = self.loop.call_later(head_s, self._late)

        def _calm(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _late(self) -> None:
            self._timer = None
            self.transport.close()

    return Patient
