"""Pass-through: the body goes to the model's own server almost word for word, and so does its reply."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from cogitate.core.errors import InvalidInput
from cogitate.core.usage import Usage

from .refusals import Refused
from .sending import Headers
from .shared import Meter

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

    from cogitate.assembly import Configuration, Endpoint, Price

_LOG = logging.getLogger("cogitate.gateway")
_DROPPED: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"trailers",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
        b"set-cookie",
        b"server",
        b"date",
        b"via",
        b"alt-svc",
        b"strict-transport-security",
        b"www-authenticate",
        b"content-security-policy",
        b"x-request-id",
    )
)
_FORWARDED: Final = (b"traceparent", b"tracestate", b"openai-beta", b"idempotency-key")
_KEEP_ALIVE_S: Final = 4.0
"""An idle connection is dropped before the five seconds after which common servers drop it."""
UNSENT: Final = ("upstream_refused", "upstream_refused_us", "upstream_timeout", "not_json")
"""Codes of failures for which no server has done any work."""
_LARGEST: Final = 256 * 1024 * 1024
_LARGE_BODY: Final = 1024 * 1024
_ENCODE: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class Upstream:
    """A server that requests are passed to."""

    url: str
    """Of its API, such as `http://localhost:8000/v1`."""
    model: str
    authorization: str = ""
    price: Price | None = None
    paths: Mapping[str, URL] = field(default_factory=dict["str", "URL"], compare=False)
    """The addresses of its endpoints, read once."""

    def __repr__(self) -> str:
        return f"Upstream({self.url!r}, {self.model!r})"


def upstreams_of(model: str, configuration: Configuration) -> tuple[Upstream, ...]:
    """The servers behind a model; none where it is not served by any.

    Raises:
        InvalidInput: where a key that is needed is not set.
    """
    from cogitate.assembly.models import targets

    found = targets(model, configuration)
    if any(isinstance(target, str) or target.format for target in found):
        return ()
    return tuple(_upstream(cast("Endpoint", target), configuration) for target in found)


def _upstream(endpoint: Endpoint, configuration: Configuration) -> Upstream:
    from cogitate.engines.openai import Secret
    from cogitate.engines.openai.client import Address

    authorization = ""
    if endpoint.key_variable:
        key = Secret.named(endpoint.key_variable, configuration.environment)
        if key is None:
            raise InvalidInput(
                f"the model {endpoint.model!r} needs a key, but the environment variable "
                f"{endpoint.key_variable} is not set; set it and start again"
            )
        authorization = f"Bearer {key.reveal()}"
    price = endpoint.price or configuration.prices.get(endpoint.model)
    from yarl import URL

    api = Address.of(endpoint.base_url).api
    paths = {path: URL(f"{api}/{path}") for path in ("chat/completions", "completions")}
    return Upstream(api, endpoint.model, authorization, price, paths)


@dataclass(slots=True)
class Answer:
    """A server's reply as it begins. Mutable: the connection behind it is read."""

    status: int
    headers: Headers
    response: aiohttp.ClientResponse
    upstream: Upstream

    @property
    def streams(self) -> bool:
        """Whether it is a stream of events."""
        return self.response.content_type == "text/event-stream"

    async def whole(self) -> bytes:
        """All of it.

        Raises:
            Refused: where it breaks off, or never ends.
        """
        try:
            body = await self.response.read()
        except Exception as error:
            raise _fault(error, self.upstream) from None
        if len(body) > _LARGEST:
            raise Refused(502, "the model's server sent too much", code="upstream_malformed")
        return body

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Piece by piece, as it comes.

        Raises:
            Refused: where it breaks off.
        """
        content = self.response.content
        while True:
            try:
                piece = await content.readany()
            except Exception as error:
                raise _fault(error, self.upstream) from None
            if not piece:
                return
            yield piece


class Relay:
    """One pool of connections for all requests. Lives in one event loop."""

    def __init__(self) -> None:
        """Nothing is connected yet."""
        self._session: aiohttp.ClientSession | None = None
        self._turn = 0

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def sent(
        self,
        upstreams: tuple[Upstream, ...],
        path: str,
        body: dict[str, Any],
        headers: Mapping[bytes, bytes],
        meter: Meter,
    ) -> AsyncGenerator[Answer, None]:
        """Send a body, and hand out the reply; leaving ends the server's work.

        Raises:
            Refused: where no server can be reached.
        """
        session = self._session or self._opened()
        kept = {k.decode(): headers[k].decode("latin-1") for k in _FORWARDED if k in headers}
        self._turn += 1
        meter.enter()
        try:
            for attempt in range(len(upstreams)):
                upstream = upstreams[(self._turn + attempt) % len(upstreams)]
                try:
                    response = await _posted(session, upstream, path, body, kept)
                    break
                except Exception as error:
                    refused = _fault(error, upstream)
                    if attempt + 1 == len(upstreams) or refused.code != "upstream_refused":
                        raise refused from None
            else:
                raise Refused(502, "there is no server for this model", code="upstream_refused")
            try:
                yield _answer(response, upstream)
            finally:
                if response.content.at_eof():
                    response.release()
                else:
                    response.close()
        finally:
            meter.leave()

    def _opened(self) -> aiohttp.ClientSession:
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            headers={"Content-Type": "application/json"},
        )
        return self._session


async def _posted(
    session: aiohttp.ClientSession,
    upstream: Upstream,
    path: str,
    body: dict[str, Any],
    headers: dict[str, str],
) -> aiohttp.ClientResponse:
    body["model"] = upstream.model
    raw = _ENCODE(body).encode()
    if upstream.authorization:
        headers = headers | {"Authorization": upstream.authorization}
    return await session.post(
        upstream.paths[path],
        data=raw if len(raw) <= _LARGE_BODY else io.BytesIO(raw),
        headers=headers or None,
        allow_redirects=False,
    )


def _answer(response: aiohttp.ClientResponse, upstream: Upstream) -> Answer:
    status = response.status
    if status in (401, 403) or not 200 <= status < 600 or 300 <= status < 400:
        _LOG.warning("%s answered %d", upstream.url, status)
        raise Refused(
            502,
            f"the server of the model answered with status {status}; the operator of this gateway must "
            "look at its address and key",
            code="upstream_refused_us",
            kind="upstream_error",
        )
    named = response.headers.get("Connection", "").lower().encode("latin-1", "replace")
    listed = frozenset(part.strip() for part in named.split(b",")) if named else frozenset[bytes]()
    kept: Headers = []
    for name, value in response.raw_headers:
        lower = name.lower()
        if lower in _DROPPED or lower in listed or lower.startswith((b"access-control-", b"x-cog")):
            continue
        kept.append((lower, value))
    return Answer(status, kept, response, upstream)


def _fault(error: Exception, upstream: Upstream) -> Refused:
    import aiohttp

    if isinstance(error, Refused):
        return error
    _LOG.warning("%s: %s", upstream.url, type(error).__name__)
    if isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientError):
        return Refused(
            400, "the body holds a number that JSON cannot say; send a smaller one", code="not_json"
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        what, code = "cannot be reached", "upstream_refused"
    elif isinstance(error, TimeoutError | asyncio.TimeoutError):
        return Refused(
            504,
            "the server of the model did not accept a connection in time; try again",
            code="upstream_timeout",
            kind="upstream_error",
        )
    else:
        what, code = "broke the connection", "upstream_cut"
    return Refused(
        502, f"the server of the model {what}; try again", code=code, kind="upstream_error"
    )


# ------------------------------------------------------------------------------ what it cost


_NEEDLE: Final = b'"usage"'
_DECODER: Final = json.JSONDecoder()


def usage_in(body: bytes, price: Price | None) -> Usage | None:
    """What the last `usage` in a reply says; `None` where it says nothing.

    >>> usage_in(b'{"usage": {"prompt_tokens": 3, "completion_tokens": 4}}', None).tokens_out
    4
    """
    at = body.rfind(_NEEDLE)
    while at >= 0:
        found = _object_at(body, at + len(_NEEDLE))
        if found is not None:
            return _usage(found, price)
        at = body.rfind(_NEEDLE, 0, at)
    return None


def _object_at(body: bytes, at: int) -> dict[str, Any] | None:
    text = body[at : at + 4096].decode("utf-8", "replace").lstrip()
    if not text.startswith(":"):
        return None
    try:
        found = _DECODER.raw_decode(text[1:].lstrip())[0]
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _usage(raw: dict[str, Any], price: Price | None) -> Usage:
    tokens_in, tokens_out = _count(raw, "prompt_tokens"), _count(raw, "completion_tokens")
    cached = _count(_table(raw, "prompt_tokens_details"), "cached_tokens")
    reasoning = _count(_table(raw, "completion_tokens_details"), "reasoning_tokens")
    return Usage(
        tokens_in=tokens_in,
        tokens_cached=min(cached, tokens_in),
        tokens_out=tokens_out,
        tokens_reasoning=min(reasoning, tokens_out),
        calls=1,
        flops=None,
        bytes_moved=None,
        usd=money(price, tokens_in, tokens_out, min(cached, tokens_in)),
    )


def guessed(sent: int, received: int, price: Price | None) -> Usage:
    """What a reply without `usage` may have cost, from its bytes; marked as an estimate."""
    tokens_in, tokens_out = -(-sent // 4), -(-received // 4)
    return Usage(
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        calls=1,
        flops=None,
        bytes_moved=None,
        usd=money(price, tokens_in, tokens_out, 0),
        estimated=True,
    )


def money(price: Price | None, tokens_in: int, tokens_out: int, cached: int) -> float | None:
    """In dollars; `None` where the price is not known."""
    if price is None:
        return None
    held = price.input if price.cached is None else price.cached
    fresh = tokens_in - cached
    return (fresh * price.input + cached * held + tokens_out * price.output) / 1_000_000


def _table(raw: dict[str, Any], name: str) -> dict[str, Any]:
    found = raw.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _count(raw: dict[str, Any], name: str) -> int:
    found = raw.get(name)
    return max(0, found) if isinstance(found, int) and not isinstance(found, bool) else 0
