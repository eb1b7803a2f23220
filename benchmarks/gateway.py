"""What the gateway costs beside a bare hop and beside other gateways.

    python benchmarks/gateway.py                          ours and the bare hop
    python benchmarks/gateway.py --peers                  with its_hub's and litellm's proxies
    python benchmarks/gateway.py --clients 1 16 64 --rounds 5 --seconds 2

An upstream in a process of its own answers every chat completion at once with the same few words. In front of
it, each in a process of its own: `bare`, a Starlette route that posts the body on by aiohttp and sends the reply
back; our pass-through; our `best_of(n=8, scorer=majority())`, eight upstream calls a request, and `by n`, the same on a
server that takes `n`, so one call for eight samples; with --peers
its_hub 1.2.0 (self-consistency over 1 and 8) as its extra installs it, and `tuned`, with uvloop and httptools as
the bare hop and we have them; and litellm's proxy, in environments of their own. All are one worker. Clients are connections kept alive that send their next request when
the last is answered. Rounds are interleaved; cells are medians over rounds. `CPU us` is what the server's own
process used a request: it hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

MODEL = "toy"
MESSAGES = [
    {"role": "system", "content": "You are a careful assistant."},
    {"role": "user", "content": "What is 17 + 25? Think, then give the number."},
]
REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "17 + 25 = 42.\n#### 42"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 31, "completion_tokens": 12, "total_tokens": 43},
}


# --------------------------------------------------------------------------------- the servers


def upstream(port: int) -> None:
    """Answers at once; counts; speaks as little HTTP as clients need."""
    body = json.dumps(REPLY).encode()
    eight = [dict(REPLY["choices"][0], index=index) for index in range(8)]  # pyright: ignore
    many = json.dumps(REPLY | {"choices": eight}).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    reply, replies = head % len(body) + body, head % len(many) + many
    listed = json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}).encode()
    count = 0

    class Spoken(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport, self.held = transport, b""

        def data_received(self, data: bytes) -> None:
            nonlocal count
            self.held += data
            while (end := self.held.find(b"\r\n\r\n")) >= 0:
                first = self.held[:end].lower()
                at = first.find(b"content-length:")
                size = int(first[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
                if len(self.held) < end + 4 + size:
                    return
                path = self.held.split(b" ", 2)[1]
                asked, self.held = self.held[end:], self.held[end + 4 + size :]
                if path.endswith(b"/completions"):
                    count += 1
                    several = b'"n": 8' in asked or b'"n":8' in asked
                    self.transport.write(replies if several else reply)
                else:
                    said = b"%d" % count if path == b"/count" else listed
                    self.transport.write(head % len(said) + said)

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Spoken, "127.0.0.1", port)
        await server.serve_forever()

    import uvloop

    uvloop.run(serve())


def bare(port: int, url: str) -> None:
    """The floor: a body in, a body out."""
    import aiohttp
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    held: list[aiohttp.ClientSession] = []

    async def forward(request: Request) -> Response:
        if not held:
            held.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        body = await request.body()
        kind = {"Content-Type": "application/json"}
        async with held[0].post(f"{url}/v1/chat/completions", data=body, headers=kind) as reply:
            said = await reply.read()
            return Response(said, reply.status, media_type=reply.content_type)

    routes = [Route("/v1/chat/completions", forward, methods=["POST"])]
    app = Starlette(routes=routes)
    uvicorn.run(app, port=port, log_level="warning", access_log=False)


ITS_HUB = """
import sys, logging, uvicorn
logging.disable(logging.CRITICAL)
from its_hub.integration.iaas.app import app
loop, http = ("uvloop", "httptools") if sys.argv[2] == "tuned" else ("asyncio", "h11")
uvicorn.run(app, port=int(sys.argv[1]), loop=loop, http=http, log_level="critical", access_log=False)
"""
PEERS = {
    "its_hub": ("its_hub-iaas-1.2.0", ("its_hub[iaas]==1.2.0", "httptools", "uvloop")),
    "litellm": ("litellm-proxy-1.106.2", ("litellm[proxy]==1.106.2",)),
}


def peer_python(folder: Path, peer: str) -> Path:
    """An environment with one peer; made once in `folder`."""
    name, packages = PEERS[peer]
    home = folder / name
    python = home / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
    return python


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


class Servers:
    """Processes that end with the benchmark."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.pids: dict[int, int] = {}

    def start(self, command: list[str], port: int, *, patience_s: float = 30, **known: str) -> int:
        log = self.stack.enter_context((self.folder / f"{port}.log").open("wb"))
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | known, cwd=self.folder
        )
        self.stack.callback(process.wait)
        self.stack.callback(process.terminate)
        self.pids[port] = process.pid
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return port
            if process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(
            f"{command[:3]} did not start: {(self.folder / f'{port}.log').read_text()[-800:]}"
        )


# ----------------------------------------------------------------------------------- the clients


class Client(asyncio.Protocol):
    """One connection: sends, waits, notes how long it took."""

    def __init__(self, request: bytes, until: float, took: list[float]) -> None:
        self.request, self.until, self.took = request, until, took
        self.done = asyncio.get_running_loop().create_future()
        self.held, self.wrong = b"", 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.start = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.held += data
        end = self.held.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.held[:end].lower()
        at = head.find(b"content-length:")
        if at < 0:
            self.wrong += 1
            self.finish()
            return
        size = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self.held) < end + 4 + size:
            return
        now = time.perf_counter()
        if not self.held.startswith(b"HTTP/1.1 200"):
            self.wrong += 1
        self.held = b""
        self.took.append(now - self.start)
        if now < self.until:
            self.send()
        else:
            self.finish()

    def connection_lost(self, error: Exception | None) -> None:
        self.finish()

    def finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
            self.transport.close()


async def load(
    port: int, body: bytes, headers: str, clients: int, seconds: float
) -> dict[str, Any]:
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    loop, took = asyncio.get_running_loop(), list[float]()
    start = time.perf_counter()
    made = [
        (await loop.create_connection(
            lambda: Client(head.encode() + body, start + seconds, took), "127.0.0.1", port
        ))[1]
        for _ in range(clients)
    ]  # fmt: skip
    await asyncio.wait([one.done for one in made], timeout=seconds + 10)
    spent = time.perf_counter() - start
    took.sort()
    return {
        "rate": len(took) / spent,
        "p50_ms": 1000 * took[len(took) // 2] if took else float("nan"),
        "p99_ms": 1000 * took[min(len(took) - 1, int(len(took) * 0.99))] if took else float("nan"),
        "wrong": sum(one.wrong for one in made),
        "seconds": spent,
    }


def worked(pid: int) -> float:
    """Seconds of processor a server has used so far, which other work on the machine does not change."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(said[11]) + int(said[12])) / os.sysconf("SC_CLK_TCK")


def counted(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/count") as reply:
        return int(reply.read())


# --------------------------------------------------------------------------------- the whole


def started(
    servers: Servers, chosen: argparse.Namespace
) -> tuple[int, dict[str, tuple[int, bytes, str]]]:
    """The upstream's port, and what to send whom."""
    me = [sys.executable, str(Path(__file__).resolve())]
    port = free_port()
    top = servers.start([*me, "--server", "upstream", "--port", str(port)], port)
    url = f"http://127.0.0.1:{top}"

    def asked(model: str, **more: Any) -> bytes:
        return json.dumps({"model": model, "messages": MESSAGES, **more}).encode()

    found: dict[str, tuple[int, bytes, str]] = {}
    port = free_port()
    servers.start([*me, "--server", "bare", "--port", str(port), "--url", url], port)
    found["bare hop"] = (port, asked(MODEL), "")
    file = servers.folder / "cogitate.toml"
    file.write_text(
        f'[endpoints.{MODEL}]\nbase_url = "{url}/v1"\nmodel = "{MODEL}"\ndialect = "generic"\n'
        f'[endpoints.many]\nbase_url = "{url}/v1"\nmodel = "{MODEL}"\ndialect = "vllm"\n'
        f'[gateway]\nmodels = ["{MODEL}", "many"]\nlive = {str(not chosen.no_live).lower()}\n'
    )
    port = free_port()
    ours = [sys.executable, "-m", "cogitate", "serve", "--config", str(file), "--port", str(port)]
    servers.start(ours, port)
    found["ours, pass-through"] = (port, asked(MODEL), "")
    best = f"best_of(n=8, scorer=majority())@{MODEL}"
    found["ours, best of 8"] = (port, asked(best, cogitate={"kind": "number"}), "")
    best = "best_of(n=8, scorer=majority())@many"
    found["ours, best of 8 by n"] = (port, asked(best, cogitate={"kind": "number"}), "")
    if chosen.peers:
        found |= peers(servers, chosen.environments, url, asked)
    return top, found


def peers(
    servers: Servers, folder: Path, url: str, asked: Any
) -> dict[str, tuple[int, bytes, str]]:
    found: dict[str, tuple[int, bytes, str]] = {}
    for way, name in (("stock", "its_hub"), ("tuned", "its_hub tuned")):
        port = free_port()
        servers.start([str(peer_python(folder, "its_hub")), "-c", ITS_HUB, str(port), way], port)
        said = {
            "endpoint": f"{url}/v1",
            "api_key": "none",
            "model": MODEL,
            "alg": "self-consistency",
            "regex_patterns": [r"#### (\d+)"],
            "budget": 8,
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/configure",
            json.dumps(said).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request).read()
        found[f"{name}, budget 1"] = (port, asked(MODEL), "x-its-budget: 1\r\n")
        found[f"{name}, budget 8"] = (port, asked(MODEL), "x-its-budget: 8\r\n")
    config = servers.folder / "litellm.yaml"
    config.write_text(
        f"model_list:\n- model_name: {MODEL}\n  litellm_params:\n    model: openai/{MODEL}\n"
        f"    api_base: {url}/v1\n    api_key: none\n"
    )
    port = free_port()
    python = peer_python(folder, "litellm")
    command = [str(python.parent / "litellm"), "--config", str(config), "--port", str(port)]
    key = "sk-benchmark-of-the-gateway"
    known = {"LITELLM_MASTER_KEY": key, "LITELLM_LOG": "ERROR"}
    servers.start([*command, "--host", "127.0.0.1"], port, patience_s=120, **known)
    found["litellm proxy"] = (port, asked(MODEL), f"Authorization: Bearer {key}\r\n")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--no-live", action="store_true", help="without the live view")
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--environments", type=Path, default=Path(tempfile.gettempdir()) / "peers")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--server", choices=("upstream", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.server == "upstream":
        return upstream(chosen.port)
    if chosen.server == "bare":
        return bare(chosen.port, chosen.url)
    rows: dict[str, dict[int, list[dict[str, Any]]]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = Servers(stack, Path(folder))
        top, found = started(servers, chosen)
        for port, body, headers in found.values():  # warm
            asyncio.run(load(port, body, headers, 2, 0.5))
        for _ in range(chosen.rounds):
            for clients in chosen.clients:
                for name, (port, body, headers) in found.items():
                    if chosen.only and not any(part in name for part in chosen.only):
                        continue
                    before, used = counted(top), worked(servers.pids[port])
                    one = asyncio.run(load(port, body, headers, clients, chosen.seconds))
                    used = worked(servers.pids[port]) - used
                    one["cpu_us"] = 1e6 * used / max(1.0, one["rate"] * one["seconds"])
                    one["calls_rate"] = (counted(top) - before) / one["seconds"]
                    rows.setdefault(name, {}).setdefault(clients, []).append(one)
    if chosen.json:
        print(json.dumps(rows, indent=2))
    else:
        show(rows, chosen.clients)
    return None


def show(rows: dict[str, dict[int, list[dict[str, Any]]]], clients: list[int]) -> None:
    print(
        "medians over rounds; `of bare` is the rate as a share of the bare hop's in the same round"
    )
    for count in clients:
        print(f"\n{count} client{'s' if count > 1 else ''}")
        print(
            f"  {'':<22}{'requests/s':>11}{'of bare':>9}{'p50 ms':>9}{'x bare':>8}{'p99 ms':>9}{'calls/s':>9}{'CPU us':>9}"
        )
        base = rows.get("bare hop", {}).get(count, [])
        for name, cells in rows.items():
            held = cells[count]

            def middle(key: str, held: Any = held) -> float:
                return statistics.median(one[key] for one in held)

            pairs = list(zip(held, base, strict=False))
            share = statistics.median(a["rate"] / b["rate"] for a, b in pairs) if pairs else 0
            slower = statistics.median(a["p50_ms"] / b["p50_ms"] for a, b in pairs) if pairs else 0
            wrong = sum(one["wrong"] for one in held)
            print(
                f"  {name:<22}{middle('rate'):11.0f}{share:9.0%}{middle('p50_ms'):9.2f}{slower:8.2f}"
                f"{middle('p99_ms'):9.1f}{middle('calls_rate'):9.0f}{middle('cpu_us'):9.0f}"
                + (f"  {wrong} wrong" if wrong else "")
            )


if __name__ == "__main__":
    main()
