"""A gateway on loopback in a thread, in front of a scripted upstream, for tests that need real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time

import httpx
from aiohttp import web

from cogitate.apps.gateway import app
from cogitate.apps.gateway.running import server
from cogitate.assembly import load

QUESTION = [{"role": "user", "content": "Say something about oaks."}]


def completion(text="hello", *, usage=True, **message):
    """A reply of an OpenAI-compatible server."""
    body = {
        "id": "chatcmpl-up",
        "object": "chat.completion",
        "created": 1,
        "model": "up",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "logprobs": None,
                "finish_reason": "tool_calls" if message.get("tool_calls") else "stop",
            }
        ],
    }
    if usage:
        body["usage"] = {
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "total_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 1},
        }
    return body


def chunk(text=None, end=None, usage=None, **more):
    """One event of a stream."""
    delta = {} if text is None else {"content": text}
    value = {
        "id": "chatcmpl-up",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "up",
        "choices": [] if usage else [{"index": 0, "delta": delta | more, "finish_reason": end}],
    }
    if usage:
        value["usage"] = usage
    return b"data: " + json.dumps(value).encode() + b"\n\n"


class Upstream:
    """Answers as `reply(body, request)` says: a dict, a status, or a prepared response; remembers all."""

    def __init__(self, reply):
        self.reply = reply
        self.bodies, self.headers = [], []
        self.open = self.cut = 0
        self.gone = threading.Event()

    async def handle(self, request):
        if request.method == "GET":
            return web.json_response({"object": "list", "data": [{"id": "up-model"}]})
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.open += 1
        try:
            said = self.reply(body, request)
            if asyncio.iscoroutine(said):
                said = await said
        except (asyncio.CancelledError, ConnectionResetError):
            self.cut += 1
            self.gone.set()
            raise
        finally:
            self.open -= 1
        if isinstance(said, dict):
            return web.json_response(said)
        if isinstance(said, int):
            return web.json_response({"error": {"message": "no", "type": "x"}}, status=said)
        return said


@contextlib.contextmanager
def looping():
    """An event loop in a thread; yields a function that runs coroutines there."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(coroutine, timeout=20):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(timeout)

    try:
        yield run
    finally:
        run(loop.shutdown_asyncgens())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


async def _listening(upstream):
    application = web.Application(client_max_size=1 << 26)
    application.router.add_route("*", "/{path:.*}", upstream.handle)
    runner = web.AppRunner(
        application, handler_cancellation=True, shutdown_timeout=0.2, access_log=None
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, site._server.sockets[0].getsockname()[1]


class Served:
    """A running gateway and its upstream."""

    def __init__(self, run, gateway, running, url, upstream):
        self.run, self.gateway, self.running, self.url = run, gateway, running, url
        self.upstream = upstream
        self.client = httpx.Client(base_url=url, timeout=20)

    def chat(self, model="up", messages=QUESTION, headers=None, path="", **more):
        body = {"model": model, "messages": messages, **more}
        return self.client.post(f"{path}/v1/chat/completions", json=body, headers=headers)

    def stop(self):
        """Ask the server to end, as a signal would."""
        self.running.should_exit = True

    def tasks(self):
        """Tasks of the loop that are not the server's own."""

        async def count():
            names = [t.get_coro().__qualname__ for t in asyncio.all_tasks()]
            return [n for n in names if "Shared.serve" in n or "_serve" in n or "run_asgi" in n]

        return self.run(count())


@contextlib.contextmanager
def serving(
    reply=None,
    settings="",
    *,
    environment=None,
    accounts=None,
    models=None,
    dialect="generic",
    key='key_variable = "UP_KEY"',
    tmp_path,
):
    """A gateway for the model `up` of a scripted upstream."""
    upstream = Upstream(reply or (lambda body, request: completion()))
    with looping() as run:
        runner, port = run(_listening(upstream))
        file = tmp_path / "cogitate.toml"
        names = "" if settings.startswith("models = ") else 'models = ["up"]\n'
        file.write_text(
            f'[endpoints.up]\nbase_url = "http://127.0.0.1:{port}/v1"\nmodel = "up-model"\n'
            f'dialect = "{dialect}"\n{key}\n[gateway]\n{names}'
            + settings.replace("PORT", str(port))
        )
        known = {"UP_KEY": "upstream-secret-key"} | (environment or {})
        configuration = load(file, environment=known)
        # The listed models of the scripted upstream do not matter.
        upstream.url = f"http://127.0.0.1:{port}"

        async def start():
            gateway = app(configuration, accounts=accounts, models=models)
            running = server(gateway, port=0)
            task = asyncio.ensure_future(running.serve())
            while not running.started:
                await asyncio.sleep(0.01)
            return gateway, running, task

        gateway, running, task = run(start())
        at = running.servers[0].sockets[0].getsockname()[1]
        served = Served(run, gateway, running, f"http://127.0.0.1:{at}", upstream)
        try:
            yield served
        finally:
            served.client.close()
            running.should_exit = True

            async def ended():
                await asyncio.wait_for(task, 15)

            run(ended())
            run(runner.cleanup())


def events(text):
    """The JSON of each event, `[DONE]` as text, and the comments apart."""
    found, comments = [], []
    for block in text.split("\n\n"):
        if block.startswith(":"):
            comments.append(block[1:].strip())
        elif block.startswith("data: "):
            data = block[6:]
            found.append(data if data == "[DONE]" else json.loads(data))
    return found, comments


def eventually(check, seconds=3.0):
    """Whether it comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.02)
    return bool(check())
