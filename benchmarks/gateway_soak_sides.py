"""Both sides of the gateway in `gateway_soak.py`: the model's server and the clients, each in its own process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web

# --------------------------------------------------------------------------- the model's server

FAULTS = {
    "hang": 1,
    "reset": 3,
    "429": 3,
    "500": 4,
    "503": 2,
    "half body": 3,
    "half stream": 3,
    "silent stream": 2,
    "stream that hangs": 1,
    "not JSON": 3,
}
HEALTHY = 85
"""Of a hundred calls; the others share the faults by weight."""
NO_USAGE = 0.05
HANG_S = 2.0
LOG = web.AppKey("log", list)
RANDOM = web.AppKey("random", random.Random)


async def completions(request: web.Request) -> web.StreamResponse:
    draw, log = request.app[RANDOM], request.app[LOG]
    body = await request.json()
    if not isinstance(body.get("messages"), list):
        return web.json_response({"error": {"message": "not a list"}}, status=400)
    said = " ".join(str(m["content"]) for m in body["messages"])
    number = int(said.split("soak ", 1)[1].split(":", 1)[0])
    fault = ""
    if draw.random() * 100 >= HEALTHY:
        fault = draw.choices(list(FAULTS), list(FAULTS.values()))[0]
    texts = [
        "word " * draw.randrange(1, 20) + f"\\boxed{{{draw.randrange(3)}}}"
        for _ in range(body.get("n") or 1)
    ]
    usage = [len(said.split()), sum(len(t.split()) for t in texts)]
    told = None if draw.random() < NO_USAGE else usage
    streams = bool(body.get("stream"))
    asks = not streams or (body.get("stream_options") or {}).get("include_usage")
    entry = {
        "number": number,
        "fault": fault,
        "choices": len(texts),
        "usage": told if asks else None,
        "done": False,
    }
    log.append(entry)
    await asyncio.sleep(draw.expovariate(30))
    if fault in ("429", "500", "503"):
        headers = {"Retry-After": "0.2"} if fault == "429" else {}
        refused = {"error": {"message": "not now", "type": "fault"}}
        return web.json_response(refused, status=int(fault), headers=headers)
    if fault == "hang":
        await asyncio.sleep(HANG_S)
    if fault in ("hang", "reset"):
        request.transport and request.transport.abort()
        return web.Response()
    if fault == "not JSON":
        return web.Response(text="<html>gateway</html>", content_type="text/html")
    send = stream if streams else whole
    response, finished = await send(request, texts, told if asks else None, fault)
    entry["done"] = finished
    return response


def counts(usage: list[int]) -> dict[str, int]:
    return {
        "prompt_tokens": usage[0],
        "completion_tokens": usage[1],
        "total_tokens": sum(usage),
    }


async def whole(request: web.Request, texts: list[str], usage: Any, fault: str) -> Any:
    choices = [
        {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        for i, text in enumerate(texts)
    ]
    value = {"id": "x", "object": "chat.completion", "created": 1, "model": "toy"}
    value |= {"choices": choices} | ({} if usage is None else {"usage": counts(usage)})
    raw = json.dumps(value).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(raw))}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    if fault:
        await response.write(raw[: len(raw) // 2])
        if fault == "stream that hangs":
            await asyncio.sleep(HANG_S)
        request.transport and request.transport.abort()
        return response, False
    await response.write(raw)
    return response, True


async def stream(request: web.Request, texts: list[str], usage: Any, fault: str) -> Any:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    value = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "toy"}

    async def say(choices: list[Any], **more: Any) -> None:
        raw = json.dumps(value | {"choices": choices} | more).encode()
        await response.write(b"data: " + raw + b"\n\n")

    words = [(i, word) for i, text in enumerate(texts) for word in text.split()]
    for place, (i, word) in enumerate(words):
        if fault and place == len(words) // 2:
            if fault == "silent stream":
                return response, False
            if fault == "stream that hangs":
                await asyncio.sleep(HANG_S)
            request.transport and request.transport.abort()
            return response, False
        last = place + 1 == len(words) or words[place + 1][0] != i
        delta = {"content": word if last else word + " "}
        await say([{"index": i, "delta": delta, "finish_reason": "stop" if last else None}])
        await asyncio.sleep(0.002)
    if usage is not None:
        await say([], usage=counts(usage))
    await response.write(b"data: [DONE]\n\n")
    return response, True


async def upstream(seed: int) -> None:
    """Serve until a line comes; then print the log."""
    app = web.Application()
    app[LOG], app[RANDOM] = [], random.Random(seed)
    app.add_routes([web.post("/v1/chat/completions", completions)])
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)  # type: ignore[union-attr]
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(app[LOG]), flush=True)
    await runner.cleanup()


# -------------------------------------------------------------------------------- the clients

KEYS: Sequence[tuple[str, tuple[str, ...], int | None]] = (
    ("free", (), None),
    ("counted", ("requests=1e6/day", "tokens_out=1e9/total"), None),
    ("narrow", (), 2),
    ("poor", ("requests=40/minute",), None),
)
"""Name, quotas and concurrency."""
OFTEN = (6, 6, 2, 1)
PATIENCE_S = 1.0
"""At the end of a run, for what is in flight."""
STRANGER = "cog_000000000000_" + "A" * 43
MODELS = {
    "up": 6,
    "many": 2,
    "greedy()@up": 3,
    "best_of(n=3, scorer=majority())@up": 4,
    "self_consistency(n=4)@many": 3,
    "fusion(n=2)@up": 2,
}
WAYS = {
    "waits": 50,
    "streams": 25,
    "leaves": 10,
    "leaves a stream": 6,
    "sends nonsense": 4,
    "looks": 4,
    "dribbles": 1,
}
NONSENSE = (
    b"{",
    b"[" * 5000,
    b'{"model": "up", "messages": 5}',
    b'{"model": "best_of(n=9999999)@up", "messages": [{"role": "user", "content": "x"}]}',
    b'{"model": "nobody", "messages": []}',
    b"\xff\xfe",
)


class Client:
    """One client after another request."""

    def __init__(self, url: str, secrets: Sequence[str], seed: int, number: int) -> None:
        self.url, self.secrets = url, secrets
        self.draw = random.Random(1000 * seed + number)
        self.number = 10**8 * seed + 10**6 * number
        self.outcomes: Counter[str] = Counter()
        self.told: dict[int, list[int]] = {}
        self.hurried: list[int] = []

    async def run(self, session: ClientSession, until: float) -> None:
        while time.monotonic() < until:
            way = self.draw.choices(list(WAYS), list(WAYS.values()))[0]
            try:
                said = await self.one(session, way)
            except (ClientError, OSError, TimeoutError) as error:
                said = type(error).__name__
            self.outcomes[f"{way}: {said}"] += 1
            if said in ("429", "503"):
                await asyncio.sleep(0.05)

    async def one(self, session: ClientSession, way: str) -> str:
        secret = self.draw.choices(self.secrets, OFTEN)[0]
        if self.draw.random() < 0.02:
            secret = STRANGER
        headers = {"Authorization": f"Bearer {secret}"}
        if way == "dribbles":
            return await self.dribble(secret)
        if way == "looks":
            page = self.draw.choice(("/v1/models", "/metrics", "/ui/api/requests", "/ui"))
            async with session.get(self.url + page, headers=headers) as reply:
                await reply.read()
                return str(reply.status)
        if way == "sends nonsense":
            headers["Content-Type"] = "application/json"
            raw = self.draw.choice(NONSENSE)
            async with session.post(
                f"{self.url}/v1/chat/completions", data=raw, headers=headers
            ) as reply:
                await reply.read()
                return str(reply.status)
        return await self.ask(session, way, headers)

    async def ask(self, session: ClientSession, way: str, headers: dict[str, str]) -> str:
        self.number += 1
        question = f"soak {self.number}: how much is 17 + {self.number % 50}?"
        model = self.draw.choices(list(MODELS), list(MODELS.values()))[0]
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": 200,
        }
        if self.draw.random() < 0.1:
            headers["x-cogitate-seconds"] = "0.5"
            self.hurried.append(self.number)
        if "stream" in way:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        asked = self.sent(session, body, headers, leaves=way == "leaves a stream")
        if way != "leaves":
            return await asked
        try:
            return await asyncio.wait_for(asked, self.draw.random() * 0.2)
        except TimeoutError:
            return "left"

    async def sent(
        self, session: ClientSession, body: Any, headers: dict[str, str], *, leaves: bool
    ) -> str:
        async with session.post(
            f"{self.url}/v1/chat/completions", json=body, headers=headers
        ) as reply:
            if reply.content_type != "text/event-stream":
                value = await reply.json()
                if reply.status == 200 and value.get("usage"):
                    self.tell(value["usage"])
                return str(reply.status)
            seen, usage, ended = 0, None, False
            async for line in reply.content:
                seen += 1
                if leaves and seen > self.draw.randrange(1, 30):
                    return "left"
                if line.startswith(b"data: {"):
                    value = json.loads(line[6:])
                    if "error" in value:
                        return "200, then an error"
                    usage = value.get("usage") or usage
                ended = ended or line.startswith(b"data: [DONE]")
            if not ended:
                return "200, never ended"
            if usage is not None:
                self.tell(usage)
            return "200"

    def tell(self, usage: dict[str, int]) -> None:
        self.told[self.number] = [usage["prompt_tokens"], usage["completion_tokens"]]

    async def dribble(self, secret: str) -> str:
        """A head or a body, byte by byte, until the gateway has enough of it."""
        host, port = self.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n"
            "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
        )
        whole = head.encode() if self.draw.random() < 0.5 else head[:40].encode()
        try:
            writer.write(whole)
            for _ in range(100):
                writer.write(b" ")
                with contextlib.suppress(TimeoutError):
                    said = await asyncio.wait_for(reader.read(1000), 0.1)
                    return said[9:12].decode() if said else "closed"
            return "never closed"
        finally:
            writer.close()


async def clients(
    url: str, secrets: Sequence[str], count: int, seconds: float, seed: int
) -> dict[str, Any]:
    """Ask for so long; what came of it."""
    until = time.monotonic() + seconds
    crowd = [Client(url, secrets, seed, number) for number in range(count)]
    async with ClientSession(
        connector=TCPConnector(limit=0), timeout=ClientTimeout(total=30)
    ) as session:
        running = [asyncio.ensure_future(one.run(session, until)) for one in crowd]
        _, late = await asyncio.wait(running, timeout=seconds + PATIENCE_S)
        for task in late:  # they leave, as clients do
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    outcomes: Counter[str] = Counter()
    told: dict[int, list[int]] = {}
    for one in crowd:
        outcomes += one.outcomes
        told |= one.told
    hurried = [number for one in crowd for number in one.hurried]
    return {"outcomes": dict(outcomes), "told": told, "hurried": hurried}
