"""The live view below the page: what is kept, what is sent, who may look."""

from __future__ import annotations

import json
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
from cogitate.core.events import Event, Noted
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.processes import Reasoning
from cogitate.scorers import ProcessReward
from cogitate.search import BeamSearch, Solve
from cogitate.testing import FakeEngine, Simulated, simulated_tasks

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
