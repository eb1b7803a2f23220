"""What hostile clients try against a whole gateway, through sockets: keys, quotas, bodies, headers, addresses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("sqlalchemy")
httpx = pytest.importorskip("httpx")

from gateway_harness import QUESTION, completion, eventually, serving  # noqa: E402

from cogitate.apps.gateway.accounts import Accounts, Quota  # noqa: E402
from cogitate.apps.gateway.accounts.keyring import add, revoke  # noqa: E402
from cogitate.apps.gateway.accounts.tables import opened  # noqa: E402

CHAT = "/v1/chat/completions"
STRATEGY = "best_of(n=2, scorer=majority())"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A gateway without keys, in front of a server that answers everything."""
    folder = tmp_path_factory.mktemp("open")
    settings = f"body_seconds = 1.0\nmax_body_bytes = 200000\njournals = '{folder}/journals'\n"
    with serving(settings=settings, tmp_path=folder) as served:
        served.folder = folder
        yield served


@pytest.fixture
def served(place):
    place.upstream.reply = lambda body, request: completion()
    place.upstream.bodies.clear()
    return place


@contextlib.contextmanager
def keyed(tmp_path, reply=None, settings=""):
    """A gateway with keys; `make(name, **more)` gives a key and its id."""
    path = tmp_path / "keys.db"
    engine = opened(path)

    def make(name, now=None, **more):
        with engine.begin() as connection:
            issued = add(connection, name, now=now or time.time(), **more)
        return SimpleNamespace(
            secret=issued.secret,
            id=issued.key.id,
            header={"Authorization": f"Bearer {issued.secret}"},
        )

    settings = settings or f"journals = '{tmp_path}/journals'\n"
    accounts = Accounts.open(path, prompt_days=1.0)
    with serving(reply, settings, accounts=accounts, tmp_path=tmp_path) as served:
        served.make, served.engine = make, engine
        yield served
    engine.dispose()


def raw(served, text, seconds=3.0):
    """What comes back for bytes that no client library would send."""
    port = int(served.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.settimeout(seconds)
        line.sendall(text if isinstance(text, bytes) else text.encode("latin-1"))
        got = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while piece := line.recv(65536):
                got += piece
        return got


def post(body, *headers, path=CHAT):
    """A request as bytes; `headers` come before those that every request has."""
    head = [f"POST {path} HTTP/1.1", "Host: x", *headers, "Content-Type: application/json"]
    return "\r\n".join([*head, "Connection: close", "", body])


# --------------------------------------------------------------------------------------- keys


def every_route(gateway):
    """All addresses that the gateway has, and their methods."""
    found = [("POST", CHAT), ("POST", "/v1/completions"), ("POST", f"/strategies/x{CHAT}")]
    for route in gateway.pages.routes:
        path = route.path
        for name, value in {
            "{name:path}": "up",
            "{spec:path}": "greedy()",
            "{order:int}": "1",
            "{id}": "x",
            "{name}": "x",
        }.items():
            path = path.replace(name, value)
        found += [(method, path) for method in sorted(route.methods - {"HEAD"})]
    return found


OPEN = {"/health", "/ui", "/ui/", "/ui/static/x", "/ui/login", "/ui/logout"}
"""What needs no key: whether it lives, the page without any data, and where it takes a key."""


def test_no_address_opens_without_a_good_key(tmp_path):
    with keyed(tmp_path) as served:
        ann, old, gone = (
            served.make("ann"),
            served.make("old", now=1.0, expires_at=2.0),
            served.make("gone"),
        )
        with served.engine.begin() as connection:
            revoke(connection, gone.id, now=time.time())
        good = ann.secret
        wrong = [
            *(
                "",
                "Bearer",
                "Bearer x",
                good,
                f"Basic {good}",
                f"Bearer {good}x",
                f"Bearer {good[:-1]}",
            ),
            *(
                f"Bearer {good.upper()}",
                "Bearer cog_" + "0" * 12 + "_" + "A" * 43,
                "Bearer " + "x" * 9000,
            ),
            *(
                f"Bearer {good[:17]}{old.secret[17:]}",
                f"Bearer {old.secret}",
                f"Bearer {gone.secret}",
            ),
            *("Bearer ' OR 1=1 --", f"Bearer {good}, Bearer {good}"),
        ]
        body = json.dumps({"model": "up", "messages": QUESTION})
        tried = 0
        assert eventually(lambda: served.chat(headers=gone.header).status_code == 401)
        served.upstream.bodies.clear()
        for method, path in every_route(served.gateway):
            for value in [None, *wrong] if path not in OPEN else []:
                headers = JSON if value is None else JSON | {"Authorization": value}
                reply = served.client.request(method, path, content=body, headers=headers)
                assert reply.status_code == 401, (method, path, value)
                assert good not in reply.text
                tried += 1
        assert tried > 100
        assert served.upstream.bodies == []
        reply = served.client.post(
            "/ui/login", json={"key": wrong[-3]}, headers={"Origin": served.url}
        )
        assert reply.status_code in (401, 403)
        assert "set-cookie" not in reply.headers
        assert served.chat(headers=ann.header).status_code == 200


def test_a_revoked_key_is_refused_within_two_seconds(tmp_path):
    with keyed(tmp_path) as served:
        ann = served.make("ann")
        assert served.chat(headers=ann.header).status_code == 200
        with served.engine.begin() as connection:
            revoke(connection, ann.id, now=time.time())
        assert eventually(lambda: served.chat(headers=ann.header).status_code == 401, 2.0)


def test_keys_are_compared_in_a_time_that_tells_nothing(tmp_path, monkeypatch):
    from cogitate.apps.gateway.accounts import keys

    seen = []
    compare = keys.hmac.compare_digest
    monkeypatch.setattr(
        keys.hmac, "compare_digest", lambda a, b: seen.append((a, b)) or compare(a, b)
    )
    with keyed(tmp_path) as served:
        ann = served.make("ann")
        assert served.chat(headers=ann.header).status_code == 200
        assert (
            served.chat(headers={"Authorization": f"Bearer {ann.secret[:-1]}!"}).status_code == 401
        )
        other = ann.secret[:-1] + ("A" if ann.secret[-1] != "A" else "B")
        assert served.chat(headers={"Authorization": f"Bearer {other}"}).status_code == 401
    assert len(seen) >= 2
    assert all(ann.secret not in pair for pair in seen)  # hashes are compared


def test_keys_are_nowhere_but_with_their_owner(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)

    def reply(body, request):
        return 403 if "refuse" in str(body) else completion()

    with keyed(tmp_path, reply) as served:
        ann = served.make("ann")
        messages = [{"role": "user", "content": "refuse"}]
        texts = []
        for asked in (QUESTION, messages):
            for model in ("up", f"{STRATEGY}@up", f"nope {ann.secret[:3]}"):
                reply = served.chat(model, asked, headers=ann.header)
                texts += [reply.text, str(reply.headers)]
        for page in ("/metrics", "/v1/models", "/ui/api/requests", "/ui/api/journals", "/ui"):
            reply = served.client.get(page, headers=ann.header)
            texts += [reply.text, str(reply.headers)]
        secrets = [ann.secret, ann.secret.rpartition("_")[2], "upstream-secret-key"]
        assert not any(secret in text for text in texts for secret in secrets)
        assert not any(secret in caplog.text for secret in secrets)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".jsonl" for path in kept)
    for path in kept:
        assert not any(secret.encode() in path.read_bytes() for secret in secrets), path


# ------------------------------------------------------------------------------------- quotas


def together(served, header, count, **more):
    """The statuses of so many requests at once."""

    async def go():
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(base_url=served.url, timeout=20, limits=limits) as client:
            body = {"model": "up", "messages": QUESTION, **more}
            asked = (client.post(CHAT, json=body, headers=header) for _ in range(count))
            return [reply.status_code for reply in await asyncio.gather(*asked)]

    return asyncio.run(go())


@pytest.mark.parametrize("model", ["up", f"{STRATEGY}@up"])
def test_a_quota_of_requests_holds_in_a_race(tmp_path, model):
    async def reply(body, request):
        await asyncio.sleep(0.05)
        return completion()

    with keyed(tmp_path, reply) as served:
        key = served.make("ann", quotas=[Quota("requests", 5, "total")])
        statuses = together(served, key.header, 30, model=model)
        assert sorted(set(statuses)) == [200, 429]
        assert statuses.count(200) == 5
        assert len(served.upstream.bodies) == 5 * (2 if "@" in model else 1)
        assert together(served, key.header, 3) == [429] * 3


def test_a_quota_of_tokens_holds_in_a_race(tmp_path):
    async def reply(body, request):
        await asyncio.sleep(0.02)
        used = {"prompt_tokens": 10, "completion_tokens": 100, "total_tokens": 110}
        return completion() | {"usage": used}

    with keyed(tmp_path, reply) as served:
        key = served.make("ann", quotas=[Quota("tokens_out", 1000, "total")])
        statuses = together(served, key.header, 40, max_tokens=100)
        assert 1 <= statuses.count(200) <= 10
        for _ in range(3):  # what was held and not spent may be used up, and no more
            together(served, key.header, 10, max_tokens=100)
        assert len(served.upstream.bodies) == 10


def test_a_bound_on_requests_at_once_holds_in_a_race(tmp_path):
    most = 0

    async def reply(body, request):
        nonlocal most
        most = max(most, served.upstream.open)
        await asyncio.sleep(0.05)
        return completion()

    with keyed(tmp_path, reply) as served:
        key = served.make("ann", concurrency=3)
        statuses = together(served, key.header, 30)
        assert set(statuses) <= {200, 429}
        assert 1 <= most <= 3


def test_leaving_early_costs_what_was_begun(tmp_path):
    async def reply(body, request):
        await asyncio.sleep(30)

    with keyed(tmp_path, reply) as served:
        key = served.make("ann")
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                served.url + CHAT,
                json={"model": "up", "messages": QUESTION},
                headers=key.header,
                timeout=0.4,
            )
        assert served.upstream.gone.wait(1.0)
        assert eventually(lambda: not served.gateway._leashes)
        engine = served.engine
    from cogitate.apps.gateway.accounts.records import newest

    with engine.connect() as connection:
        (row,) = newest(connection, 5)
    assert (row["status"], row["calls"], bool(row["estimated"])) == (499, 1, True)
    assert row["tokens_in"] > 0


# ------------------------------------------------------------------------------------- bodies


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(served):
    got = raw(served, post("", "Content-Length: 99999999999"))
    assert got.startswith(b"HTTP/1.1 413 ")
    assert b"too_large" in got


def test_a_body_in_endless_chunks_is_refused(served):
    chunk = "8000\r\n" + " " * 0x8000 + "\r\n"
    got = raw(served, post(chunk * 9, "Transfer-Encoding: chunked"))
    assert got.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[" * 90_000, "too_deep"),
        (b'{"a":' * 30_000 + b"1" + b"}" * 30_000, "too_deep"),
        (b'{"model": "up", "messages": "\xff\xfe"}', "not_json"),
        (b'{"model": "up", "n": ' + b"9" * 90_000 + b"}", "not_json"),
        (b'{"model": "up", "messages": [], "temperature": 1e999}', "not_json"),
        (b'{"model": "up", "messages": [], "x": Infinity}', "not_json"),
        (b"\x1f\x8b\x08\x00" + b"\x00" * 50, "not_json"),
        (b"\xef\xbb\xbf{}", "not_json"),
        (b"", "not_json"),
        (b"null", "not_json"),
    ],
)
def test_hostile_bodies_are_refused_at_once(served, body, code):
    start = time.monotonic()
    reply = served.client.post(CHAT, content=body, headers=JSON)
    assert time.monotonic() - start < 2.0
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == code
    assert served.upstream.bodies == []


def test_floods_of_messages_and_half_characters_are_refused(served):
    many = [{"role": "user", "content": ""}] * 4000
    assert served.chat(f"{STRATEGY}@up", many).json()["error"]["code"] == "too_many"
    for text in ("\ud800", "a\udfffb"):
        content = json.dumps(
            {"model": f"{STRATEGY}@up", "messages": [{"role": "user", "content": text}]}
        )
        reply = served.client.post(CHAT, content=content, headers=JSON)
        assert reply.status_code == 400
    assert served.upstream.bodies == []


# -------------------------------------------------------------------- headers and the protocol


INNER = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nX-Cogitate-Strategy: smuggled\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Content-Length: 5", "Content-Length: 400"),
        ("Content-Length: 5, 400",),
        ("Content-Length: +5",),
        ("Content-Length: 0x5",),
        ("Content-Length: -5",),
        ("Content-Length : 5",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding:\x0bchunked",),
        ("X: a\x00b", "Content-Length: 5"),
    ],
)
def test_a_request_cannot_hide_another(served, headers):
    body = "0\r\n\r\n" + INNER
    got = raw(served, post(body, *headers))
    assert got.count(b"HTTP/1.1") <= 1, got
    assert b"smuggled" not in got
    assert not got.startswith(b"HTTP/1.1 2")
    assert served.upstream.bodies == []


@pytest.mark.parametrize("name", ["Authorization", "X-Cogitate-Strategy", "X-Cogitate-Calls"])
def test_headers_that_contradict_each_other_are_refused(served, name):
    body = json.dumps({"model": "up", "messages": QUESTION})
    length = f"Content-Length: {len(body)}"
    got = raw(served, post(body, f"{name}: 1", f"{name}: 2", length))
    assert got.startswith(b"HTTP/1.1 400 ")
    assert b"once" in got
    assert served.upstream.bodies == []


EVIL = "a\r\nX-Evil: 1\r\n\r\n<script>"


def test_nothing_that_a_client_writes_becomes_a_header(served):
    replies = [
        served.chat(EVIL),
        served.chat(f"best_of(n=1)@{EVIL}"),
        served.chat(cogitate={"strategy": EVIL}),
        served.chat(cogitate={"strategy": f"best_of(n=1, scorer=judge(criteria={EVIL!r}))"}),
        served.chat(path="/strategies/" + "greedy()%0d%0aX-Evil:%201"),
        served.client.get("/v1/models/a%0d%0aX-Evil:%201"),
        served.client.get("/ui/static/a%0d%0aX-Evil:%201"),
        served.client.get("/ui/api/journal", params={"name": EVIL}),
        served.client.get(f"/{EVIL!r}"),
        served.chat(headers={"x-request-id": "mine", "x-forwarded-host": "evil"}),
    ]
    for reply in replies:
        assert "x-evil" not in reply.headers
        assert "evil" not in str(reply.headers).lower().replace("x-evil: 1", "")
        assert reply.headers["content-type"].startswith("application/json")
    assert served.client.get("/health").status_code == 200


def test_names_of_keys_hold_no_line_breaks(tmp_path):
    from cogitate.core.errors import InvalidInput

    with keyed(tmp_path) as served:
        for name in ("a\r\nX-Evil: 1", "a\nb", "", "x" * 5000):
            with pytest.raises(InvalidInput):
                served.make(name)


# ----------------------------------------------------------------------------------- addresses


@contextlib.contextmanager
def victim():
    """A server in the private network; `seen` counts who came."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.05)
    over, seen = threading.Event(), []

    def accept():
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                line, _ = listening.accept()
                seen.append(line.recv(1000))
                line.close()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listening.getsockname()[1], seen
    finally:
        over.set()
        thread.join()
        listening.close()


HOSTS = [
    *("127.0.0.1", "localhost", "localhost.", "LOCALHOST", "2130706433", "0x7f000001", "0177.1"),
    *(
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0",
        "169.254.169.254",
        "10.0.0.1",
    ),
    *("metadata.google.internal", "x.local", "%6c%6f%63%61%6c%68%6f%73%74", "127.0.0.1%2f"),
    *("user@127.0.0.1", "example.org#@127.0.0.1", "ⓛocalhost", "127。0。0。1"),
]


@pytest.mark.parametrize("model", ["up", f"{STRATEGY}@up"])
def test_no_image_address_leads_into_the_private_network(served, model):
    with victim() as (port, seen):
        for host in HOSTS:
            at, _, fragment = host.partition("#")
            url = f"http://{at}:{port}/x.png" + (f"#{fragment}" if fragment else "")
            if fragment:
                continue  # a fragment is no part of where it leads
            parts = [
                {"type": "image_url", "image_url": {"url": url}},
                {"type": "text", "text": "?"},
            ]
            reply = served.chat(model, [{"role": "user", "content": parts}])
            assert reply.status_code == 400, url
            assert reply.json()["error"]["param"].startswith("messages[0].content[0]")
        public = f"https://example.org/x.png?to=http://127.0.0.1:{port}/"
        parts = [{"type": "image_url", "image_url": {"url": public}}, {"type": "text", "text": "?"}]
        served.upstream.bodies.clear()
        assert served.chat(model, [{"role": "user", "content": parts}]).status_code == 200
        sent = served.upstream.bodies[-1]["messages"][-1]["content"]
        assert sent[0]["image_url"]["url"] == public  # passed on and never fetched here
        assert seen == []


def test_nobody_can_say_where_requests_go(served):
    with victim() as (port, seen):
        there = f"http://127.0.0.1:{port}/v1"
        fields = {"base_url": there, "api_base": there, "api_key": "x", "endpoint": there}
        headers = {"X-Upstream": there, "X-Forwarded-Host": f"127.0.0.1:{port}", "Forwarded": there}
        assert (
            served.chat(headers=headers | {"Host": f"127.0.0.1:{port}"}, **fields).status_code
            == 200
        )
        assert len(served.upstream.bodies) == 1
        assert served.upstream.headers[-1]["Authorization"] == "Bearer upstream-secret-key"
        assert "X-Upstream" not in served.upstream.headers[-1]
        for name in fields:
            reply = served.chat(f"{STRATEGY}@up", **{name: there})
            assert reply.json()["error"]["param"] == name
        for model in (
            *(
                f"openai:{there}#m",
                f"best_of(n=2)@openai:{there}#m",
                "up=openai:x",
                "gguf:/etc/passwd",
            ),
            *(f"policy=up,judge=openai:{there}#m", "fake", "../up", "up/../up", "up?x=1", "UP"),
        ):
            assert served.chat(model).status_code in (400, 404), model
        assert seen == []


def test_redirects_of_the_server_are_not_followed(served):
    from aiohttp import web

    with victim() as (port, seen):
        served.upstream.reply = lambda body, request: web.Response(
            status=307, headers={"Location": f"http://127.0.0.1:{port}/"}
        )
        for model in ("up", f"{STRATEGY}@up"):
            reply = served.chat(model)
            assert reply.status_code == 502
            assert str(port) not in reply.text
        assert seen == []


def test_clients_do_not_learn_where_the_models_are(tmp_path):
    settings = (
        'models = ["up", "nokey", "down"]\n'
        '[endpoints.nokey]\nbase_url = "http://127.0.0.1:PORT/v1"\nmodel = "m"\n'
        'key_variable = "UNSET_VARIABLE"\n'
        '[endpoints.down]\nbase_url = "http://127.0.0.1:9/inner/v1"\nmodel = "m"\n'
    )
    with serving(lambda body, request: 401, settings, tmp_path=tmp_path) as served:
        for model in ("up", "nokey", "down"):
            for name in (model, f"greedy()@{model}", f"{STRATEGY}@{model}"):
                for stream in (False, True):
                    reply = served.chat(name, stream=stream)
                    assert reply.status_code == 502, reply.text
                    for inner in ("127.0.0.1", "inner", "_VARIABLE", "UP_KEY"):
                        assert inner not in reply.text, (name, reply.text)


@pytest.mark.parametrize(
    "spec",
    [
        "__import__('os').system('id')",
        "best_of(n=__import__('os'))",
        "best_of(scorer=open('/etc/passwd'))",
        "best_of(n=2).__class__",
        "best_of(n=(lambda: 2)())",
        "best_of(n=[2 for _ in (1,)][0])",
        "best_of(**{'n': 2})",
        "best_of(scorer=function('os.system'))",
        "best_of(scorer=judge(model='openai:http://127.0.0.1:1/v1#m'))",
        "best_of(scorer=checks(tests='/etc/passwd'))",
        "best_of(n=1000000000)",
        "best_of(n=100000)",
        "best_of(n=10**9)",
        "best_of(n=1e9)",
        "beam_search(width=1000, branch=1000)",
        "beam_search(width=linear(first=90000))",
        "vote(vote(vote(best_of(n=20), n=20), n=20), n=20)",
        "vote(" * 300 + "greedy()" + ", n=1)" * 300,
        "(" * 4000,
        "best_of(n=" + "9" * 4000 + ")",
        "best_of(n=2)" + " " * 5000,
    ],
)
def test_specs_are_read_and_never_run(served, spec):
    start = time.monotonic()
    reply = served.chat(cogitate={"strategy": spec})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "cogitate.strategy"
    assert time.monotonic() - start < 2.0
    assert served.upstream.bodies == []


def test_a_scorer_beside_the_strategy_is_bounded_too(served):
    for scorer in ("judge(samples=90000)", "function('os.system')", "open('/etc/passwd')"):
        reply = served.chat(cogitate={"strategy": "best_of(n=2)", "scorer": scorer})
        assert reply.status_code == 400, scorer
    assert served.upstream.bodies == []


# ------------------------------------------------------------------------------- the live view


def test_no_name_of_a_journal_leads_out_of_the_folder(served):
    folder = served.folder / "journals"
    (served.folder / "secret.jsonl").write_text("{}")
    (folder / "link.jsonl").symlink_to(served.folder / "secret.jsonl")
    (folder / "outside").symlink_to(served.folder)
    assert served.chat(f"{STRATEGY}@up").status_code == 200
    (good,) = [p.name for p in folder.glob("chatcmpl-*.jsonl")][:1]
    for name in (
        *("../secret.jsonl", "..\\secret.jsonl", "%2e%2e/secret.jsonl", "....//secret.jsonl"),
        *(
            f"{folder}/{good}",
            f"{served.folder}/secret.jsonl",
            "link.jsonl",
            "outside/secret.jsonl",
        ),
        *(
            "/etc/passwd",
            "./../secret.jsonl",
            f"{good}/../../secret.jsonl",
            "",
            ".",
            "..",
            "a\x00.jsonl",
        ),
        *(f"file://{folder}/{good}", "~/x.jsonl", "x" * 5000 + ".jsonl"),
    ):
        for page in ("journal", "journal/nodes/1", "journal/find"):
            reply = served.client.get(f"/ui/api/{page}", params={"name": name})
            assert reply.status_code == 404, name
            assert str(served.folder) not in reply.text.replace(name, "")
    listed = served.client.get("/ui/api/journals").json()["journals"]
    assert not {"link.jsonl", "outside/secret.jsonl"} & {row["name"] for row in listed}
    assert served.client.get("/ui/api/journal", params={"name": good}).status_code == 200
    for path in ("..%2f..%2fserver.py", "%2e%2e/routes.py", "../routes.py", "/etc/passwd"):
        assert served.client.get(f"/ui/static/{path}").status_code == 404


def test_pages_carry_their_policy(served):
    script = "<script>alert(1)</script>"
    served.upstream.reply = lambda body, request: completion(script)
    reply = served.chat(f"{STRATEGY}@up", [{"role": "user", "content": script}])
    found = served.client.get(f"/ui/api/requests/{reply.headers['x-request-id']}/nodes/0")
    for page in (served.client.get("/ui"), served.client.get("/ui/api/requests"), found):
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in page.headers
    assert served.client.get("/ui").headers["content-type"].startswith("text/html")
    assert served.client.get("/ui/api/requests").headers["content-type"] == "application/json"


# --------------------------------------------------------------------------------- slow clients


def test_clients_that_dribble_keep_nobody_out(served):
    port = int(served.url.rsplit(":", 1)[1])
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(80)]
    try:
        for at, line in enumerate(lines):
            line.sendall((head if at % 2 else head + "Content-Length: 90000\r\n\r\n{").encode())
        start = time.monotonic()
        assert served.chat().status_code == 200
        assert time.monotonic() - start < 0.9
        for line in lines:
            line.settimeout(3.0)
            with contextlib.suppress(ConnectionResetError):
                while line.recv(4096):
                    pass
        assert time.monotonic() - start < 3.0  # each was cut, whatever it went on to send
        assert eventually(lambda: not served.gateway._leashes)
        assert served.gateway.accounts.turns.running == 0
    finally:
        for line in lines:
            line.close()
    assert Path(served.folder).exists()
