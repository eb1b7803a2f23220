"""Which HTTP client the OpenAI-compatible engine should use, measured in one run.

An upstream on loopback answers a chat completion from memory; httpx, httpx over an aiohttp transport
(where the package httpx-aiohttp is installed) and aiohttp call it from 1, 16 and 64 concurrent
clients over one persistent session each. Rounds of the candidates are interleaved, so that a slow
moment of the machine hits all of them; medians are printed.

    python benchmarks/client.py [--rounds 5] [--calls 600] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time

CLIENTS = (1, 16, 64)
BODY = {
    "model": "m",
    "messages": [{"role": "user", "content": "How many apples are left? " * 20}],
    "max_tokens": 64,
    "temperature": 0.7,
    "seed": 7,
}
REPLY = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "Seven apples are left. " * 12},
            }
        ],
        "usage": {"prompt_tokens": 120, "completion_tokens": 60, "total_tokens": 180},
    }
).encode()


def upstream() -> None:
    """Serve in a process of its own; prints the port."""
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=REPLY, content_type="application/json")

    async def main() -> None:
        app = web.Application()
        app.add_routes([web.post("/v1/chat/completions", answer)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())


class Aiohttp:
    name = "aiohttp"

    async def __aenter__(self):
        import aiohttp

        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def call(self, url):
        async with self.session.post(url, data=json.dumps(BODY).encode()) as response:
            return json.loads(await response.read())

    async def __aexit__(self, *_):
        await self.session.close()


class Httpx:
    name = "httpx"

    def transport(self):
        import httpx

        return httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=None))

    async def __aenter__(self):
        import httpx

        self.client = httpx.AsyncClient(transport=self.transport(), timeout=60, trust_env=False)
        return self

    async def call(self, url):
        response = await self.client.post(url, content=json.dumps(BODY).encode())
        return json.loads(response.content)

    async def __aexit__(self, *_):
        await self.client.aclose()


class HttpxOverAiohttp(Httpx):
    name = "httpx over aiohttp"

    def transport(self):
        from httpx_aiohttp import AiohttpTransport

        return AiohttpTransport()


class Engine:
    """The engine itself: its own overhead on top of aiohttp."""

    name = "our engine"

    async def __aenter__(self):
        from cogitate.engines.openai import OpenAICompatible

        self.make = OpenAICompatible
        self.engine = None
        return self

    async def call(self, url):
        from cogitate.core.prompt import Prompt
        from cogitate.core.requests import Generate
        from cogitate.core.task import Message

        if self.engine is None:
            self.engine = self.make(url.removesuffix("/chat/completions"), "m")
        prompt = Prompt.chat(Message("user", BODY["messages"][0]["content"]))
        (reply,) = await self.engine.serve([Generate(prompt, seed=7, max_tokens=64)])
        return {"usage": {"completion_tokens": reply.usage.tokens_out}}

    async def __aexit__(self, *_):
        await self.engine.close()


def candidates():
    found = []
    for make, module in (
        (Httpx, "httpx"),
        (HttpxOverAiohttp, "httpx_aiohttp"),
        (Aiohttp, "aiohttp"),
    ):
        try:
            __import__(module)
        except ImportError:
            print(f"{make.name}: not installed, left out", file=sys.stderr)
        else:
            found.append(make)
    return [*found, Engine]


async def rate(make, url, clients, calls):
    async with make() as client:

        async def one(count):
            for _ in range(count):
                reply = await client.call(url)
                assert reply["usage"]["completion_tokens"] == 60

        await asyncio.wait_for(one(5), 30)
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(one(calls // clients))
        return calls // clients * clients / (time.perf_counter() - began)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--calls", type=int, default=600)
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--upstream", action="store_true", help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.upstream:
        upstream()
        return
    server = subprocess.Popen(
        [sys.executable, __file__, "--upstream"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1/chat/completions"
        makes = candidates()
        rates = {make.name: {clients: [] for clients in CLIENTS} for make in makes}
        for _ in range(given.rounds):
            for clients in CLIENTS:
                for make in makes:
                    rates[make.name][clients].append(
                        asyncio.run(rate(make, url, clients, given.calls))
                    )
    finally:
        server.terminate()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
    medians = {
        name: {clients: statistics.median(found) for clients, found in by.items()}
        for name, by in rates.items()
    }
    if given.json:
        print(json.dumps(medians))
        return
    print(f"calls a second, median of {given.rounds} interleaved rounds of {given.calls} calls")
    print(f"{'client':<20}" + "".join(f"{f'{c} clients':>14}" for c in CLIENTS))
    for name, by in medians.items():
        print(f"{name:<20}" + "".join(f"{by[c]:>14,.0f}" for c in CLIENTS))


if __name__ == "__main__":
    main()
