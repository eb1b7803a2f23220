"""A fault run: two servers that misbehave in every way, under many concurrent flows.

    python benchmarks/faults.py --seconds 180
    python benchmarks/faults.py --seconds 20 --flows 50 --json

The servers, in a process of their own, time out, reset connections, answer 429 and 500, send half bodies, half
streams and streams that fall silent, send what is not JSON, and lie about usage; one of them is dead for a third
of the time. The flows chain requests, ask for siblings, stream, and cancel losers. Afterwards every call is
compared with the servers' own log, and nothing may be left: no task, place, descriptor or hold. The run ends
with status 1 where something is.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web

from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.events import Answered, Event
from cogitate.core.flow import Pool, each, gather
from cogitate.core.journal import usage_body
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Limits
from cogitate.core.requests import Generate, Reply
from cogitate.core.task import Message
from cogitate.core.usage import ZERO, Budget, Usage
from cogitate.drive import Breaker, Endpoints, Retry, run_async
from cogitate.engines.openai import OpenAICompatible, Timeouts

STEPS = 3
WAIT_S = 1.5
"""How long the client waits for a byte."""

# ------------------------------------------------------------------------------- the servers

FAULTS = {
    "hang": 2,
    "reset": 3,
    "429": 4,
    "429 later": 2,
    "500": 4,
    "503": 2,
    "half body": 3,
    "half stream": 3,
    "silent stream": 2,
    "stream that hangs": 2,
    "not JSON": 2,
    "no choices": 1,
}
LIES = ("none", "zero", "negative", "words", "endless", "fifty times", "fractions")
HEALTHY = 78
"""Of a hundred calls; the others share the faults by weight."""


@dataclass
class Site:
    """One server: its faults, and what it saw."""

    name: str
    random: random.Random
    dies: bool
    began: float = field(default_factory=time.monotonic)
    log: list[dict[str, Any]] = field(default_factory=list)

    def fault(self) -> str:
        if self.dies and (time.monotonic() - self.began) % 30 > 20:
            return "reset"
        if self.random.random() * 100 < HEALTHY:
            return ""
        return self.random.choices(list(FAULTS), list(FAULTS.values()))[0]


def usage(lie: str, prompt: int, out: int) -> Any:
    match lie:
        case "none":
            return None
        case "zero":
            return {"prompt_tokens": 0, "completion_tokens": 0}
        case "negative":
            return {"prompt_tokens": -5, "completion_tokens": -out}
        case "words":
            return {"prompt_tokens": "many", "completion_tokens": [out]}
        case "endless":
            return {"prompt_tokens": 10**400, "completion_tokens": 10**400}
        case "fifty times":
            return {"prompt_tokens": prompt, "completion_tokens": 50 * out}
        case "fractions":
            return {"prompt_tokens": prompt + 0.5, "completion_tokens": out + 0.25}
    return {"prompt_tokens": prompt, "completion_tokens": out}


async def completions(request: web.Request) -> web.StreamResponse:
    site: Site = request.app[SITE]
    body = await request.json()
    n, streams = body.get("n", 1), bool(body.get("stream"))
    fault = site.fault()
    lie = site.random.choice(LIES) if site.random.random() < 0.08 else ""
    texts = [f"{body['seed'] + i} " + "word " * site.random.randrange(3, 30) for i in range(n)]
    out = sum(len(text.split()) for text in texts)
    prompt = sum(len(m["content"].split()) for m in body["messages"])
    entry = {
        "asked": body["messages"][0]["content"],
        "seed": body["seed"],
        "fault": fault,
        "lie": lie,
        "usage": [prompt, 50 * out if lie == "fifty times" else out],
        "done": False,
    }
    site.log.append(entry)
    await asyncio.sleep(site.random.expovariate(8))
    if fault in ("429", "429 later", "500", "503"):
        headers = {"Retry-After": "0.3"} if fault == "429 later" else {}
        said = {"error": {"message": "not now"}}
        return web.json_response(said, status=int(fault[:3]), headers=headers)
    if fault == "hang":
        await asyncio.sleep(3 * WAIT_S)
    if fault in ("hang", "reset"):
        request.transport and request.transport.abort()
        return web.Response()
    if fault == "not JSON":
        return web.Response(text="<html>gateway</html>", content_type="text/html")
    counts = usage(lie, prompt, out)
    if streams:
        await stream(request, texts, counts, fault)
    else:
        await whole(request, texts, counts, fault)
    entry["done"] = fault not in ("half body", "half stream", "silent stream", "stream that hangs")
    return request["response"]


async def whole(request: web.Request, texts: list[str], counts: Any, fault: str) -> None:
    choices = [
        {
            "index": i,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": text},
        }
        for i, text in enumerate(texts if fault != "no choices" else ())
    ]
    reply = {"choices": choices} | ({} if counts is None else {"usage": counts})
    raw = dumped(reply)
    response = web.StreamResponse(
        headers={"Content-Type": "application/json", "Content-Length": str(len(raw))}
    )
    request["response"] = response
    await response.prepare(request)
    if fault in ("half body", "half stream", "silent stream", "stream that hangs"):
        await response.write(raw[: len(raw) // 2])
        if fault == "stream that hangs":
            await asyncio.sleep(3 * WAIT_S)
        request.transport and request.transport.abort()
        return
    await response.write(raw)


async def stream(request: web.Request, texts: list[str], counts: Any, fault: str) -> None:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    request["response"] = response
    await response.prepare(request)
    words = [(i, word) for i, text in enumerate(texts) for word in text.split()]
    left = Counter(i for i, _ in words)
    for place, (i, word) in enumerate(words):
        if place == len(words) // 2:
            if fault in ("half body", "half stream"):
                request.transport and request.transport.abort()
                return
            if fault == "silent stream":
                return
            if fault == "stream that hangs":
                await asyncio.sleep(3 * WAIT_S)
                request.transport and request.transport.abort()
                return
        left[i] -= 1
        choice = {"index": i, "delta": {"content": word + " "}}
        choice["finish_reason"] = None if left[i] else "stop"
        choices = [] if fault == "no choices" else [choice]
        await response.write(b"data: " + dumped({"choices": choices}) + b"\n\n")
    if counts is not None:
        await response.write(b"data: " + dumped({"choices": [], "usage": counts}) + b"\n\n")
    await response.write(b"data: [DONE]\n\n")


def dumped(value: Any) -> bytes:
    sys.set_int_max_str_digits(0)
    return json.dumps(value).encode()


SITE = web.AppKey("site", Site)


async def logged(request: web.Request) -> web.Response:
    return web.json_response(request.app[SITE].log)


async def listed(request: web.Request) -> web.Response:
    return web.json_response({"data": [{"id": "toy", "owned_by": "vllm"}]})


async def serve() -> None:
    ports: list[int] = []
    for number, name in enumerate(("steady", "dying")):
        app = web.Application()
        app[SITE] = Site(name, random.Random(number), dies=name == "dying")
        app.add_routes(
            [
                web.post("/v1/chat/completions", completions),
                web.get("/v1/models", listed),
                web.get("/log", logged),
            ]
        )
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        ports.append(site._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]
    print(json.dumps(ports), flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until whoever started us goes away


# -------------------------------------------------------------------------------- the client


class Recorded:
    """An engine that remembers what each call came to."""

    serves = frozenset({Generate})

    def __init__(self, engine: OpenAICompatible) -> None:
        self.engine = engine
        self.limits = Limits(concurrency=128, max_batch=8)
        self.fingerprint = engine.fingerprint
        self.running = 0
        self.calls: dict[tuple[str, int], deque[Any]] = {}

    def ceiling(self, request: Any) -> Usage:
        return self.engine.ceiling(request)

    async def serve(self, batch: Sequence[Any], emit: Any) -> Sequence[Any]:
        self.running += 1
        outcomes: Any = None
        try:
            outcomes = await self.engine.serve(batch, emit)
        finally:
            self.running -= 1
            asked = batch[0].prompt.messages[0].content
            self.calls.setdefault((asked, batch[0].seed), deque()).append(outcomes)
        return outcomes

    async def close(self) -> None:
        await self.engine.close()


async def one(number: int) -> str:
    """Chain, siblings, a stream, and losers: `answered`, or how it failed."""
    try:
        prompt = Prompt.chat(Message("user", f"flow {number} step 0 of some words"))
        first = await gather(
            *(ask(prompt, 10 * number + i) for i in range(3)),
            drop=(Failed,),
        )
        if not first:
            return "no sibling"
        said = first[0]
        for step in range(1, STEPS):
            prompt = Prompt.chat(Message("user", f"flow {number} step {step} {said[:20]}"))
            asked = Generate(prompt, seed=10 * number, max_tokens=64, final=step == 1)
            said = (await asked).text
        async with Pool[Any]() as pool:
            for i in range(2):
                racing = Prompt.chat(Message("user", f"flow {number} race {i}"))
                await pool.add(ask(racing, 10 * number + i))
            await pool.next()
    except Failed as failure:
        return f"failed: {failure.kind}"
    except OutOfBudget as refused:
        return f"refused: {refused.unit}"
    return "answered"


async def ask(prompt: Prompt, seed: int) -> str:
    return (await Generate(prompt, seed=seed, max_tokens=64)).text


async def many(seconds: float, flows: int, found: Counter[str], number: int = 0) -> int:
    end = time.monotonic() + seconds

    def numbers() -> Iterator[int]:
        following = number
        while time.monotonic() < end:
            yield following
            following += 1

    async for outcome in each(numbers(), one, at_most=flows):
        found[outcome] += 1
    return sum(found.values())


class Charges:
    """What the driver told the flows, summed; and calls whose cost is partly an estimate."""

    def __init__(self) -> None:
        self.usage = ZERO
        self.estimated: dict[tuple[str, int], bool] = {}
        self.kinds: Counter[str] = Counter()

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Answered) or not isinstance(event.request, Generate):
            return
        spent = getattr(event.outcome, "usage", None) or ZERO
        self.usage = self.usage + spent
        asked = event.request.prompt.messages[0].content
        self.estimated[asked, event.request.seed] = spent.estimated
        kind = "reply" if isinstance(event.outcome, Reply) else getattr(event.outcome, "kind", "no")
        self.kinds["late " + kind if event.late else kind] += 1


def descriptors() -> int:
    gc.collect()
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except FileNotFoundError:
        return 0


def resident_mb() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    except FileNotFoundError:
        return 0.0


async def client(ports: list[int], seconds: float, flows: int) -> dict[str, Any]:
    timeouts = Timeouts(connect_s=WAIT_S, first_byte_s=WAIT_S, between_bytes_s=WAIT_S)
    before = descriptors()
    engines = [
        Recorded(
            OpenAICompatible(f"http://127.0.0.1:{p}/v1", "toy", dialect="vllm", timeouts=timeouts)
        )
        for p in ports
    ]
    endpoints = Endpoints(
        engines, breaker=Breaker(failures=5, first_s=0.5, most_s=4.0, pause_s=0.2)
    )
    charges, found = Charges(), Counter[str]()
    began = time.monotonic()
    memory = resident_mb()
    done = await run_async(
        many(seconds, flows, found),
        endpoints,
        budget=Budget(tokens_out=10**10, calls=10**9),
        listen=charges,
        retry=Retry(attempts=6, first_s=0.05, most_s=1.0, patience_s=20.0),
    )
    took = time.monotonic() - began
    cut = await run_async(
        many(2.0, flows, Counter(), number=10**6),
        Endpoints(engines),
        budget=Budget(tokens_out=10**9, seconds=1.0),
        retry=Retry(first_s=0.05),
    )
    peak = resident_mb()  # with what this script itself remembers of every call
    left_tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
    # Before the sessions are closed, which would hide it: idle connections are dropped after some seconds.
    for _ in range(100):
        await asyncio.sleep(0.1)
        if descriptors() <= before:
            break
    after = descriptors()
    await endpoints.close()
    logs = await asyncio.gather(*(read_log(port) for port in ports))
    report = compared(engines, logs, charges)
    problems = report.pop("problems")
    if not done.idle or not cut.idle:
        problems.append("a hold was left")
    if left_tasks:
        problems.append(f"{len(left_tasks)} tasks were left")
    if running := sum(engine.running for engine in engines):
        problems.append(f"{running} calls were left running")
    if after > before:
        problems.append(f"{after - before} descriptors were left")
    if usage_body(done.usage) != usage_body(charges.usage):
        problems.append(f"the ledger says {done.usage}, the events {charges.usage}")
    if cut.stopped != "seconds":
        problems.append("the deadline did not end the second run")
    return {
        "seconds": round(took, 1),
        "flows": dict(found),
        "flows in all": sum(found.values()),
        "outcomes": dict(charges.kinds),
        **report,
        "estimated": done.usage.estimated,
        "tokens_out": done.usage.tokens_out,
        "memory": f"{memory:.0f} to {peak:.0f} MB",
        "notes": list(endpoints.notes),
        "problems": problems,
    }


async def read_log(port: int) -> list[dict[str, Any]]:
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/log") as reply:
        return await reply.json()


class Comparison:
    """Every call by the client's account and by the server's."""

    def __init__(self, charges: Charges) -> None:
        self.charges = charges
        self.problems: list[str] = []
        self.calls = self.equal = self.unseen = self.estimates = 0
        self.faults: Counter[str] = Counter()

    def add(self, engine: Recorded, entry: dict[str, Any]) -> None:
        self.calls += 1
        lie = "lie: " + entry["lie"] if entry["lie"] else "none"
        self.faults[entry["fault"] or lie] += 1
        mine = engine.calls.get((entry["asked"], entry["seed"]))
        outcomes = mine.popleft() if mine else None
        if outcomes is None:  # cut by us
            self.unseen += 1
        elif any(isinstance(outcome, Reply) for outcome in outcomes):
            self.answered(entry, outcomes)
        elif all(getattr(outcome, "kind", "") in ("timeout", "cut") for outcome in outcomes):
            self.estimates += 1
            self.must_be_estimated(entry)

    def answered(self, entry: dict[str, Any], outcomes: Sequence[Any]) -> None:
        used = sum((outcome.usage or ZERO for outcome in outcomes), ZERO)
        if not entry["done"] and all(isinstance(outcome, Reply) for outcome in outcomes):
            self.problems.append(f"an answer to a call that was not completed: {entry}")
        if not (entry["lie"] in ("", "fifty times") and entry["done"]):
            if not used.estimated:
                self.problems.append(f"a usage nobody told counts as known: {used} for {entry}")
            self.must_be_estimated(entry)
        elif used.estimated or [used.tokens_in, used.tokens_out] != entry["usage"]:
            self.problems.append(f"{used} was charged for {entry}")
        else:
            self.equal += 1

    def must_be_estimated(self, entry: dict[str, Any]) -> None:
        if not self.charges.estimated.get((entry["asked"], entry["seed"]), True):
            self.problems.append(f"the ledger forgot that this is an estimate: {entry}")


def compared(engines: Sequence[Recorded], logs: Sequence[Any], charges: Charges) -> dict[str, Any]:
    found = Comparison(charges)
    for engine, log in zip(engines, logs, strict=True):
        for entry in log:
            found.add(engine, entry)
    return {
        "calls": found.calls,
        "faults": dict(found.faults.most_common()),
        "completed, charged as the server counts": found.equal,
        "cut by the server, charged as estimates": found.estimates,
        "cut by the client": found.unseen,
        "problems": found.problems[:20],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--flows", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        asyncio.run(serve())
        return 0
    with subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        try:
            assert server.stdout is not None
            ports = json.loads(server.stdout.readline())
            report = asyncio.run(client(ports, chosen.seconds, chosen.flows))
        finally:
            server.terminate()
    if chosen.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:<42} {value}")
    return 1 if report["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
