"""`view`: what a journal holds, whoever wrote it and however large it is."""

from __future__ import annotations

import asyncio
import json
import re
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cli_harness import Command

from cogitate.apps.reading import summary
from cogitate.assembly import solve, solve_many
from cogitate.core.usage import Budget
from cogitate.drive import FileJournal
from cogitate.testing import simulated_tasks

EVIL = "\x1b]0;owned\x07\x1b[31mred\x1b[2J\x9b31m\u202eevil\x00\r\n[bold]no markup[/bold] \u05d0\u05d1 "
CONTROLS = ("\x1b", "\x07", "\x9b", "\u202e", "\x00", "\r")
WORLD = "sim:arithmetic(skill=0.6)"
TASKS = [task for task, _ in simulated_tasks(3, difficulty=4)]


@pytest.fixture
def cogitate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return Command(capsys)


def solved(strategy: str, **more: Any) -> Any:
    return solve(TASKS[0], model=WORLD, strategy=strategy, journal="run.jsonl", **more)


def written(records: list[Mapping[str, Any]], header: Mapping[str, Any] | None = None) -> Path:
    path = Path("made.jsonl")
    with FileJournal.create(path, header or {}) as book:
        for record in records:
            book.append("", dict(record))
    return path


def note(at: str, kind: str, **value: Any) -> dict[str, Any]:
    return {"kind": "note", "at": at, "ask": kind, "value": value}


def test_a_tree_search_is_shown_with_visits_scores_and_spending(cogitate: Command) -> None:
    result = solved("mcts(iterations=40)", budget=Budget(tokens_out=50_000))
    said = cogitate("view", "run.jsonl")
    assert said.status == 0
    best = result.ranking.best
    [line] = [line for line in said.out.splitlines() if "★" in line and "chosen" not in line]
    assert f"{best.value:.3f}" in line
    assert re.search(r"n=\d+ mean=0\.\d{3} Step 1", said.out)
    used = result.usage.tokens_out
    assert f"tokens out: {used:,} of 50,000 ({100 * used / 50_000:.0f}%)" in said.out
    for role in ("policy", "verifier", "all"):
        assert re.search(rf"^{role} +\d", said.out, re.MULTILINE)


def test_as_json_it_is_the_run(cogitate: Command) -> None:
    result = solved("mcts(iterations=40)")
    raw = cogitate("view", "run.jsonl", "--json").json
    values = {node["id"]: node["value"] for node in raw["nodes"]}
    for candidate in result.ranking.items:
        assert values[candidate.id] == pytest.approx(candidate.value)
    assert [n["id"] for n in raw["nodes"] if n["state"] == "chosen"] == [result.ranking.best.id]
    assert any(n["visits"] and n["visits"] > 1 for n in raw["nodes"])
    assert raw["left_out"] == 0
    assert raw["usage"]["tokens_out"] == result.usage.tokens_out
    assert raw["roles"]["policy"]["calls"] == result.roles["policy"].calls
    assert raw["roles"]["policy"]["seconds"] > 0  # they lie beside the journal
    few = cogitate("view", "run.jsonl", "--json", "--nodes", "3").json
    assert len(few["nodes"]) == 3
    assert few["left_out"] == len(raw["nodes"]) - 3


def test_what_was_cut_by_the_budget_is_told_with_the_reason(cogitate: Command) -> None:
    solved("best_of(n=12)", budget=Budget(calls=5))
    said = cogitate("view", "run.jsonl")
    raw = cogitate("view", "run.jsonl", "--json").json
    cut = [n for n in raw["nodes"] if n["state"] == "cut"]
    assert cut
    assert all(n["cause"] == "budget" and "calls" in n["reason"] for n in cut)
    [refused] = raw["cuts"]
    assert (refused["by"], refused["what"]) == ("budget", "calls")
    assert refused["count"] == raw["outcomes"]["denied"]
    many = f"{refused['count']} calls refused by the budget: the first asked for 1 calls"
    assert many in said.out
    assert f"{len(cut)}" in said.out
    assert "✂ cut by the budget" in said.out
    assert "calls: 5 of 5 (100%)" in said.out


def test_what_failed_is_told_apart(cogitate: Command) -> None:
    records = [
        {"kind": "failed", "at": "0/0#0", "ask": "Generate", "value": ["no server", "transient"]},
        note("0/0#1", "lost", id="0", cause="failed", reason="no server"),
        note("0/1#1", "expanded", id="1", parent=None, depth=1, done=True),
    ]
    said = cogitate("view", written(records))
    assert "! no server" in said.out
    assert "1 call failed (transient): no server" in said.out
    assert "! lost to a failure" in said.out


def test_kept_replies_are_told_apart_from_paid_ones(cogitate: Command) -> None:
    def reply(index: int, **more: Any) -> dict[str, Any]:
        usage = {"tokens_out": 10, "calls": 1, "usd": 0.25}
        body = {"kind": "reply", "at": f"0/{index}#0", "ask": "Generate", "key": str(index)}
        return body | {"value": {"text": "x"}, "usage": usage, "role": "policy"} | more

    path = written([reply(0), reply(1, cached=True), reply(2, cached=True)])
    said = cogitate("view", path)
    assert "2 of 3 replies were kept from earlier runs and cost nothing" in said.out
    assert re.search(r"of it paid +1 .*\$0\.2500", said.out)
    raw = cogitate("view", path, "--json").json
    assert (raw["kept"], raw["usage"]["usd"], raw["paid"]["usd"]) == (2, 0.75, 0.25)


def test_superseded_records_are_not_counted_twice(cogitate: Command) -> None:
    """A run that went on under a larger budget: what its journal spent is what its result says."""
    solved("best_of(n=12)", budget=Budget(calls=5))
    more = solved("best_of(n=12)", budget=Budget(calls=50))
    raw = cogitate("view", "run.jsonl", "--json").json
    assert raw["usage"]["calls"] == more.usage.calls
    assert {n["state"] for n in raw["nodes"]} == {"finished", "chosen"}


def test_escalations_and_routes_are_told_with_their_reasons(cogitate: Command) -> None:
    records = [
        note("#1", "escalated", level=1, reason="the vote was 0.40, below 0.6"),
        note("#2", "routed", arm=0, reason="it is a math question"),
        note("#3", "threshold", value=0.123456789, samples=4),
        note("#4", "decided", after=3, of=9, launched=5, votes=[3]),
    ]
    path = written(records)
    said = cogitate("view", path)
    assert "escalated to level 2, because the vote was 0.40, below 0.6" in said.out
    assert "routed to arm 1, because it is a math question" in said.out
    assert "threshold: value 0.1235, samples 4" in said.out
    assert "decided: after 3, of 9" in said.out
    kinds = [d["kind"] for d in cogitate("view", path, "--json").json["decisions"]]
    assert kinds == ["escalated", "routed", "threshold", "decided"]


def test_the_levels_of_a_cascade_are_searches_of_their_own(cogitate: Command) -> None:
    """Both name their nodes alike and run in one flow, one after the other."""
    solved("escalate((best_of(n=2, scorer=prm()), best_of(n=4, scorer=prm())), below=1.5)")
    raw = cogitate("view", "run.jsonl", "--json").json
    searches: dict[str, list[Any]] = {}
    for node in raw["nodes"]:
        searches.setdefault(node["search"], []).append(node)
    assert sorted(len(nodes) for nodes in searches.values()) == [2, 4]
    for nodes in searches.values():
        assert [n["state"] for n in nodes].count("chosen") == 1
        assert all(n["text"] and n["value"] is not None for n in nodes)
    said = cogitate("view", "run.jsonl").out
    assert "top search 2" in said
    assert re.search(r"top: escalated to level 2, because .* below 1\.5", said)


def test_texts_whole_and_cut(cogitate: Command) -> None:
    text = "a first line\nand " + "more of it " * 40 + "\nthe end"
    value = {"text": text}
    records = [
        {"kind": "reply", "at": "0/0#0", "ask": "Generate", "value": value, "role": "policy"},
        note("0/0#1", "expanded", id="0", parent=None, depth=1, done=True),
    ]
    path = written(records)
    short = cogitate("view", path, "--width", "20").out
    [line] = [line for line in short.splitlines() if line.startswith("● ") and "first" in line]
    assert len(line) <= 22
    whole = cogitate("view", path, "--texts", "full").out
    flat = " ".join(whole.split())
    assert "more of it " * 39 in flat
    assert "the end" in whole


@pytest.mark.parametrize("option", ["--nodes", "--width"])
def test_less_than_one_is_refused(option: str, cogitate: Command) -> None:
    written([])
    assert "it is at least 1" in cogitate.refused("view", "made.jsonl", option, "0")


# ----------------------------------------------------------------------------------- many tasks


@pytest.fixture
def many(cogitate: Command) -> list[Any]:
    async def collect() -> list[Any]:
        found = solve_many(
            TASKS, model=WORLD, strategy="best_of(n=3)", journal="many.jsonl", cache=False
        )
        return [result async for result in found]

    return asyncio.run(collect())


def test_many_tasks_are_listed(cogitate: Command, many: list[Any]) -> None:
    said = cogitate("view", "many.jsonl")
    assert said.status == 0
    assert "3 tasks; look at the tree of one with --task 0" in said.out
    raw = cogitate("view", "many.jsonl", "--json").json
    assert [task["answer"] for task in raw["tasks"]] == [r.answer for r in many]
    assert [task["score"] for task in raw["tasks"]] == [
        pytest.approx(r.ranking.best.value) for r in many
    ]
    assert raw["usage"]["calls"] == sum(r.usage.calls for r in many)
    for result in many:
        assert str(result.task.messages[-1].content)[:20] in said.out


def test_one_of_many_tasks_has_its_own_tree(cogitate: Command, many: list[Any]) -> None:
    for number, result in enumerate(many):
        raw = cogitate("view", "many.jsonl", "--task", str(number), "--json").json
        assert raw["usage"]["calls"] == result.usage.calls
        assert raw["question"] == str(result.task.messages[-1].content)
        [best] = [n for n in raw["nodes"] if n["state"] == "chosen"]
        assert best["id"] == result.ranking.best.id
        assert cogitate("view", "many.jsonl", "--stream", str(number)).out.count("★") == 2


def test_a_long_list_is_cut_and_counted(cogitate: Command, many: list[Any]) -> None:
    said = cogitate("view", "many.jsonl", "--nodes", "2").out
    assert "and 1 more; --nodes shows them" in said


# --------------------------------------------------------------------------------- hostile and large


def test_hostile_records_never_reach_the_terminal(cogitate: Command) -> None:
    odd: list[Any] = [EVIL, 7, None, [EVIL], {"a": EVIL}, True, 1e300]
    records: list[dict[str, Any]] = []
    kinds = ("expanded", "scored", "backed_up", "tree", "kept", "lost", "ranked", "escalated")
    for i, value in enumerate(odd):
        for kind in (*kinds, "routed", "decided", "threshold", EVIL):
            data = {"id": value, "parent": value, "reason": value, "cause": value, "text": value}
            data |= {"level": value, "arm": value, "visits": value, "items": [value]}
            records.append(note(f"0/{i}#1", kind, **data))
            records.append(note(f"0/{i}#2", kind, ids=value, values=value, reasons=value))
            records.append({"kind": "note", "at": f"{i}", "ask": kind, "value": value})
        records.append({"kind": "failed", "at": "0#1", "ask": "Generate", "value": value})
        records.append({"kind": "denied", "at": "0#2", "ask": "Generate", "value": value})
        records.append({"kind": "denied", "at": "0#2", "ask": "Generate", "value": [value] * 4})
        records.append(
            {"kind": "reply", "at": f"0/{i}#0", "ask": "Generate", "value": {"text": value}}
            | {"role": value, "usage": {"tokens_out": value, "usd": value, EVIL: 1}}
        )
        records.append({"kind": "late", "at": "0#3", "ask": "x", "role": EVIL, "usage": value})
    header = {"task": {"messages": [{"content": EVIL}]}, "models": {EVIL: EVIL}, "budget": odd}
    path = written(records, header)
    for options in ((), ("--texts", "full"), ("--json",), ("--nodes", "3", "--width", "9")):
        said = cogitate("view", path, *options)
        assert said.status == 0, said.err
        for control in CONTROLS:
            assert control not in said.out + said.err
    assert json.loads(cogitate("view", path, "--json").out)["nodes"]


def test_a_budget_of_nonsense_is_none(cogitate: Command) -> None:
    for budget in ({"tokens_out": -1}, {"tokens_out": "x"}, [], 3, {"calls": float("nan")}):
        said = cogitate("view", written([], {"budget": budget}))
        assert said.status == 0
        assert "budget    unbounded" in said.out
        Path("made.jsonl").unlink()


def test_a_large_journal_is_read_in_bounded_memory(cogitate: Command) -> None:
    """Texts of 80 MB in all: a node keeps little of its text once there are many."""
    path = Path("large.jsonl")
    with FileJournal.create(path, {"strategy": "mcts()"}) as book:
        for i in range(8_000):
            parent = str((i - 1) // 4) if i else None
            text = {"text": f"Step {i}: " + "some words of it " * 480}
            book.append("", {"kind": "reply", "at": f"1/{i}#0", "ask": "Generate", "value": text})
            book.append("", note(f"1/{i}#1", "expanded", id=str(i), parent=parent, done=False))
            book.flush()
        book.append("", note("#9", "scored", ids=["7876"], values=[0.875], reasons=[""]))
    tracemalloc.start()
    with FileJournal.open(path, read_only=True) as book:
        found = summary(book)
        _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.grove.nodes == 8_000
    assert most < 32_000_000
    said = cogitate("view", path, "--nodes", "20")
    assert "and 7,980 more nodes" in said.out
    assert "0.875 Step 7876" in said.out or re.search(r"0\.875 .*some words", said.out)
    assert len(said.out.splitlines()) < 40
