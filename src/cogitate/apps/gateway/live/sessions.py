"""Looking with a browser: a key is shown once, and a cookie with a random token stands for it a while.

A browser sends no authorization header with a page or an event stream. The token is worth nothing
outside this process and for long; what it stands for is checked anew each time, so a key that is
taken back opens nothing from then on.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

LIFE_S: Final = 3600.0
"""How long a session lives after it was last used."""
_LONGEST_S: Final = 12 * 3600.0
_MOST: Final = 1000


@dataclass(slots=True)
class _Session:
    authorization: str = field(repr=False)
    began: float
    used: float


class Sessions:
    """The open sessions; held in memory only. Mutable: they come and go."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """None yet."""
        self.cookie = f"cogitate_live_{secrets.token_hex(4)}"
        """Its own name for every server: cookies do not tell the ports of one host apart."""
        self._clock = clock
        self._held: dict[str, _Session] = {}

    def open(self, authorization: str) -> str:
        """Begin a session for a header that was found good; returns its token."""
        now = self._clock()
        for name in [n for n, s in self._held.items() if self._over(s, now)]:
            del self._held[name]
        while len(self._held) >= _MOST:
            del self._held[min(self._held, key=lambda n: self._held[n].used)]
        token = secrets.token_urlsafe(32)
        self._held[_digest(token)] = _Session(authorization, now, now)
        return token

    def authorization(self, request: Request) -> str:
        """The header that the request's cookie stands for; empty where there is none."""
        session = self._held.get(_digest(request.cookies.get(self.cookie, "")))
        now = self._clock()
        if session is None or self._over(session, now):
            return ""
        session.used = now
        return session.authorization

    def close(self, request: Request) -> None:
        """End the request's session."""
        self._held.pop(_digest(request.cookies.get(self.cookie, "")), None)

    def hand(self, response: Response, token: str, *, path: str, secure: bool) -> None:
        """Give the browser its cookie; an empty token takes it back."""
        response.set_cookie(
            self.cookie,
            token,
            max_age=int(LIFE_S) if token else 0,
            path=path,
            secure=secure,
            httponly=True,
            samesite="strict",
        )

    def _over(self, session: _Session, now: float) -> bool:
        return now - session.used > LIFE_S or now - session.began > _LONGEST_S


def same_origin(request: Request) -> bool:
    """Whether the page that sends this is one of ours: browsers say where a request comes from."""
    origin = urlsplit(request.headers.get("origin", ""))
    fetched = request.headers.get("sec-fetch-site", "same-origin")
    host = request.headers.get("host", "")
    return bool(host) and origin.netloc == host and fetched == "same-origin"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
