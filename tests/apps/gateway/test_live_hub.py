"""The live view below the page: what is kept, what is sent, who may look."""

# ruff: noqa: E402  (what is imported below the skips needs an extra)
from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
httpx = pytest.importorskip("httpx")

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request

from cogitate.apps.gateway.live import Hub, routes
from cogitate.apps.gateway.live.feed import feed, resumed
from cogitate.core.events import Event, Noted
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.processes import Reasoning
from cogitate.scorers import ProcessReward
from cogitate.search import BeamSearch, Solve
from cogitate.testing import Simulated, simulated_tasks

TASK = simulated_tasks(1, seed=3, difficulty=4)[0][0]
KEY = "cg-secret"


def expanded(id: str, parent: str | None = None, **more: Any) -> Noted:
    return Noted("", "0/0#1", "expanded", {"id": id, "parent": parent, **more})


def scored(*pairs: tuple[str, float]) -> Noted:
    ids, values = [p[0] for p in pairs], [p[1] for p in pairs]
    return Noted("", "#2", "scored", {"ids": ids, "values": values})


def searched(listen: Callable[[Event], None], budget: Budget | None = None) -> Any:
    flow = Solve(Reasoning(), ProcessReward(), BeamSearch(width=2, branch=3, depth=4))
    return run(flow(TASK, Seed(1)), Simulated(), budget=budget or Budget(), listen=listen)


async def allow(request: Request) -> str | None:
    """Two keys: one sees all, the other its own."""
    said = request.headers.get("authorization", "")
    if said == f"Bearer {KEY}":
        return None
    if said == "Bearer cg-anna":
        return "anna"
    raise HTTPException(401, "a key is needed")


def client(hub: Hub, journals: Path | None = None, **more: Any) -> Any:
    app = Starlette(routes=routes(hub, journals, **more))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway.test")


def sent(raw: str) -> list[tuple[str, str, Any]]:
    """Number, name and data of each event."""
    found = []
    for block in raw.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in lines:
            found.append((lines.get("id", ""), lines["event"], json.loads(lines["data"])))
    return found


def test_a_run_becomes_rows_with_parents_before_children() -> None:
    watched = Hub().begin("r", title="q")
    ranking = searched(watched).value
    look = watched.look()
    rows = [row for part in look.parts for row in part]
    assert [row[0] for row in rows] == list(range(len(rows)))
    assert len(rows) > 10
    assert {row[3] for row in rows} >= {"chosen", "pruned"}
    [best] = look.said["head"]["best"]
    assert rows[best][8] == ranking.best.id
    assert rows[best][4] == pytest.approx(ranking.best.value, rel=1e-5)
    assert all(row[1] < len(rows) and row[1] != row[0] for row in rows)


# ------------------------------------------------------------------------------- what is kept


def test_a_refused_branch_hangs_below_the_node_that_asked_for_it() -> None:
    budget = Budget(calls=30)
    watched = Hub().begin("r", budget=budget)
    searched(watched, budget)
    look = watched.look()
    rows = [row for part in look.parts for row in part]
    refused = [row for row in rows if row[3] == "cut"]
    assert refused
    assert all(rows[row[1]][8] == row[8].rpartition(".")[0] for row in refused)
    assert all("calls" in row[9] for row in refused)
    assert look.said["head"]["refused"] >= len(refused)
    [[unit, spent, bound]] = look.said["spending"]["bounds"]
    assert (unit, bound) == ("calls", 30)
    assert 0 < spent <= 30
    lines = {line[2]: line for line in look.said["log"]}
    assert "calls" in lines["refused"][3]


def test_a_later_look_holds_what_changed_and_nothing_else() -> None:
    watched = Hub().begin("r")
    for index in range(50):
        watched(expanded(f"{index}"))
    first = watched.look()
    assert sum(map(len, first.parts)) == 50
    watched(scored(("7", 0.5)))
    watched(expanded("7.0", "7"))
    second = watched.look(first.version)
    assert [row[0] for part in second.parts for row in part] == [7, 50]
    assert second.parts[0][1][1] == 7
    third = watched.look(second.version)
    assert (third.version, third.parts, third.said["log"]) == (second.version, [], [])
    again = watched.look(first.version)
    assert [row[0] for part in again.parts for row in part] == [7, 50]


def test_a_version_from_elsewhere_gets_the_whole_picture() -> None:
    watched = Hub().begin("r")
    watched(expanded("a"))
    look = watched.look(99)
    assert [row[8] for part in look.parts for row in part] == ["a"]


def test_memory_is_bounded_in_nodes_lines_and_requests() -> None:
    hub = Hub(recent=3, nodes=100, all_nodes=250)
    watched = hub.begin("big")
    for index in range(5000):
        watched(expanded(str(index), text="x" * 5000))
        watched(Noted("", f"0/{index}#1", f"kind {index}", {"n": index}))
    assert len(watched._heard) < 300  # though nobody looked
    look = watched.look()
    assert look.said["head"]["nodes"] == 100
    assert look.said["head"]["dropped"] == 4900
    assert len(look.said["log"]) == look.said["head"]["kept_lines"] < 500
    assert look.said["head"]["lines"] > 4900
    for number in range(10):
        other = hub.begin(f"r{number}")
        for index in range(90):
            other(expanded(str(index)))
        other.end()
    watched.end()
    hub.begin("last")
    names = [row["id"] for row in hub.list()]
    assert names == ["last", "r9", "r8"]
    assert hub.gone == 9


def test_the_last_requests_are_kept() -> None:
    hub = Hub(recent=3)
    for number in range(100):
        hub.begin(f"r{number}").end()
        assert len(hub._held) <= 3 + 16
    assert [row["id"] for row in hub.list()] == ["r99", "r98", "r97"]
    assert hub.gone == 97


def test_running_requests_are_never_forgotten() -> None:
    hub = Hub(recent=0)
    for number in range(5):
        hub.begin(f"r{number}")
    assert len(hub.list()) == 5


def test_names_fit_into_addresses_and_are_told_apart() -> None:
    hub = Hub()
    ids = [hub.begin(said).id for said in ("r", "r", "../../x", "a/b", "..", "", "a b", "x" * 500)]
    assert ids[0] == "r"
    assert len(set(ids)) == len(ids)
    assert all("/" not in id and set(id) != {"."} and len(id) < 140 for id in ids)


@pytest.mark.parametrize(
    "data",
    [
        {"id": 10**5000, "parent": None},
        {"id": "a", "value": 10**400, "visits": 10**4000},
        {"id": "a", "value": float("nan")},
        {"ids": ["a"], "values": [float("inf")], "visits": ["x"]},
        {"ids": 7, "values": None},
        {"items": [{"id": "a", "text": "\ud800"}, 3, None]},
        {"text": "\udfff</script>", "depth": [[[]]], "reason": {"a": 1}},
    ],
)
def test_whatever_a_flow_publishes_can_be_sent(data: dict[str, Any]) -> None:
    watched = Hub().begin("r", title="\ud800")
    watched(expanded("a"))
    kinds = [
        "expanded",
        "scored",
        "backed_up",
        "tree",
        "kept",
        "pruned",
        "lost",
        "ranked",
        "settled",
        "decided",
        "x",
    ]
    for kind in kinds:
        watched(Noted("", "#1", kind, data))
        look = watched.look()
        again = json.loads(json.dumps([look.parts, look.said], allow_nan=False))
        assert again[1]["head"]["nodes"] >= 1


def test_it_hears_from_several_threads() -> None:
    watched = Hub().begin("r")

    def speak(name: str) -> None:
        for index in range(2000):
            watched(expanded(f"{name}{index}"))

    threads = [threading.Thread(target=speak, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    version = 0
    got: set[int] = set()
    while any(thread.is_alive() for thread in threads):
        look = watched.look(version)
        got.update(row[0] for part in look.parts for row in part)
        version = look.version
    look = watched.look(version)
    got.update(row[0] for part in look.parts for row in part)
    assert got == set(range(8000))


# ------------------------------------------------------------------------------- what is sent


async def fed(
    watched: Any, hub: Hub, since: int = 0, most: int = 1000
) -> list[tuple[str, str, Any]]:
    async def yes() -> bool:
        return True

    raw = b""
    count = 0
    async for piece in feed(hub, watched, since, yes, pace_s=0.001):
        raw += piece
        count += 1
        if count >= most:
            break
    return sent(raw.decode())


def test_a_reader_sees_a_run_grow_and_end() -> None:
    hub = Hub()
    watched = hub.begin("r")

    async def watch() -> list[int]:
        async def yes() -> bool:
            return True

        grown: list[int] = []
        stream = feed(hub, watched, 0, yes, pace_s=0.001)
        async for piece in stream:
            for _, name, data in sent(piece.decode()):
                if name == "look":
                    grown.append(data["head"]["nodes"])
            if len(grown) < 5:
                watched(expanded(str(len(grown))))
            else:
                watched.end("4")
        assert data == {}
        return grown

    grown = asyncio.run(watch())
    assert grown[:5] == [0, 1, 2, 3, 4]
    assert hub.readers == 0


def test_a_slow_reader_gets_one_larger_change_and_no_queue() -> None:
    hub = Hub()
    watched = hub.begin("r")

    async def watch() -> list[Any]:
        async def yes() -> bool:
            return True

        found: list[Any] = []
        async for piece in feed(hub, watched, 0, yes, pace_s=0.001):
            found += [data for _, name, data in sent(piece.decode()) if name == "look"]
            if len(found) == 1:
                for index in range(1500):
                    watched(expanded(str(index)))
                    watched(scored((str(index), index)))
            elif len(found) == 2:
                watched.end()
        return found

    found = asyncio.run(watch())
    assert [len(look["nodes"]) for look in found] == [0, 1500, 0]
    assert len(watched._heard) == 0


def test_changes_are_paced() -> None:
    hub = Hub()
    watched = hub.begin("r")

    async def watch() -> int:
        async def yes() -> bool:
            return True

        async def speak() -> None:
            for index in range(100):
                watched(expanded(str(index)))
                await asyncio.sleep(0.004)
            watched.end()

        speaking = asyncio.create_task(speak())
        looks = 0
        async for piece in feed(hub, watched, 0, yes):
            looks += sum(name == "look" for _, name, _ in sent(piece.decode()))
        await speaking
        return looks

    start = time.monotonic()
    looks = asyncio.run(watch())
    assert looks <= 2 + (time.monotonic() - start) / 0.1


def test_a_large_tree_comes_in_parts_of_which_the_last_is_numbered() -> None:
    hub = Hub()
    watched = hub.begin("r")
    for index in range(5000):
        watched(expanded(str(index), str(index // 3) if index else None))
    watched.end()
    events = asyncio.run(fed(watched, hub))
    assert [name for _, name, _ in events] == ["part", "part", "look", "end"]
    assert [bool(number) for number, _, _ in events[:3]] == [False, False, True]
    assert events[0][2]["whole"] is True
    assert not any(data["whole"] for _, _, data in events[1:3])
    orders = [row[0] for _, _, data in events[:3] for row in data["nodes"]]
    assert orders == list(range(5000))


def test_the_number_of_an_event_resumes_after_it() -> None:
    hub = Hub()
    watched = hub.begin("r")
    watched(expanded("a"))
    [(number, _, _)] = asyncio.run(fed(watched, hub, most=1))
    watched(expanded("b"))
    watched.end()
    assert resumed(number, watched) == watched.look().version - 1

    async def ask(header: dict[str, str]) -> list[tuple[str, str, Any]]:
        async with client(hub) as http:
            return sent((await http.get("/ui/api/requests/r/events", headers=header)).text)

    [(_, _, later), _] = asyncio.run(ask({"Last-Event-ID": number}))
    assert ([row[8] for row in later["nodes"]], later["whole"]) == (["b"], False)
    for strange in (
        "",
        "x",
        f"{watched.epoch}.",
        f"{watched.epoch}.-1",
        f"{watched.epoch}.99999999999999",
        "0.1",
    ):
        [(_, _, whole), _] = asyncio.run(ask({"Last-Event-ID": strange}))
        assert [row[8] for row in whole["nodes"]] == ["a", "b"], strange


def test_closing_the_hub_ends_every_feed() -> None:
    hub = Hub()
    watched = hub.begin("r")

    async def watch() -> None:
        async def yes() -> bool:
            return True

        async for _ in feed(hub, watched, 0, yes, pace_s=0.001):
            hub.close()

    asyncio.run(asyncio.wait_for(watch(), 5))
    assert hub.readers == 0


def test_a_reader_whose_key_was_taken_back_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cogitate.apps.gateway.live.feed.CHECK_S", 0.0)
    hub = Hub()
    watched = hub.begin("r")

    async def watch() -> int:
        async def no() -> bool:
            return False

        return len([piece async for piece in feed(hub, watched, 0, no, pace_s=0.001)])

    assert asyncio.run(asyncio.wait_for(watch(), 5)) == 0


def test_one_node_is_told_with_its_path() -> None:
    hub = Hub()
    watched = hub.begin("r")
    watched(expanded("a", text="first"))
    watched(expanded("a.0", "a", text="second\ud800"))
    watched(scored(("a.0", -3.5)))

    async def ask() -> tuple[Any, Any, Any]:
        async with client(hub) as http:
            whole = await http.get("/ui/api/requests/r/nodes/1")
            none = await http.get("/ui/api/requests/r/nodes/2")
            hits = await http.get("/ui/api/requests/r/find", params={"q": "SECOND"})
            return whole.json(), none.status_code, hits.json()

    whole, none, hits = asyncio.run(ask())
    assert [step["text"] for step in whole["path"]] == ["first", "second\ud800"]
    assert (whole["value"], whole["id"], none, hits) == (-3.5, "a.0", 404, {"orders": [1]})


def test_a_path_with_very_much_text_is_cut_and_says_so() -> None:
    watched = Hub().begin("r")
    for index in range(200):
        watched(expanded(str(index), str(index - 1) if index else None, text="x" * 4000))
    watched.look()
    whole = watched.whole(199)
    assert whole is not None
    assert whole["more_above"]
    assert len(json.dumps(whole)) < 300_000
    assert whole["path"][-1]["order"] == 199


def test_nothing_is_made_of_events_before_somebody_looks() -> None:
    hub = Hub(nodes=1000)
    watched = hub.begin("r")
    events = [expanded(str(index)) for index in range(200)]
    for event in events:
        watched(event)
    assert (watched.version, watched.nodes) == (0, 0)
    assert watched.look().said["head"]["nodes"] == 200
