"""A loopback server whose answers are given path by path, and which remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

from aiohttp import web


class Loopback:
    """Answers by path: a JSON value, a status, `"hang"`, or a function of the body that gives one."""

    def __init__(self, answers):
        self.answers = answers
        self.seen = []
        self.raw = []
        self.url = ""

    def bodies(self, path):
        return [body for at, body, _ in self.seen if at == path]

    async def handle(self, request):
        text = await request.text()
        body = json.loads(text) if text else None
        self.seen.append((request.path, body, dict(request.headers)))
        self.raw.append(text)
        answer = self.answers.get(request.path, 404)
        if callable(answer):
            answer = answer(body)
        if answer == "hang":
            await asyncio.sleep(30)
        if isinstance(answer, web.StreamResponse):
            return answer
        if isinstance(answer, int):
            headers = {"Retry-After": "7"} if answer == 429 else {}
            said = {"error": {"message": f"no: {request.headers.get('Authorization')}"}}
            return web.json_response(said, status=answer, headers=headers)
        if isinstance(answer, str):
            return web.Response(text=answer, content_type="application/json")
        return web.json_response(answer)


@asynccontextmanager
async def answering(answers):
    """A running server; its `url` is its root."""
    server = Loopback(answers)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
