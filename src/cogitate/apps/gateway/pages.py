"""The addresses beside completions: what is served, how it goes, and the live view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from .accounts import Refusal
from .live import routes
from .refusals import Refused

if TYPE_CHECKING:
    from .server import Gateway

_FOR_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Pages:
    """Answers about the gateway itself, to whoever may know."""

    def __init__(self, gateway: Gateway) -> None:
        """Read everything from the gateway when it is asked."""
        self._gateway = gateway

    async def allow(self, request: Request) -> str | None:
        """Whose key the request brings; `None` where no key is needed.

        Raises:
            HTTPException: where it brings none that is good.
        """
        try:
            key = await self._gateway.accounts.identify(request.headers.get("authorization"))
        except Refusal as refusal:
            raise HTTPException(refusal.status, str(refusal), dict(refusal.headers)) from None
        return key.name if key.id else None

    async def health(self, request: Request) -> Response:
        """Whether requests are taken."""
        closing = self._gateway.closing
        return JSONResponse({"status": "closing" if closing else "ok"}, 503 if closing else 200)

    async def models(self, request: Request) -> Response:
        """What may be named."""
        await self.allow(request)
        listed = [_model(name) for name in self._gateway.choosing.listed()]
        return JSONResponse({"object": "list", "data": listed})

    async def model(self, request: Request) -> Response:
        """One of them."""
        await self.allow(request)
        found = self._gateway.choosing.answerer(request.path_params["name"], None, {}, "")
        return JSONResponse(_model(found.name))

    async def metrics(self, request: Request) -> Response:
        """The counters."""
        if not self._gateway.settings.open_metrics:
            await self.allow(request)
        waiting = self._gateway.accounts.turns.waiting
        return Response(self._gateway.metrics.text(waiting), media_type=_FOR_PROMETHEUS)


def pages_of(gateway: Gateway, lifespan: Any) -> Starlette:
    """The application of these pages.

    Args:
        gateway: what they tell about.
        lifespan: what is done when the server starts and ends.
    """
    pages, settings = Pages(gateway), gateway.settings
    found: list[BaseRoute] = [
        Route("/health", pages.health),
        Route("/metrics", pages.metrics),
        Route("/v1/models", pages.models),
        Route("/v1/models/{name:path}", pages.model),
        Route("/strategies/{spec:path}/v1/models", pages.models),
    ]
    if settings.live:
        found += routes(gateway.hub, gateway.journals, pages.allow)
    handlers: Mapping[Any, Any] = {HTTPException: _refuse, Refused: _refuse, 404: _refuse}
    return Starlette(routes=found, lifespan=lifespan, exception_handlers=handlers)


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        code = "not_found" if error.status_code == 404 else None
        refused = Refused(error.status_code, error.detail, code=code)
        return JSONResponse(refused.body(), refused.status, dict(error.headers or {}))
    if isinstance(error, Refused):
        return JSONResponse(error.body(), error.status)
    raise error


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "cogitate"}
