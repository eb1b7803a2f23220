"""Requests that name a model alone: sent on almost word for word, streamed as they come, and cut in time."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")

from aiohttp import web  # noqa: E402
from gateway_harness import QUESTION, chunk, completion, events, eventually, serving  # noqa: E402

from cogitate.apps.gateway.passing import without_usage  # noqa: E402
from cogitate.apps.gateway.relay import usage_in  # noqa: E402


def test_the_body_goes_on_as_it_came_but_for_the_model(tmp_path):
    said = {
        "messages": [
            {"role": "system", "content": "é"},
            {"role": "user", "content": [{"type": "text", "text": "hm"}], "odd": [1, {"x": None}]},
        ],
        "temperature": 0.123456789,
        "top_k": 7,
        "unknown": {"nested": [True, None, 1e-7]},
        "tools": [{"type": "custom", "custom": {"name": "f"}}],
    }
    with serving(tmp_path=tmp_path) as served:
        reply = served.client.post("/v1/chat/completions", json={"model": "up", **said})
        assert reply.status_code == 200
        assert reply.json() == completion()
        assert served.upstream.bodies == [{"model": "up-model", **said}]
        assert float(reply.headers["x-cogitate-overhead-ms"]) >= 0
        assert reply.headers["x-cogitate-calls"] == "1"
        assert reply.headers["x-request-id"].startswith("chatcmpl-")


def test_the_clients_key_and_cookies_stay_here_and_ours_goes(tmp_path):
    with serving(tmp_path=tmp_path) as served:
        headers = {
            "Authorization": "Bearer client-secret",
            "Cookie": "a=b",
            "X-Api-Key": "client-secret",
            "traceparent": "00-abc",
            "Proxy-Authorization": "x",
        }
        assert served.chat(headers=headers).status_code == 200
        seen = served.upstream.headers[0]
        assert seen["Authorization"] == "Bearer upstream-secret-key"
        assert seen["traceparent"] == "00-abc"
        assert "client-secret" not in json.dumps(seen)
        assert not {"Cookie", "X-Api-Key", "Proxy-Authorization"} & set(seen)
    with serving(key="", tmp_path=tmp_path) as served:
        assert served.chat(headers=headers).status_code == 200
        assert "Authorization" not in served.upstream.headers[0]


def test_hop_by_hop_headers_of_the_reply_are_dropped(tmp_path):
    def reply(body, request):
        return web.json_response(
            completion(),
            headers={
                "Set-Cookie": "evil=1",
                "X-RateLimit-Left": "3",
                "X-Secret-Hop": "1",
                "Connection": "x-secret-hop",
                "X-Cogitate-Calls": "999",
                "Server": "up/1",
            },
        )

    with serving(reply, tmp_path=tmp_path) as served:
        headers = served.chat().headers
        assert headers["x-ratelimit-left"] == "3"
        assert headers.get_list("x-cogitate-calls") == ["1"]
        assert not {"set-cookie", "x-secret-hop", "server"} & set(headers)


@pytest.mark.parametrize("status", [400, 404, 422, 429, 500, 503])
def test_errors_of_the_server_come_back_as_they_are(tmp_path, status):
    with serving(lambda body, request: status, tmp_path=tmp_path) as served:
        reply = served.chat()
        assert reply.status_code == status
        assert reply.json()["error"]["message"] == "no"


@pytest.mark.parametrize("status", [401, 403, 302])
def test_a_server_that_refuses_us_is_our_fault_and_not_the_clients(tmp_path, status):
    with serving(lambda body, request: status, tmp_path=tmp_path) as served:
        reply = served.chat()
        assert reply.status_code == 502
        assert reply.json()["error"]["code"] == "upstream_refused_us"
        assert "upstream-secret-key" not in reply.text


def test_a_server_that_is_down_or_breaks_off_is_a_502(tmp_path):
    def reply(body, request):
        request.transport.abort()
        return web.Response()

    with serving(reply, tmp_path=tmp_path) as served:
        assert served.chat().json()["error"]["code"] == "upstream_cut"
    settings = '\n[endpoints.down]\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\n'
    with serving(settings=settings, tmp_path=tmp_path) as served:
        served.gateway.choosing._known |= {"down"}
        reply = served.chat("down")
        assert reply.status_code == 502
        assert reply.json()["error"]["code"] == "upstream_refused"


def streaming(pieces, gate=None):
    async def reply(body, request):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for at, piece in enumerate(pieces):
            if gate is not None and at == len(pieces) - 1:
                while not gate.is_set():
                    await asyncio.sleep(0.005)
            await response.write(piece)
        await response.write_eof()
        return response

    return reply


def test_a_stream_is_passed_on_piece_by_piece_before_its_end(tmp_path):
    gate = threading.Event()
    pieces = [chunk("one "), chunk("two "), chunk(end="stop"), b"data: [DONE]\n\n"]
    with serving(streaming(pieces, gate), tmp_path=tmp_path) as served:
        body = {"model": "up", "messages": QUESTION, "stream": True}
        got = b""
        with served.client.stream("POST", "/v1/chat/completions", json=body) as reply:
            for piece in reply.iter_raw():
                got += piece
                if b"two" in got and not gate.is_set():
                    assert b"[DONE]" not in got
                    gate.set()
        assert gate.is_set()
        found, comments = events(got.decode())
        assert found[-1] == "[DONE]"
        assert "calls=1" in comments[-1]


def test_the_usage_of_a_stream_is_asked_for_counted_and_hidden(tmp_path):
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    pieces = [chunk("hi") + chunk(end="stop")[:20], chunk(end="stop")[20:], chunk(usage=usage)]
    with serving(streaming([*pieces, b"data: [DONE]\n\n"]), tmp_path=tmp_path) as served:
        text = served.chat(stream=True).text
        assert served.upstream.bodies[0]["stream_options"] == {"include_usage": True}
        found, _ = events(text)
        assert [e["choices"][0]["delta"] for e in found[:-1]] == [{"content": "hi"}, {}]
        assert "prompt_tokens" not in text
        seen = served.chat(stream=True, stream_options={"include_usage": True}).text
        assert events(seen)[0][-2]["usage"] == usage
        metrics = served.client.get("/metrics").text
        assert 'cogitate_tokens_total{kind="in",model="up",strategy=""} 18.0' in metrics


def test_what_a_reply_cost_is_read_from_its_end():
    price = None
    text = json.dumps(completion('says "usage": {"prompt_tokens": 99}')).encode()
    found = usage_in(text, price)
    assert (found.tokens_in, found.tokens_cached, found.tokens_out, found.tokens_reasoning) == (
        7,
        2,
        3,
        1,
    )
    assert usage_in(b'{"usage": null}', price) is None
    assert (
        usage_in(b'{"usage": {"prompt_tokens": true, "completion_tokens": -4}}', price).calls == 1
    )
    whole = chunk("a") + chunk(usage={"prompt_tokens": 1}) + b"data: [DONE]\n\n"
    assert without_usage(whole) == chunk("a") + b"data: [DONE]\n\n"


def test_a_client_that_leaves_ends_the_servers_work_within_a_second(tmp_path):
    async def reply(body, request):
        await asyncio.sleep(30)

    with serving(reply, tmp_path=tmp_path) as served:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{served.url}/v1/chat/completions",
                json={"model": "up", "messages": QUESTION},
                timeout=0.3,
            )
        start = time.monotonic()
        assert served.upstream.gone.wait(1.0)
        assert time.monotonic() - start < 1.0
        assert eventually(lambda: not served.gateway._leashes)


def test_a_client_that_leaves_a_stream_ends_the_servers_work(tmp_path):
    async def reply(body, request):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while True:
            await response.write(chunk("x"))
            await asyncio.sleep(0.02)

    with serving(reply, tmp_path=tmp_path) as served:
        body = {"model": "up", "messages": QUESTION, "stream": True}
        with served.client.stream("POST", "/v1/chat/completions", json=body) as response:
            next(response.iter_raw())
        assert served.upstream.gone.wait(1.0)
        assert eventually(lambda: not served.gateway._leashes)


def test_a_deadline_ends_a_request(tmp_path):
    async def reply(body, request):
        await asyncio.sleep(30)

    with serving(reply, tmp_path=tmp_path) as served:
        answer = served.chat(headers={"x-cogitate-seconds": "0.2"})
        assert answer.status_code == 504
        assert answer.json()["error"]["code"] == "deadline_exceeded"
        assert served.upstream.gone.wait(1.0)


def test_a_key_named_twice_reaches_the_server_once(tmp_path):
    """A parser that took the other one would let a client name a model behind our back."""
    with serving(tmp_path=tmp_path) as served:
        raw = b'{"model": "secret", "messages": [], "\\u006dodel": "up"}'
        kind = {"Content-Type": "application/json"}
        assert served.client.post("/v1/chat/completions", content=raw, headers=kind).is_success
        assert served.upstream.bodies[0]["model"] == "up-model"


def test_slow_heads_and_slow_bodies_are_cut(tmp_path):
    with serving(settings="body_seconds = 0.3\n", tmp_path=tmp_path) as served:
        port = int(served.url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as silent:
            silent.settimeout(3)
            silent.sendall(b"POST /v1/chat/completions HT")
            assert silent.recv(100) == b""
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.settimeout(3)
            slow.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
            assert b" 408 " in slow.recv(4000)


def test_completions_pass_through_too(tmp_path):
    with serving(tmp_path=tmp_path) as served:
        body = {"model": "up", "prompt": [1, 2, 3], "echo": True, "suffix": "x"}
        assert served.client.post("/v1/completions", json=body).is_success
        assert served.upstream.bodies == [{**body, "model": "up-model"}]
