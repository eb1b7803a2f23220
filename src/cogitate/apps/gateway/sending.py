"""Sending a reply: nothing that a client or a model wrote can become a header of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from .refusals import Refused

if TYPE_CHECKING:
    from starlette.types import Send

Headers = list[tuple[bytes, bytes]]

JSON: Final = (b"content-type", b"application/json")
EVENTS: Final[Headers] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_LONGEST: Final = 1024


def header(text: str) -> bytes:
    r"""A text as the value of a header: printable ASCII, in one line.

    >>> header("a\r\nx: b\u00e9")
    b'a??x: b?'
    """
    return "".join(c if " " <= c <= "~" else "?" for c in text[:_LONGEST]).strip().encode()


class Sender:
    """One reply; knows whether it has begun. Mutable: it sends."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        """What was sent; 0 before."""
        self.open = False
        """Whether a stream has begun and not ended."""

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """A reply in one piece."""
        self.status = status
        length = (b"content-length", str(len(body)).encode())
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [*headers, length]}
        )
        await self._send({"type": "http.response.body", "body": body})

    async def json(self, status: int, headers: Headers, value: Any) -> None:
        """A JSON value; ASCII only, since a text may hold half a surrogate pair."""
        await self.whole(status, [JSON, *headers], json.dumps(value).encode())

    async def refuse(self, refused: Refused, headers: Headers) -> None:
        """An error, before anything was sent."""
        await self.whole(refused.status, [JSON, *headers, *refused.headers()], refused.encoded())

    async def begin(self, status: int, headers: Headers) -> None:
        """Begin a stream."""
        self.status, self.open = status, True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def piece(self, body: bytes) -> None:
        """Go on with a stream."""
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, body: bytes = b"") -> None:
        """End a stream."""
        self.open = False
        await self._send({"type": "http.response.body", "body": body})
