"""HTTP with aiohttp: JSON and server-sent events, every fault as one `Failed`.

aiohttp was chosen by `benchmarks/client.py`. It is imported when the first call is made.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from cogitate.core.errors import CogitateError, Failed, InvalidInput
from cogitate.core.usage import ZERO

from . import faults
from .secret import Secret
from .sse import EventReader

if TYPE_CHECKING:
    import aiohttp

KEEP_ALIVE_S = 4.0
"""An idle connection is dropped before the five seconds after which common servers drop it."""
LARGEST_BODY = 256 * 1024 * 1024
"""Bytes of one reply; a server that sends more is broken or hostile."""

LARGE_BODY = 1024 * 1024
"""Bytes of a request from which on aiohttp wants it as a file."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for what, in seconds."""

    connect_s: float = 10.0
    """For the connection."""
    first_byte_s: float = 600.0
    """From sending to the first byte of the reply; a reply that is not streamed is made in this time."""
    between_bytes_s: float = 120.0
    """Between two pieces of a reply."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is: its root for native endpoints and its API for OpenAI's."""

    root: str
    api: str

    @classmethod
    def of(cls, base_url: str) -> Address:
        """Read a base URL, with or without its version.

        >>> Address.of("http://localhost:8000")
        Address(root='http://localhost:8000', api='http://localhost:8000/v1')

        Raises:
            InvalidInput: for a URL that is not plain http(s), or that holds credentials.
        """
        import re
        from urllib.parse import urlsplit

        try:
            parts = urlsplit(base_url.strip())
            host, port = parts.hostname, parts.port
        except ValueError:
            raise InvalidInput(
                "the base URL cannot be read; give it as http://HOST:PORT/v1"
            ) from None
        if parts.username is not None or parts.password is not None:
            raise InvalidInput(
                "the base URL holds a user name or password; take it out and give the key by the name "
                "of its environment variable"
            )
        if parts.scheme not in ("http", "https") or not host:
            raise InvalidInput("the base URL must be http://HOST:PORT/v1 or https://HOST/v1")
        if parts.query or parts.fragment:
            raise InvalidInput("the base URL must end in its path, without ? or #")
        shown = f"[{host}]" if ":" in host else host
        origin = f"{parts.scheme}://{shown}" + (f":{port}" if port else "")
        path = parts.path.rstrip("/")
        if not path:
            return cls(origin, f"{origin}/v1")
        versioned = re.fullmatch(r"(.*)/v\d+\w*", path)
        return cls(origin + (versioned.group(1) if versioned else path), origin + path)


class Client:
    """One persistent session per event loop, closed with `close` or when its loop shuts down.

    Redirects are not followed, so a key never travels to another host; proxies, cookies and netrc of
    the environment are not read.
    """

    def __init__(self, base_url: str, model: str, key: Secret | None, timeouts: Timeouts) -> None:
        self.address = Address.of(base_url)
        self._model = model
        self._key = key
        self._timeouts = timeouts
        # A generator holds each session: an event loop closes its generators when it shuts down, so
        # that a session never outlives its loop even where nobody called `close`.
        self._sessions: WeakKeyDictionary[
            asyncio.AbstractEventLoop,
            tuple[aiohttp.ClientSession, AsyncGenerator[aiohttp.ClientSession, None]],
        ] = WeakKeyDictionary()

    def url(self, path: str) -> str:
        """The address of a path: below the API for OpenAI's, below the root for one that starts with `/`."""
        return self.address.root + path if path.startswith("/") else f"{self.address.api}/{path}"

    async def get(self, path: str) -> Any:
        """The JSON behind a path.

        Raises:
            Failed: for anything but a success with JSON.
        """
        return await self._json("GET", path, None)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send JSON, get JSON.

        Raises:
            Failed: for anything but a success with JSON.
        """
        return await self._json("POST", path, body)

    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """Send JSON, get the JSON of each server-sent event until `[DONE]` or the end of the stream.

        Closing the generator closes the connection, which ends the work of the server. The last
        thing it yields is `None` where the server said `[DONE]`.

        Raises:
            Failed: for anything but a success, and for events that are not JSON or report an error.
        """
        reader = EventReader()
        # llama.cpp's server closes the connection after a stream without saying so; on another host a
        # new connection costs a handshake, and there a gateway keeps its word.
        keeps = self.address.root.startswith("https:")
        async with self._reply("POST", path, body, reuse=keeps) as (response, first):
            if "text/event-stream" not in response.headers.get("Content-Type", "text/event-stream"):
                yield self._parse(await self._rest(response, first, path), path)
                yield None
                return
            chunk = first
            while chunk:
                for event in reader.feed(chunk):
                    if event.strip() == "[DONE]":
                        yield None
                        return
                    yield self._event(event, path)
                chunk = await self._chunk(response, path)
            for event in reader.end():
                yield None if event.strip() == "[DONE]" else self._event(event, path)

    async def close(self) -> None:
        """Close the session of the running loop; the others close with their loops."""
        held = self._sessions.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held[1].aclose()

    # ------------------------------------------------------------------------------- inside

    async def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        held = self._sessions.get(loop)
        if held is not None and not held[0].closed:
            return held[0]
        keeper = _keep(self._key, self._timeouts)
        session = await anext(keeper)
        self._sessions[loop] = session, keeper
        return session

    async def _json(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        async with self._reply(method, path, body) as (response, first):
            text = await self._rest(response, first, path)
        return self._parse(text, path)

    @asynccontextmanager
    async def _reply(
        self, method: str, path: str, body: Mapping[str, Any] | None, *, reuse: bool = True
    ) -> AsyncGenerator[tuple[aiohttp.ClientResponse, bytes], None]:
        """A successful response and its first bytes; closed on leaving unless it was read to its end."""
        session = await self._session()
        payload = None if body is None else sendable(body)
        # aiohttp keeps a connection whose reply was read to its end, whatever is done with the reply.
        headers = None if reuse else {"Connection": "close"}
        response, failure, first = None, None, b""
        try:
            async with asyncio.timeout(self._timeouts.first_byte_s):
                response = await session.request(
                    method, self.url(path), data=payload, headers=headers, allow_redirects=False
                )
                first = await response.content.readany()
        except Exception as error:  # every fault of the transport becomes a Failed
            failure = self._fault(error, path, self._timeouts.first_byte_s)
        except BaseException:
            if response is not None:
                response.close()
            raise
        if failure is not None:  # raised here, so that no exception of aiohttp, which holds the
            if response is not None:  # headers, is chained to it
                response.close()
            raise failure
        assert response is not None
        try:
            if not 200 <= response.status < 300:
                text = await self._rest(response, first, path)
                raise faults.of_status(
                    response.status,
                    response.headers,
                    text,
                    url=self.url(path),
                    model=self._model,
                    key=self._key,
                )
            yield response, first
        finally:
            # Returns the connection to the pool if the reply was read to its end, else closes it.
            if response.content.at_eof():
                response.release()
            else:
                response.close()

    async def _chunk(self, response: aiohttp.ClientResponse, path: str) -> bytes:
        failure = None
        try:
            async with asyncio.timeout(self._timeouts.between_bytes_s):
                return await response.content.readany()
        except Exception as error:
            failure = self._fault(error, path, self._timeouts.between_bytes_s)
        raise failure

    async def _rest(self, response: aiohttp.ClientResponse, first: bytes, path: str) -> str:
        pieces, size, chunk = [first], len(first), first
        while chunk:
            chunk = await self._chunk(response, path)
            pieces.append(chunk)
            size += len(chunk)
            if size > LARGEST_BODY:
                raise Failed(f"{self.url(path)} sent more than {LARGEST_BODY} bytes", "malformed")
        return b"".join(pieces).decode("utf-8", "replace")

    def _fault(self, error: Exception, path: str, waited_s: float) -> CogitateError:
        import aiohttp

        url = self.url(path)
        if isinstance(error, CogitateError):
            return error
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return Failed(
                f"{url} did not accept a connection within {self._timeouts.connect_s:g} s; is the "
                "server up and the address right?",
                "timeout",
                transient=True,
                usage=ZERO,  # nothing was sent
            )
        if isinstance(error, TimeoutError):
            return Failed(
                f"{url} sent nothing for {waited_s:g} s; it hangs or is overloaded",
                "timeout",
                transient=True,
            )
        if isinstance(error, aiohttp.ClientConnectorError):
            return Failed(
                f"{url} cannot be reached ({_plain(error.os_error)}); is the server running and the "
                "address right?",
                "refused",
                transient=True,
                usage=ZERO,
            )
        if isinstance(error, aiohttp.ClientError | OSError):
            return Failed(
                f"{url} broke the connection in the middle of its reply ({type(error).__name__})",
                "cut",
                transient=True,
            )
        return Failed(f"the call to {url} failed ({type(error).__name__})", "malformed")

    def _parse(self, text: str, path: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
        shown = faults.said(text, self._key)[:80]
        raise Failed(
            f"{self.url(path)} answered something that is not JSON: {shown!r}; is this the address of "
            "an OpenAI-compatible server?",
            "malformed",
            transient=True,
        )

    def _event(self, text: str, path: str) -> Any:
        data = self._parse(text, path)
        if isinstance(data, dict) and (error := cast(dict[str, Any], data).get("error")):
            status = cast(dict[str, Any], error).get("code") if isinstance(error, dict) else None
            raise faults.of_status(
                status if isinstance(status, int) and 400 <= status < 600 else 500,
                {},
                text,
                url=self.url(path),
                model=self._model,
                key=self._key,
            )
        return cast(Any, data)


def sendable(body: Mapping[str, Any]) -> bytes | io.BytesIO:
    """A body as JSON; a large one as a file, which aiohttp sends in pieces between other work."""
    raw = json.dumps(body, ensure_ascii=True).encode()
    return raw if len(raw) <= LARGE_BODY else io.BytesIO(raw)


def _plain(error: OSError) -> str:
    return (error.strerror or type(error).__name__).split("[")[0].strip() or type(error).__name__


async def _keep(
    key: Secret | None, timeouts: Timeouts
) -> AsyncGenerator[aiohttp.ClientSession, None]:
    import aiohttp

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Content-Type": "application/json"}
        | ({} if key is None else {"Authorization": f"Bearer {key.reveal()}"}),
    )
    try:
        yield session
    finally:
        await session.close()
