"""Who may look at the live view, at what, and with which headers; journals and nothing else of the disk."""

# ruff: noqa: E402  (what is imported below the skips needs an extra)
from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request

from cogitate.apps.gateway.live import Hub, Loopback, Shelf, routes
from cogitate.apps.gateway.live.routes import POLICY
from cogitate.apps.gateway.live.sessions import Sessions
from cogitate.apps.gateway.live.shelf import NoSuchJournal
from cogitate.assembly import solve
from cogitate.core.errors import InvalidInput, JournalError
from cogitate.core.usage import Budget
from cogitate.drive import FileJournal
from cogitate.testing import simulated_tasks

KEY = "cg-secret-of-all"
ANNA = "cg-secret-of-anna"
BASE = "http://gateway.test"
WORLD = "sim:arithmetic(skill=0.6)"
TASKS = [task for task, _ in simulated_tasks(3, difficulty=4)]
DATA = (
    "/ui/api/requests",
    "/ui/api/requests/r/events",
    "/ui/api/requests/r/nodes/0",
    "/ui/api/requests/r/find?q=a",
    "/ui/api/journals",
    "/ui/api/journal?name=run.jsonl",
    "/ui/api/journal/nodes/0?name=run.jsonl",
    "/ui/api/journal/find?name=run.jsonl&q=a",
)


class Keys:
    """Keys that may be taken back; one sees all, the other its own."""

    def __init__(self) -> None:
        self.good = {f"Bearer {KEY}": None, f"Bearer {ANNA}": "anna"}

    async def allow(self, request: Request) -> str | None:
        said = request.headers.get("authorization", "")
        if said not in self.good:
            raise HTTPException(401, "a key is needed")
        return self.good[said]


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    folder = tmp_path / "journals"
    folder.mkdir()
    solve(TASKS[0], model=WORLD, strategy="beam_search(width=2)", journal=folder / "run.jsonl")
    return folder


def asked(
    work: Callable[[Any, Hub, Keys], Awaitable[Any]], journals: Path | None = None, base: str = BASE
) -> Any:
    async def whole() -> Any:
        hub, keys = Hub(), Keys()
        for id, key in (("r", "anna"), ("other", "bert")):
            hub.begin(id, title=f"of {key}", key=key).end()
        app = Starlette(routes=routes(hub, journals, keys.allow))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=base) as http:
            return await work(http, hub, keys)

    return asyncio.run(whole())


async def login(http: Any, key: str, **headers: str) -> Any:
    return await http.post("/ui/login", json={"key": key}, headers={"Origin": BASE, **headers})


# ------------------------------------------------------------------------------------ the door


def test_without_a_key_there_is_a_page_and_no_data(shelf: Path) -> None:
    async def work(http: Any, hub: Hub, keys: Keys) -> None:
        page = await http.get("/ui")
        assert page.status_code == 200
        assert "of anna" not in page.text
        for path in DATA:
            for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}):
                reply = await http.get(path, headers=header)
                assert reply.status_code == 401, path
                assert "anna" not in reply.text

    asked(work, shelf)


def test_a_key_is_shown_once_and_a_strict_cookie_stands_for_it(shelf: Path) -> None:
    async def work(http: Any, hub: Hub, keys: Keys) -> None:
        reply = await login(http, KEY)
        assert reply.status_code == 200
        cookie = reply.headers["set-cookie"]
        assert all(f"; {flag}" in cookie for flag in ("HttpOnly", "SameSite=strict", "Path=/ui"))
        assert "Secure" not in cookie
        assert KEY not in cookie
        for path in DATA:
            assert (await http.get(path)).status_code in (200, 404), path
        assert (await http.get("/ui/api/requests")).json()["session"] is True
        out = await http.post("/ui/logout", headers={"Origin": BASE})
        assert "Max-Age=0" in out.headers["set-cookie"]
        token = cookie.split("=", 1)[1].split(";")[0]
        name = cookie.split("=", 1)[0]
        late = await http.get("/ui/api/requests", headers={"Cookie": f"{name}={token}"})
        assert late.status_code == 401

    asked(work, shelf)


def test_over_https_the_cookie_is_secure() -> None:
    async def work(http: Any, hub: Hub, keys: Keys) -> None:
        reply = await login(http, KEY, Origin="https://gateway.test")
        assert "; Secure" in reply.headers["set-cookie"]

    asked(work, base="https://gateway.test")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Origin": "http://evil.test"}, {"key": KEY}, 403),
        ({"Origin": "null"}, {"key": KEY}, 403),
        ({}, {"key": KEY}, 403),
        ({"Origin": BASE, "Sec-Fetch-Site": "cross-site"}, {"key": KEY}, 403),
        ({"Origin": "http://gateway.test.evil.test"}, {"key": KEY}, 403),
        ({"Origin": BASE}, {"key": "wrong"}, 401),
        ({"Origin": BASE}, {"key": ""}, 400),
        ({"Origin": BASE}, {"key": 7}, 400),
        ({"Origin": BASE}, {"key": "a\r\nb: c"}, 400),
        ({"Origin": BASE}, [KEY], 400),
        ({"Origin": BASE}, {"key": "x" * 20_000}, 413),
        ({"Origin": BASE, "Content-Type": "text/plain"}, {"key": KEY}, 415),
    ],
)
def test_other_pages_and_other_keys_do_not_get_in(
    headers: dict[str, str], body: Any, status: int
) -> None:
    async def work(http: Any, hub: Hub, keys: Keys) -> None:
        sent = {"Content-Type": "application/json"} | headers
        reply = await http.post("/ui/login", content=json.dumps(body), headers=sent)
        assert reply.status_code == status
        assert "set-cookie" not in reply.headers
        assert KEY not in reply.text

    asked(work)


def test_deeply_nested_bodies_are_refused() -> None:
    async def work(http: Any, hub: Hub, keys: Keys) -> None:
        sent = {"Content-Type": "application/json", "Origin": BASE}
        reply = await http.post("/ui/login", content="[" * 8000, headers=sent)
        assert reply.status_code == 400

    asked(work)


def test_a_key_that_is_taken_back_opens_nothing_from_then_on() -> None:
    async def work(http: Any, hub: Hub, keys: Keys) -> None:
        await login(http, KEY)
        assert (await http.get("/ui/api/requests")).status_code == 200
        keys.good.clear()
        assert (await http.get("/ui/api/requests")).status_code == 401

    asked(work)


def test_a_key_sees_its_own_requests_and_no_journals(shelf: Path) -> None:
    async def work(http: Any, hub: Hub, keys: Keys) -> None:
        await login(http, ANNA)
        listed = (await http.get("/ui/api/requests")).json()
        assert [row["id"] for row in listed["requests"]] == ["r"]
        assert listed["journals"] is False
        assert (await http.get("/ui/api/requests/r/events")).status_code == 200
        for path in ("events", "nodes/0", "find?q=a"):
            assert (await http.get(f"/ui/api/requests/other/{path}")).status_code == 404
        for path in DATA[4:]:
            assert (await http.get(path)).status_code == 404
        await login(http, KEY)
        listed = (await http.get("/ui/api/requests")).json()
        assert {row["id"] for row in listed["requests"]} == {"r", "other"}

    asked(work, shelf)


def test_sessions_end_by_themselves() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])

    def held(token: str) -> str:
        header = f"{sessions.cookie}={token}".encode()
        return sessions.authorization(Request({"type": "http", "headers": [(b"cookie", header)]}))

    token = sessions.open("Bearer k")
    assert held(token) == "Bearer k"
    assert held("") == held("x") == held(token[:-1]) == ""
    now[0] = 3000.0
    assert held(token) == "Bearer k"
    now[0] = 6000.0
    assert held(token) == "Bearer k"  # it was used within the hour
    now[0] = 10_000.0
    assert held(token) == ""
    again = sessions.open("Bearer k")
    for _ in range(20):
        now[0] += 3500.0
        last = held(again)
    assert last == ""  # twelve hours are the most
    assert "Bearer" not in repr(sessions._held)
    for _ in range(3000):
        sessions.open("Bearer k")
    assert len(sessions._held) <= 1000


def test_every_answer_says_what_a_page_may_do(shelf: Path) -> None:
    async def work(http: Any, hub: Hub, keys: Keys) -> None:
        await login(http, KEY)
        names = [f"/ui/static/{name}" for name in ("page.js", "look.css", "icon.svg", "none.js")]
        for path in ("/ui", *names, *DATA):
            headers = (await http.get(path)).headers
            if headers["content-type"].startswith("text/plain"):
                continue  # the error page of the application around it
            assert headers["content-security-policy"] == POLICY
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"
        assert "unsafe" not in POLICY
        page = (await http.get("/ui")).text
        assert "<style" not in page
        assert " style=" not in page
        assert not re.search(r"""\son\w+\s*=|javascript:""", page)
        assert page.count("<script") == 1
        assert 'src="/ui/static/page.js"></script>' in page
        assert "http" not in page.replace("http-equiv", "")

    asked(work, shelf)


@pytest.mark.parametrize(
    "name",
    ["../routes.py", "..%2froutes.py", "%2e%2e/routes.py", "/etc/passwd", "index.html/", "..\\routes.py",
     "page.js%00", "routes.py", "__init__.py"],
)  # fmt: skip
def test_only_the_files_of_the_page_are_served(name: str) -> None:
    async def work(http: Any, hub: Hub, keys: Keys) -> None:
        reply = await http.get(f"/ui/static/{name}")
        assert reply.status_code in (307, 308, 404)
        assert "from __future__" not in reply.text

    asked(work)


# -------------------------------------------------------------------------------- the journals


def test_a_journal_is_the_picture_that_the_run_was(shelf: Path) -> None:
    hub, path, budget = Hub(), shelf / "same.jsonl", Budget(calls=40)
    watched = hub.begin("r", budget=budget)
    solve(
        TASKS[1],
        model=WORLD,
        strategy="beam_search(width=3)",
        budget=budget,
        journal=path,
        listen=watched,
    )
    look = watched.look()
    live = [row for part in look.parts for row in part]
    opened = Shelf(shelf).open("same.jsonl")
    kept = opened.scene.rows(opened.scene.orders())
    assert kept == live
    assert any(row[3] == "cut" for row in kept)
    assert opened.said["head"]["refused"] == look.said["head"]["refused"] > 0
    assert opened.said["head"]["best"] == look.said["head"]["best"]
    roles = opened.said["spending"]["roles"]
    for role, spent in look.said["spending"]["roles"].items():
        assert {**roles[role], "seconds": 0} == {**spent, "seconds": 0}
    assert opened.said["spending"]["bounds"] == look.said["spending"]["bounds"]
    assert [line[2:] for line in opened.said["log"]] == [line[2:] for line in look.said["log"]]


def test_journals_are_listed_and_opened_by_name(shelf: Path) -> None:
    (shelf / "deep").mkdir()
    (shelf / "deep" / "b.jsonl").write_bytes((shelf / "run.jsonl").read_bytes())
    (shelf / ".hidden.jsonl").write_text("{}")
    (shelf / "notes.txt").write_text("{}")

    async def work(http: Any, hub: Hub, keys: Keys) -> None:
        await login(http, KEY)
        names = [row["name"] for row in (await http.get("/ui/api/journals")).json()["journals"]]
        assert set(names) == {"run.jsonl", "deep/b.jsonl"}
        reply = await http.get("/ui/api/journal", params={"name": "deep/b.jsonl"})
        look = reply.json()
        assert look["head"]["title"] == TASKS[0].question
        assert len(look["nodes"]) == look["head"]["nodes"] > 5
        order = look["head"]["best"][0]
        node = await http.get(f"/ui/api/journal/nodes/{order}", params={"name": "deep/b.jsonl"})
        assert node.json()["path"][-1]["text"]

    asked(work, shelf)


def outside(shelf: Path) -> list[str]:
    """Names that lead out, through links, or to what is no journal."""
    secret = shelf.parent / "secret.jsonl"
    secret.write_bytes((shelf / "run.jsonl").read_bytes())
    (shelf / "link.jsonl").symlink_to(secret)
    (shelf / "inside.jsonl").symlink_to(shelf / "run.jsonl")
    (shelf / "way").symlink_to(shelf.parent)
    (shelf / "round").symlink_to(shelf)
    (shelf / "folder.jsonl").mkdir()
    os.mkfifo(shelf / "pipe.jsonl")
    (shelf / "timed.jsonl").write_bytes(secret.read_bytes())
    (shelf / "timed.jsonl.times").symlink_to(secret)
    (shelf / "blobs.jsonl").write_bytes(secret.read_bytes())
    (shelf / "blobs.jsonl.blobs").symlink_to(shelf.parent)
    (shelf / ".hidden.jsonl").write_bytes(secret.read_bytes())
    (shelf / "key.pem").write_text("secret")
    return [
        "../secret.jsonl", "..", ".", "", "/", str(secret), f"/{secret}", "./run.jsonl", "x/../run.jsonl",
        "way/secret.jsonl", "round/run.jsonl", "link.jsonl", "inside.jsonl", "folder.jsonl", "pipe.jsonl", "timed.jsonl",
        "blobs.jsonl", ".hidden.jsonl", "key.pem", "run.jsonl\0", "run.jsonl/", "..\\secret.jsonl",
        "C:run.jsonl", "//run.jsonl", "a/b/c/d/e/f/g.jsonl", "x" * 5000, "\ud800.jsonl", "none.jsonl",
    ]  # fmt: skip


def test_no_name_leads_out_of_the_folder(shelf: Path) -> None:
    names = outside(shelf)
    held = Shelf(shelf)
    for name in names:
        with pytest.raises(NoSuchJournal):
            held.find(name)
    assert held.find("run.jsonl") == shelf / "run.jsonl"
    assert {row["name"] for row in held.list()} == {"run.jsonl", "timed.jsonl", "blobs.jsonl"}

    async def work(http: Any, hub: Hub, keys: Keys) -> None:
        await login(http, KEY)
        for name in names:
            asked_for = name.encode("utf-8", "replace").decode()
            for path in ("/ui/api/journal", "/ui/api/journal/nodes/0", "/ui/api/journal/find"):
                reply = await http.get(path, params={"name": asked_for})
                assert reply.status_code == 404, (path, name)

    asked(work, shelf)


def test_one_journal_alone_may_be_shown_whatever_it_is_called(shelf: Path) -> None:
    (shelf / "run.jsonl").rename(shelf / ".plain")
    (shelf / "other.jsonl").write_bytes((shelf / ".plain").read_bytes())
    held = Shelf(shelf, only=".plain")
    assert [row["name"] for row in held.list()] == [".plain"]
    assert held.open(".plain").said["head"]["nodes"] > 5
    for name in ("other.jsonl", "../journals/.plain", ""):
        with pytest.raises(NoSuchJournal):
            held.open(name)


@pytest.mark.parametrize(
    "raw", [b"", b"{}\n", b"\xff\xfe\n", b"[" * 50_000, b'{"journal": "cogitate"}\n', b"\0" * 1000]
)
def test_what_is_no_journal_is_told_in_a_sentence(shelf: Path, raw: bytes) -> None:
    (shelf / "bad.jsonl").write_bytes(raw)

    async def work(http: Any, hub: Hub, keys: Keys) -> None:
        await login(http, KEY)
        reply = await http.get("/ui/api/journal", params={"name": "bad.jsonl"})
        assert reply.status_code == 422
        assert "bad.jsonl" in reply.json()["error"]
        assert str(shelf) not in reply.text
        missing = await http.get("/ui/api/journal", params={"name": "run.jsonl", "task": "7"})
        assert missing.status_code == 422
        assert str(shelf) not in missing.text

    asked(work, shelf)


def test_records_may_be_anything(shelf: Path) -> None:
    path = shelf / "odd.jsonl"
    with FileJournal.create(
        path, {"task": 7, "budget": [], "models": "x", "strategy": {"a": 1}}
    ) as book:
        for value in (None, 7, [], {}, "\ud800", [1, 2, 3], {"id": 10**400, "value": 10**400}):
            for kind in ("note", "reply", "denied", "failed", "late"):
                book.append(
                    "", {"kind": kind, "at": "0#0", "ask": "scored", "value": value, "usage": value}
                )
    opened = Shelf(shelf).open("odd.jsonl")
    json.dumps([opened.said, opened.scene.rows(opened.scene.orders())], allow_nan=False)
    assert opened.said["head"]["failed"] == 7


def test_a_journal_that_is_too_large_for_a_page_is_refused(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cogitate.apps.gateway.live.shelf.LARGEST", 100)
    with pytest.raises(InvalidInput, match="cogitate view"):
        Shelf(shelf).open("run.jsonl")


def test_what_was_opened_is_at_hand_until_it_changes(shelf: Path) -> None:
    held = Shelf(shelf)
    first = held.open("run.jsonl")
    assert held.open("run.jsonl") is first
    solve(TASKS[2], model=WORLD, strategy="best_of(n=2)", journal=shelf / "new.jsonl")
    (shelf / "new.jsonl").replace(shelf / "run.jsonl")
    assert held.open("run.jsonl").said["head"]["title"] == TASKS[2].question
    for index in range(8):
        (shelf / f"{index}.jsonl").write_bytes((shelf / "run.jsonl").read_bytes())
        held.open(f"{index}.jsonl")
    assert len(held._opened) == 4
    with pytest.raises(InvalidInput):
        held.open("run.jsonl", "9")
    (shelf / "run.jsonl").write_text("{}")
    with pytest.raises(JournalError):
        held.open("run.jsonl")


# --------------------------------------------------------------------------------- the command


def test_the_loopback_server_answers_to_its_own_name_and_key(shelf: Path) -> None:
    server = Loopback(Hub(), Shelf(shelf, only="run.jsonl"))
    with server.beside() as url:
        base = url.split("/ui#")[0]
        assert url.split("#")[1] == f"key={server.key}"

        def get(path: str, **headers: str) -> int:
            request = urllib.request.Request(base + path, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=5) as reply:
                    return reply.status
            except urllib.error.HTTPError as error:
                error.close()
                return error.code

        good = {"Authorization": f"Bearer {server.key}"}
        assert get("/ui") == 200
        assert get("/ui/api/requests") == 401
        assert get("/ui/api/requests", **good) == 200
        assert get("/ui/api/journals", **good, Host="evil.test") == 403
        assert get("/ui/api/journal?name=run.jsonl", **good) == 200
    assert server.hub.closed


def test_a_port_that_is_taken_is_told(shelf: Path) -> None:
    first = Loopback(Hub())
    try:
        with pytest.raises(InvalidInput, match=str(first.port)):
            Loopback(Hub(), port=first.port)
    finally:
        first.close()


def test_view_prints_an_address_and_serves_until_an_interrupt(shelf: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "cogitate.apps.cli",
        "view",
        str(shelf / "run.jsonl"),
        "--browser",
        "--no-open",
    ]
    code = "import sys; from cogitate.apps.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *command[3:]]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        base, _, rest = url.partition("#")
        assert base.startswith("http://127.0.0.1:")
        assert rest.endswith("&j=run.jsonl")
        key = rest.split("=")[1].split("&")[0]
        address = f"{base}/api/journal?name=run.jsonl"
        request = urllib.request.Request(address, headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            assert json.load(reply)["head"]["nodes"] > 5
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=15)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert key not in err
