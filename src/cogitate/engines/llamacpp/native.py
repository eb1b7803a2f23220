"""The llama.cpp server object of `xllamacpp`, opened and closed off the event loop."""

from __future__ import annotations

import asyncio
import io
import json
import os
import secrets
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cogitate.core.errors import Failed, InvalidInput

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")
EVENT: Final = b"data: "
LONGEST_LINE: Final = 1 << 26
LARGE_BODY: Final = 1024 * 1024
"""Bytes of a request from which on aiohttp wants it as a file."""
JSON: Final = {"Content-Type": "application/json"}
WAITING: Final = "OMP_WAIT_POLICY"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the model is opened."""

    path: Path
    slots: int
    """Sequences decoded together."""
    context: int
    """Tokens of KV cache, shared by all slots."""
    threads: int
    gpu_layers: int
    template: str
    """A chat template in place of the model's own; empty: the model's."""


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread that ends with it; a pool of the loop's would outlive the engine."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(value)  # pyright: ignore[reportArgumentType]
        else:
            done.set_exception(error)

    def run() -> None:
        value, failure = None, None
        try:
            value = work()
        except BaseException as error:
            failure = error
        with suppress(RuntimeError):  # the loop may be gone
            loop.call_soon_threadsafe(settle, value, failure)

    thread = threading.Thread(target=run, name="cogitate-llamacpp", daemon=True)
    thread.start()
    try:
        return await done
    finally:
        if not done.cancelled():
            thread.join()  # it has nothing left to do; without this it may be seen ending


class Native:
    """One loaded model and its loopback port, which takes a secret key."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._server: Any = None
        self._address = ""
        self._key = secrets.token_hex(16)
        self._closed = False

    # ------------------------------------------------------------------- opening and closing

    def open(self) -> None:
        """Load the model, once; blocks for about a second.

        Raises:
            InvalidInput: when `xllamacpp` is not installed.
            Failed: when llama.cpp cannot load the file, or the engine is closed.
        """
        with self._lock:
            if self._closed:
                raise Failed("the llama.cpp engine is closed; open the model again", "unserved")
            if self._server is None:
                self._server = _load(self.settings, self._key)
                self._address = str(self._server.listening_address)

    async def ready(self) -> None:
        """Load the model, once, off the event loop."""
        if self._server is None or self._closed:
            await in_thread(self.open)

    async def close(self) -> None:
        """Free the model and join its threads; may be called twice."""
        await in_thread(self._drop)

    def _drop(self) -> None:
        with self._lock:
            self._closed = True
            self._server = None  # the destructor joins llama.cpp's threads

    # ------------------------------------------------------------------------------ asking

    def session(self) -> AbstractAsyncContextManager[aiohttp.ClientSession]:
        """An HTTP session for one call of `serve`; sessions belong to one event loop."""
        import aiohttp

        return aiohttp.ClientSession(
            self._address,
            headers={"Authorization": f"Bearer {self._key}"},
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=LONGEST_LINE,
        )

    async def get(self, http: aiohttp.ClientSession, path: str) -> Any:
        """The JSON at a path."""
        async with http.get(path) as answer:
            return await answer.json()

    async def post(self, http: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> Any:
        """Post JSON and read the JSON that comes back.

        Raises:
            Failed: when the server refuses.
        """
        async with http.post(path, data=sendable(body), headers=JSON) as answer:
            text = await answer.read()
            if answer.status != 200:
                raise refused(text)
        return json.loads(text)

    async def stream(
        self, http: aiohttp.ClientSession, body: dict[str, Any]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The chunks of a completion; leaving early closes the connection, which frees the slots.

        Raises:
            Failed: when the server refuses or breaks off.
        """
        data = sendable({**body, "stream": True})
        async with http.post("/completion", data=data, headers=JSON) as answer:
            if answer.status != 200:
                raise refused(await answer.read())
            async for line in answer.content:
                if line.startswith(EVENT):
                    chunk = json.loads(line[len(EVENT) :])
                    if "error" in chunk:
                        raise refused(line[len(EVENT) :])
                    yield chunk
                elif line.startswith(b"error:"):
                    raise refused(line[len(b"error:") :])


def sendable(body: dict[str, Any]) -> bytes | io.BytesIO:
    """A body as JSON; a large one as a file, which aiohttp sends in pieces between other work."""
    raw = json.dumps(body).encode()
    return raw if len(raw) <= LARGE_BODY else io.BytesIO(raw)


def refused(text: bytes) -> Failed:
    """What llama.cpp's error means to the person who asked."""
    try:
        error: dict[str, Any] = json.loads(text)
        error = error.get("error", error)
        said, kind, code = (
            str(error["message"]),
            str(error.get("type", "")),
            int(error.get("code", 500)),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Failed("llama.cpp answered with something that is not its error format", "malformed")
    if kind == "exceed_context_size_error":
        return Failed(
            f"the prompt of {error.get('n_prompt_tokens')} tokens does not fit into the context of "
            f"{error.get('n_ctx')}; shorten it, or open the model with a larger context",
            "too_long",
        )
    if "context size has been exceeded" in said.lower():
        return Failed(
            "the branches in flight filled the KV cache; open the model with a larger context, or "
            "ask for fewer branches or tokens at once",
            "too_long",
            transient=True,
        )
    if code < 500:
        return Failed(f"llama.cpp refused the request: {said[:300]}", "refused")
    return Failed(f"llama.cpp failed: {said[:300]}", "crashed", transient=True)


def _load(settings: Settings, key: str) -> Any:
    library = _library()
    params = library.CommonParams()
    params.model.path = str(settings.path)
    params.n_parallel = settings.slots
    params.kv_unified = True
    params.n_ctx = settings.context
    params.cpuparams.n_threads = settings.threads
    params.cpuparams_batch.n_threads = settings.threads
    params.n_threads_http = 4 * settings.slots + 16  # each queued request holds one
    params.n_gpu_layers = settings.gpu_layers
    params.chat_template = settings.template
    params.prefill_assistant = False  # what is begun is continued by token ids
    params.api_keys = [key]
    params.sse_ping_interval = (
        1  # how long a stream may take to notice that it was cancelled or closed
    )
    params.warmup = False
    params.ui = False
    params.fit_params = False
    params.verbosity = -1
    try:
        return library.Server(params)
    except RuntimeError as error:
        size = settings.path.stat().st_size / 1e6 if settings.path.is_file() else 0
        raise Failed(
            f"llama.cpp could not load {settings.path} ({size:.0f} MB): the file is damaged or of a "
            f"kind it does not know, or there is too little memory for a context of {settings.context} "
            "tokens; try a smaller context",
            "crashed",
        ) from error


def _library() -> Any:
    """Import `xllamacpp` so that its threads sleep while they wait.

    Its OpenMP threads spin at barriers; where anything else runs on the same cores that costs a
    factor of twenty. OpenMP reads the policy once, when it is loaded.
    """
    chosen = os.environ.get(WAITING)
    os.environ.setdefault(WAITING, "passive")
    try:
        import xllamacpp  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise InvalidInput(
            "llama.cpp models need the package xllamacpp; install it with: pip install 'cogitate[local]'"
        ) from error
    finally:
        if chosen is None:
            del os.environ[WAITING]
    return xllamacpp


def cores() -> int:
    """Physical cores this process may use; two hyper-threads of a core slow each other down."""
    try:
        usable = os.sched_getaffinity(0)
    except AttributeError:
        return max(1, os.cpu_count() or 1)
    found: set[str] = set()
    for cpu in usable:
        place = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            found.add(place.read_text("ascii").strip())
        except OSError:
            found.add(str(cpu))
    return max(1, len(found))
