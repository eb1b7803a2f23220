"""What a hostile client may try: large and deep bodies, headers, addresses, keys; and how the server ends."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("sqlalchemy")
httpx = pytest.importorskip("httpx")

from gateway_harness import QUESTION, completion, events, eventually, serving  # noqa: E402

from cogitate.apps.gateway import app  # noqa: E402
from cogitate.apps.gateway.accounts import Accounts  # noqa: E402
from cogitate.apps.gateway.addresses import is_private  # noqa: E402
from cogitate.apps.gateway.bodies import _depth  # noqa: E402
from cogitate.apps.gateway.sending import header  # noqa: E402
from cogitate.assembly import load, replay  # noqa: E402
from cogitate.assembly.gateway_settings import GatewaySettings  # noqa: E402
from cogitate.testing import FakeEngine  # noqa: E402


def asking(tmp_path, *requests, settings="", accounts=None):
    """Replies to raw requests of a gateway in memory."""

    async def go():
        file = tmp_path / "toy.toml"
        file.write_text(f"[gateway]\n{settings}")
        held = accounts() if accounts else None
        gateway = app(load(file, environment={}), models={"toy": FakeEngine()}, accounts=held)
        transport = httpx.ASGITransport(gateway)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            found = [await client.request(*one[:2], **one[2]) for one in requests]
        await gateway.close()
        return found

    return asyncio.run(go())


def chat(content=b"", path="/v1/chat/completions", **headers):
    kind = {"Content-Type": "application/json"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return "POST", path, {"content": raw, "headers": kind}


SMALL = {"model": "toy", "messages": QUESTION}


def test_bodies_are_bounded_in_size_depth_and_number(tmp_path):
    deep = b'{"model": "toy", "messages": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    brackets = {"model": "toy", "messages": [{"role": "user", "content": "[{" * 5000}]}
    many = {"model": "toy", "messages": QUESTION * 11}
    settings = "max_body_bytes = 20000\nmax_messages = 10\n"
    large, nested, fine, too_many, none, array, text, nan, latin = asking(
        tmp_path,
        chat(b" " * 20_001),
        chat(deep),
        chat(brackets),
        chat(many),
        chat(b""),
        chat(b"[]"),
        chat(SMALL, Content_Type="text/plain"),
        chat(b'{"model": NaN}'),
        chat(b'{"model": "\xff"}'),
        settings=settings,
    )
    assert (large.status_code, large.json()["error"]["code"]) == (413, "too_large")
    assert (nested.status_code, nested.json()["error"]["code"]) == (400, "too_deep")
    assert fine.status_code == 200
    assert too_many.json()["error"]["code"] == "too_many"
    assert text.status_code == 415
    assert [r.status_code for r in (none, array, nan, latin)] == [400] * 4


def test_a_body_without_a_length_is_bounded_too(tmp_path):
    with serving(settings="max_body_bytes = 5000\n", tmp_path=tmp_path) as served:

        def pieces():
            for _ in range(100):
                yield b" " * 1000

        kind = {"Content-Type": "application/json"}
        reply = served.client.post("/v1/chat/completions", content=pieces(), headers=kind)
        assert reply.status_code == 413


def test_the_depth_is_found_in_a_time_that_hostile_quotes_do_not_stretch():
    start = time.perf_counter()
    for raw in (b'"' + b'\\"' * 1_000_000, b'"' + b'\\"' * 1_000_000 + b"\\", b'"' * 1_000_000):
        assert _depth(raw) == 0
    assert _depth(b'{"a": ["[[[", {"b": []}]}') == 4
    assert time.perf_counter() - start < 2.0


def test_no_header_comes_from_what_a_client_wrote(tmp_path):
    spec = 'best_of(n=1, scorer=judge(criteria="a\\r\\nX-Evil: 1é"))'
    said = {**SMALL, "cogitate": {"strategy": spec}}
    (reply,) = asking(tmp_path, chat(said))
    assert reply.status_code == 200
    assert "x-evil" not in reply.headers
    assert header("a\r\nb: c\x00é\u2028") == b"a??b: c???"


PRIVATE = [
    *("127.0.0.1", "127.1", "0", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.0.9"),
    *("169.254.169.254", "100.64.1.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]"),
    *("[::ffff:10.0.0.1]", "[fe80::1]", "[fd00::1]", "[64:ff9b::a00:1]", "localhost", "box"),
    *("x.internal", "printer.local", "a.localhost.", "metadata.google.internal", "224.0.0.1"),
    *("127.0.0.\uff11", "127\u30020\u30020\u30021"),
]


@pytest.mark.parametrize("host", PRIVATE)
def test_images_in_private_networks_are_not_passed_on(tmp_path, host):
    assert is_private(host.strip("[]"))


def test_image_addresses_are_checked(tmp_path):
    def asked(url):
        parts = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": url}}]
        return chat({"model": "toy", "messages": [{"role": "user", "content": parts}]})

    wrong = [
        *("http://127.0.0.1/x.png", "http://[::1]:80/x", "http://user:pw@example.com/x"),
        *("file:///etc/passwd", "ftp://example.com/x", "http://", "javascript:alert(1)"),
        *("http://exa mple.com", "http://example.com\\@127.0.0.1/", "gopher://example.com"),
    ]
    for reply in asking(tmp_path, *map(asked, wrong)):
        assert reply.status_code == 400
        assert reply.json()["error"]["param"] == "messages[0].content[1].image_url.url"
    settings = "allow_private_images = true\n"
    (allowed,) = asking(tmp_path, asked("http://10.0.0.1/x"), settings=settings)
    assert "image_url" not in str(allowed.json().get("error", {}).get("param"))


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://169.254.169.254/meta"}},
        {"type": "image_url", "image_url": "http://169.254.169.254/meta"},
        {"type": "input_image", "image_url": "file:///etc/passwd"},
        {"type": "video_url", "video_url": {"url": "http://localhost/x"}},
    ],
)
def test_addresses_are_checked_in_what_passes_through(tmp_path, part):
    messages = [{"role": "user", "content": [{"type": "text", "text": "http://localhost"}, part]}]
    with serving(tmp_path=tmp_path) as served:
        reply = served.chat(messages=messages)
        assert reply.status_code == 400
        assert reply.json()["error"]["param"].startswith("messages[0].content[1]")
        assert served.upstream.bodies == []
        public = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}
        messages[0]["content"][1] = public
        assert served.chat(messages=messages).status_code == 200


def test_a_client_names_configured_models_only(tmp_path):
    names = [
        *("gguf:/etc/passwd", "openai:http://169.254.169.254/v1#m", "fake", "sim:chain()"),
        *("policy=toy", "toy | fake", "", "a\nb", "x" * 5000, "best_of(n=2)@fake"),
    ]
    for reply in asking(tmp_path, *[chat({**SMALL, "model": name}) for name in names]):
        assert reply.status_code in (400, 404)
        assert reply.json()["error"]["param"] == "model"
    (open_to_all,) = asking(
        tmp_path, chat({**SMALL, "model": "fake"}), settings="allow_any_model = true\n"
    )
    assert open_to_all.status_code == 200


def test_unknown_addresses_and_methods_are_told_as_json(tmp_path):
    replies = asking(
        tmp_path,
        ("GET", "/v1/chat/completions", {}),
        ("GET", "/nothing", {}),
        ("POST", "/v1/embeddings", {}),
        ("GET", "/v1/models/nope", {}),
        ("POST", "/strategies/nope/v1/chat/completions", chat(SMALL)[2]),
    )
    assert [r.status_code for r in replies] == [405, 404, 404, 404, 400]
    assert all(set(r.json()["error"]) == {"message", "type", "param", "code"} for r in replies)


def test_models_lists_each_with_each_named_strategy(tmp_path):
    settings = "models = ['m']\n[gateway.strategies]\ncareful = 'best_of(n=2)'\n"
    listed, one = asking(
        tmp_path, ("GET", "/v1/models", {}), ("GET", "/v1/models/careful@m", {}), settings=settings
    )
    assert [m["id"] for m in listed.json()["data"]] == ["toy", "m", "careful@toy", "careful@m"]
    assert one.json()["object"] == "model"


def test_nothing_is_open_without_a_key_where_keys_are_on(tmp_path):
    def accounts():
        return Accounts.open(tmp_path / "keys.db")

    replies = asking(
        tmp_path,
        chat(SMALL),
        chat(SMALL, Authorization="Bearer cog_000000000000_" + "A" * 43),
        chat(b"not even JSON"),
        ("GET", "/v1/models", {}),
        ("GET", "/v1/models/toy", {}),
        ("GET", "/metrics", {}),
        ("GET", "/ui/api/requests", {}),
        ("GET", "/health", {}),
        accounts=accounts,
    )
    assert [r.status_code for r in replies] == [401] * 7 + [200]
    assert replies[0].json()["error"]["code"] == "invalid_api_key"


def test_a_key_opens_and_its_quota_and_usage_are_kept(tmp_path):
    from cogitate.apps.gateway.accounts import Quota
    from cogitate.apps.gateway.accounts.keyring import add
    from cogitate.apps.gateway.accounts.records import newest
    from cogitate.apps.gateway.accounts.tables import opened

    path = tmp_path / "keys.db"
    engine = opened(path)
    with engine.begin() as connection:
        key = add(connection, "ann", quotas=[Quota("requests", 2, "day")], now=time.time()).secret
    asked = chat(
        {**SMALL, "model": "best_of(n=2, scorer=majority())@toy"}, Authorization=f"Bearer {key}"
    )
    first, second, third = asking(
        tmp_path, asked, asked, asked, accounts=lambda: Accounts.open(path)
    )
    assert (first.status_code, second.status_code, third.status_code) == (200, 200, 429)
    assert int(third.headers["retry-after"]) > 0
    with engine.connect() as connection:
        rows = newest(connection, 10)
    assert [row["status"] for row in rows] == [429, 200, 200]
    assert rows[-1]["tokens_out"] == first.json()["usage"]["completion_tokens"]
    assert (rows[-1]["calls"], rows[-1]["key"]) == (2, "ann")
    engine.dispose()


def test_a_failure_of_ours_tells_nothing(tmp_path, monkeypatch):
    from cogitate.apps.gateway.strategies import Strategies

    async def broken(self, turn, sender):
        raise RuntimeError("secret-inside")

    monkeypatch.setattr(Strategies, "serve", broken)
    (reply,) = asking(tmp_path, chat(SMALL))
    assert reply.status_code == 500
    assert "secret-inside" not in reply.text


# ----------------------------------------------------------------------------------- shutdown


def test_a_shutdown_lets_requests_end(tmp_path):
    gate = threading.Event()

    async def reply(body, request):
        while not gate.is_set():
            await asyncio.sleep(0.01)
        return completion("late but whole")

    found = {}
    with serving(reply, "grace_s = 5\n", tmp_path=tmp_path) as served:

        def ask():
            found["reply"] = served.chat()

        thread = threading.Thread(target=ask)
        thread.start()
        assert eventually(lambda: served.upstream.open == 1)
        served.stop()
        assert eventually(lambda: served.gateway.closing)
        gate.set()
        thread.join(5)
    assert found["reply"].json()["choices"][0]["message"]["content"] == "late but whole"


@pytest.mark.parametrize("stream", [False, True])
def test_a_shutdown_fails_cleanly_what_does_not_end(tmp_path, stream):
    async def reply(body, request):
        if len(served.upstream.bodies) > 1:
            await asyncio.sleep(30)
        return completion("one")

    found = {}
    journals = tmp_path / "journals"
    settings = f"grace_s = 0.3\njournals = '{journals}'\n"
    with serving(reply, settings, tmp_path=tmp_path) as served:

        def ask():
            found["reply"] = served.chat("best_of(n=3, scorer=majority())@up", stream=stream)

        thread = threading.Thread(target=ask)
        thread.start()
        assert eventually(lambda: len(served.upstream.bodies) == 3)
        served.stop()
        thread.join(8)
        assert eventually(lambda: served.upstream.cut == 2)
    answer = found["reply"]
    if stream and answer.status_code == 200:
        error = events(answer.text)[0][-1]["error"]
    else:
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        error = answer.json()["error"]
    assert error["code"] == "shutting_down"
    (journal,) = journals.glob("*.jsonl")
    from cogitate.core.errors import JournalError

    with pytest.raises(JournalError):  # it is whole as far as it goes, and can be gone on with
        replay(journal)
    from cogitate.drive import FileJournal

    with FileJournal.open(journal, read_only=True) as book:
        assert book.header["strategy"].startswith("best_of")


def test_what_a_shutdown_cut_goes_on_from_its_journal(tmp_path):
    from cogitate.assembly import resume
    from cogitate.core.protocols import Limits
    from cogitate.core.requests import Generate

    class Stuck(FakeEngine):
        """Answers one request, and the others once it is told to."""

        asked, free = 0, False
        limits = Limits(concurrency=8)

        async def serve(self, batch, *more):
            if isinstance(batch[0], Generate) and not self.free:
                self.asked += 1
                if self.asked > 1:
                    await asyncio.sleep(30)
            return await super().serve(batch, *more)

    engine, journals = Stuck(answers=("42",)), tmp_path / "journals"

    async def go():
        file = tmp_path / "toy.toml"
        file.write_text(f"[gateway]\ngrace_s = 0.1\njournals = '{journals}'\n")
        gateway = app(load(file, environment={}), models={"toy": engine})
        transport = httpx.ASGITransport(gateway)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            body = {**SMALL, "model": "best_of(n=3, scorer=majority())@toy"}
            asked = asyncio.ensure_future(client.post("/v1/chat/completions", json=body))
            while engine.asked < 3:
                await asyncio.sleep(0.01)
            await gateway.drain()
            reply, refused = await asked, await client.post("/v1/chat/completions", json=body)
        await gateway.close()
        return reply, refused

    reply, refused = asyncio.run(go())
    assert [r.json()["error"]["code"] for r in (reply, refused)] == ["shutting_down"] * 2
    path = journals / f"{reply.headers['x-request-id']}.jsonl"
    engine.free = True
    before = engine.asked
    result = resume(path, model=engine, configuration=load(tmp_path / "toy.toml", environment={}))
    assert len(result.candidates) == 3
    assert engine.asked == before
    assert replay(path).text == result.text


def test_settings_read_and_refuse(tmp_path):
    from cogitate.core.errors import InvalidInput

    file = tmp_path / "c.toml"
    for text in (
        "prot = 1",
        "port = 70000",
        "host = 3",
        "models = 'x'",
        "strategy = 'nope()'",
        "accounts = 'postgresql://u:secret@h/db'",
        "accounts = 'a.db'\naccounts_variable = 'DB'",
        "[gateway.efforts]\nhuge = {calls = 1}",
        "[gateway.most]\ncoins = 1",
        "[gateway.strategies]\n'a b' = 'best_of()'",
    ):
        file.write_text(f"[gateway]\n{text}\n")
        with pytest.raises(InvalidInput) as caught:
            load(file, environment={})
        assert "secret" not in str(caught.value)
    file.write_text("")
    assert load(file, environment={}).gateway == GatewaySettings()
