"""The live view's addresses: the page, its data, and the one door that both go through."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from cogitate.core.errors import CogitateError

from .feed import feed, resumed
from .hub import Hub, Watched
from .sessions import Sessions, same_origin
from .shelf import NoSuchJournal, Opened, Shelf

Allow = Callable[[Request], Awaitable[str | None]]
"""Whether a request may look, by its `Authorization` header; raises `HTTPException` 401 where it may not.

It returns the name of the key whose requests alone may be seen, or `None` for one that sees all of them and
the journals. It must cost nothing: it is called for every look.
"""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_READERS: Final = 64
_LOGIN: Final = 8192
ROOT: Final = "/ui"


async def anybody(request: Request) -> str | None:
    """Lets everybody see everything: for a server without keys."""
    return None


def routes(
    hub: Hub, journals: Path | Shelf | None = None, allow: Allow = anybody
) -> list[BaseRoute]:
    """The routes under `/ui`.

    Args:
        hub: what runs and ran.
        journals: the folder whose journals may be opened; none where there is none.
        allow: who may look.
    """
    shelf = Shelf(journals) if isinstance(journals, Path) else journals
    view = _View(hub, shelf, allow)
    said: dict[str, Callable[[Request], Awaitable[Response]]] = {
        "/api/requests": view.requests,
        "/api/requests/{id}/events": view.events,
        "/api/requests/{id}/nodes/{order:int}": view.node,
        "/api/requests/{id}/find": view.find,
        "/api/journals": view.journals,
        "/api/journal": view.journal,
        "/api/journal/nodes/{order:int}": view.recorded,
        "/api/journal/find": view.find_recorded,
    }
    return [
        Route(ROOT, _page),
        Route(f"{ROOT}/", _home),
        Route(f"{ROOT}/static/{{name}}", _static),
        Route(f"{ROOT}/login", view.login, methods=["POST"]),
        Route(f"{ROOT}/logout", view.logout, methods=["POST"]),
        *(Route(f"{ROOT}{path}", answer) for path, answer in said.items()),
    ]


@cache
def _assets() -> dict[str, bytes]:
    """The page's files by name: read once, so that no name of a request ever becomes a path."""
    folder = files(__package__ or "") / "static"
    return {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if any(file.name.endswith(ending) for ending in _TYPES)
    }


def _asset(name: str) -> Response:
    held = _assets().get(name)
    if held is None:
        return _json({"error": f"there is no file {name[:80]!r}"}, 404)
    kind = _TYPES[name[name.rindex(".") :]]
    return Response(held, headers=_HEADERS | {"Content-Type": kind})


async def _page(request: Request) -> Response:
    return _asset("index.html")


async def _home(request: Request) -> Response:
    return RedirectResponse(request.scope.get("root_path", "") + ROOT, 308, headers=_HEADERS)


async def _static(request: Request) -> Response:
    return _asset(request.path_params["name"])


def _json(value: Any, status: int = 200) -> Response:
    # ASCII only: a text may hold half a surrogate pair, which UTF-8 cannot say.
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Response(text, status, _HEADERS | {"Content-Type": "application/json"})


class _View:
    """The answers; what they share is the hub, the shelf, the sessions and the check."""

    def __init__(self, hub: Hub, shelf: Shelf | None, allow: Allow) -> None:
        self._hub, self._shelf, self._allow, self._sessions = hub, shelf, allow, Sessions()

    # ------------------------------------------------------------------------------- the door

    async def _sight(self, request: Request) -> str | None:
        """Whose requests may be seen: those of one key, or `None` for all.

        Raises:
            HTTPException: 401 where nothing may be.
        """
        if "authorization" not in request.headers:
            held = self._sessions.authorization(request)
            if held:
                return await self._allow(_with(request, held))
        return await self._allow(request)

    async def login(self, request: Request) -> Response:
        """Take a key, and give a cookie for it."""
        if not same_origin(request):
            return _json({"error": "only the page itself may log in"}, 403)
        if not request.headers.get("content-type", "").startswith("application/json"):
            return _json({"error": "the key comes as JSON"}, 415)
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _LOGIN:
                return _json({"error": "that is too long for a key"}, 413)
        key = _key(body)
        if not key:
            return _json({"error": "a key was expected"}, 400)
        await self._allow(_with(request, f"Bearer {key}"))
        response = _json({"ok": True})
        token = self._sessions.open(f"Bearer {key}")
        self._sessions.hand(response, token, path=_cookie_path(request), secure=_secure(request))
        return response

    async def logout(self, request: Request) -> Response:
        """End the session."""
        if not same_origin(request):
            return _json({"error": "only the page itself may log out"}, 403)
        self._sessions.close(request)
        response = _json({"ok": True})
        self._sessions.hand(response, "", path=_cookie_path(request), secure=_secure(request))
        return response

    # ------------------------------------------------------------------------------- requests

    async def requests(self, request: Request) -> Response:
        """What runs and what ran lately."""
        sight = await self._sight(request)
        rows = await asyncio.to_thread(self._hub.list, sight)
        return _json(
            {
                "requests": rows,
                "gone": self._hub.gone,
                "recent": self._hub.recent,
                "journals": self._shelf is not None and sight is None,
                "session": bool(self._sessions.authorization(request)),
            }
        )

    async def _watched(self, request: Request) -> Watched:
        sight = await self._sight(request)
        watched = self._hub.find(request.path_params["id"], sight)
        if watched is None:
            said = f"this request is not held any more; the last {self._hub.recent:,} are"
            raise HTTPException(404, said)
        return watched

    async def events(self, request: Request) -> Response:
        """The changes of one request, as they come."""
        watched = await self._watched(request)
        if self._hub.readers >= _READERS:
            return _json({"error": "too many look already; try again later"}, 503)
        last = request.headers.get("last-event-id") or request.query_params.get("since", "")

        async def allowed() -> bool:
            try:
                return await self._sight(request) in (None, watched.key)
            except Exception:  # whatever the check raises says no
                return False

        return StreamingResponse(
            feed(self._hub, watched, resumed(last, watched), allowed),
            headers=_HEADERS | {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"},
        )

    async def node(self, request: Request) -> Response:
        """One node with its text and its path."""
        return _found((await self._watched(request)).whole(request.path_params["order"]))

    async def find(self, request: Request) -> Response:
        """The nodes whose texts hold the words that are asked for."""
        watched = await self._watched(request)
        return _json({"orders": await asyncio.to_thread(watched.search, _words(request))})

    # ------------------------------------------------------------------------------- journals

    async def journals(self, request: Request) -> Response:
        """The journals that may be opened."""
        return _json({"journals": await asyncio.to_thread((await self._seen(request)).list)})

    async def journal(self, request: Request) -> Response:
        """One journal, or one task of it."""
        opened = await self._opened(request)
        if isinstance(opened, Response):
            return opened
        scene = opened.scene
        return _json(opened.said | {"nodes": scene.rows(scene.orders())})

    async def recorded(self, request: Request) -> Response:
        """One node of a journal with its text and its path."""
        opened = await self._opened(request)
        if isinstance(opened, Response):
            return opened
        return _found(opened.scene.whole(request.path_params["order"]))

    async def find_recorded(self, request: Request) -> Response:
        """The nodes of a journal whose texts hold the words that are asked for."""
        opened = await self._opened(request)
        if isinstance(opened, Response):
            return opened
        return _json({"orders": await asyncio.to_thread(opened.scene.search, _words(request))})

    async def _seen(self, request: Request) -> Shelf:
        sight = await self._sight(request)
        if self._shelf is None or sight is not None:
            raise HTTPException(404, "no folder with journals may be looked at here")
        return self._shelf

    async def _opened(self, request: Request) -> Opened | Response:
        shelf = await self._seen(request)
        name, stream = (request.query_params.get(asked, "") for asked in ("name", "task"))
        try:
            return await asyncio.to_thread(shelf.open, name, stream)
        except NoSuchJournal as error:
            return _json({"error": str(error)}, 404)
        except CogitateError as error:
            return _json({"error": str(error)}, 422)


def _found(whole: dict[str, Any] | None) -> Response:
    return _json({"error": "there is no such node"}, 404) if whole is None else _json(whole)


def _words(request: Request) -> str:
    return request.query_params.get("q", "")[:200]


def _with(request: Request, authorization: str) -> Request:
    """The request as if it had come with this header."""
    kept = [(name, value) for name, value in request.scope["headers"] if name != b"authorization"]
    held = (b"authorization", authorization.encode("latin-1", "replace"))
    return Request({**request.scope, "headers": [*kept, held]}, request.receive)


def _key(body: bytes) -> str:
    try:
        said = json.loads(body)["key"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return ""
    return said.strip() if isinstance(said, str) and said.isprintable() else ""


def _cookie_path(request: Request) -> str:
    return request.scope.get("root_path", "") + ROOT


def _secure(request: Request) -> bool:
    return request.url.scheme == "https"
