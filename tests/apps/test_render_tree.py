from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cogitate.apps.render import SearchTree, grown
from cogitate.core.events import Answered, Noted
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.drive import run
from cogitate.processes import Answer, Reasoning
from cogitate.scorers import Majority, ProcessReward
from cogitate.search import BeamSearch, BestOf, SelfConsistency, Solve, Vote
from cogitate.testing import FakeEngine

BEAM: list[dict[str, Any]] = [
    {"kind": "expanded", "id": "s", "parent": None, "depth": 0, "text": "start"},
    {"kind": "expanded", "id": "s/0", "parent": "s", "depth": 1, "text": "7 + 8 = 15"},
    {"kind": "expanded", "id": "s/1", "parent": "s", "depth": 1, "text": "7 - 8 = 1"},
    {"kind": "scored", "id": "s/0", "value": 0.91},
    {"kind": "scored", "id": "s/1", "value": 0.2},
    {"kind": "kept", "ids": ["s/0"]},
    {"kind": "pruned", "ids": ["s/1"]},
    {"kind": "expanded", "id": "s/0/0", "parent": "s/0", "depth": 2},
    {"kind": "scored", "id": "s/0/0", "reason": "the judge gave no score"},
    {"kind": "cut", "id": "s/0/0"},
]


def shown(tree: SearchTree, encoding: str = "utf-8", width: int = 80) -> list[str]:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    Console(file=file, width=width, force_terminal=False).print(tree)
    file.flush()
    return raw.getvalue().decode(encoding).splitlines()


def test_a_beam_is_rebuilt() -> None:
    assert shown(SearchTree(grown(BEAM), texts={"s/0/0": "#### 15"})) == [
        "· start",
        "├── ✓ 0.910 7 + 8 = 15",
        "│   └── ✂ unscored #### 15",
        "└── ✗ 0.200 7 - 8 = 1",
        "· open  ✓ kept  ✗ pruned  ✂ cut by the budget",
    ]


def test_without_unicode_it_is_ascii() -> None:
    lines = shown(SearchTree(grown(BEAM)), "ascii")
    assert lines[1] == "+-- + 0.910 7 + 8 = 15"
    assert lines[-1] == ". open  + kept  x pruned  ~ cut by the budget"


def as_noted(note: dict[str, Any]) -> Noted:
    data = {k: v for k, v in note.items() if k != "kind"}
    return Noted("", "2/0#7", note["kind"], data)


def as_record(note: dict[str, Any]) -> dict[str, Any]:
    data = {k: v for k, v in note.items() if k != "kind"}
    return {"kind": "note", "at": "2/0#7", "ask": note["kind"], "value": data}


@pytest.mark.parametrize("form", [as_noted, as_record])
def test_events_and_journal_records_show_the_same(form: Any) -> None:
    assert shown(SearchTree(grown(map(form, BEAM)))) == shown(SearchTree(grown(BEAM)))


def test_searches_at_different_places_are_kept_apart() -> None:
    notes = [Noted("", f"0/{i}#{j}", n["kind"], n) for i in (0, 1) for j, n in enumerate(BEAM)]
    lines = shown(SearchTree(grown(notes)))
    assert lines.count("· start") == 2
    assert "top" in lines
    assert "0/1" in lines


def test_child_flows_speak_of_one_search() -> None:
    notes = [
        Noted("", "2/0/0/0#0", "expanded", {"id": "a"}),
        Noted("", "2/0/1/0#0", "expanded", {"id": "b", "parent": "a"}),
        Noted("", "2/0/1/0#1", "scored", {"id": "b", "value": 1}),
    ]
    assert shown(SearchTree(grown(notes)))[:2] == ["· (a)", "└── · 1.000 (b)"]


def test_notes_in_any_order_and_a_parent_that_comes_late() -> None:
    notes = [
        {"kind": "scored", "id": "b", "value": 0.5},
        {"kind": "expanded", "id": "b", "parent": "a"},
    ]
    assert shown(SearchTree(grown(notes)))[:2] == ["· (a)", "└── · 0.500 (b)"]


def test_hostile_texts_stay_text() -> None:
    evil = "[bold red]x[/bold red] [/] \x1b[2J\x1b]0;owned\x07\x1b]8;;http://a\x07l\x1b]8;;\x07 :bomb: \u202etxt\nnext"
    notes = [
        {"kind": "expanded", "id": evil, "text": evil},
        {"kind": "scored", "id": evil, "reason": evil},
        {"kind": "kept", "ids": [evil, "\x1b[31m"]},
    ]
    for encoding in ("utf-8", "ascii"):
        text = "\n".join(shown(SearchTree(grown(notes)), encoding))
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "\u202e" not in text
        assert "[bold red]x[/bold red] [/] l :bomb: txt next" in text


def test_a_deep_a_wide_and_a_ring_shaped_tree_are_bounded() -> None:
    deep = [{"kind": "expanded", "id": str(i), "parent": str(i - 1)} for i in range(1, 20_000)]
    lines = shown(SearchTree(grown(deep)))
    assert lines[-2] == "and 19,975 more nodes"
    wide = [{"kind": "expanded", "id": str(i), "parent": "root"} for i in range(5_000)]
    lines = shown(SearchTree(grown(wide), max_nodes=50))
    assert len(lines) == 52
    assert lines[-2] == "and 4,951 more nodes"
    ring = [
        {"kind": "expanded", "id": "a", "parent": "b"},
        {"kind": "expanded", "id": "b", "parent": "a"},
        {"kind": "expanded", "id": "c", "parent": "c"},
    ]
    assert shown(SearchTree(grown(ring)))[:-1] == ["· (b)", "└── · (a)", "· (c)"]


def test_nothing_published_is_said() -> None:
    assert shown(SearchTree(grown([]))) == ["no search tree was published"]


def test_malformed_notes_are_counted() -> None:
    bad: list[dict[str, Any]] = [
        {"kind": "expanded"},
        {"kind": "kept", "ids": 7},
        {"kind": "scored", "value": 1},
        {"kind": "settled", "text": "x"},
        {"kind": "", "id": "a"},
        {},
    ]
    grove = grown(bad)
    assert grove.others == len(bad)
    assert not grove.scopes
    odd = grown(
        [{"kind": "scored", "id": "a", "value": float("nan"), "visits": "many", "reason": 3}]
    )
    assert shown(SearchTree(odd))[0] == "· (a)"


notes = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(
                ["expanded", "scored", "kept", "pruned", "cut", "chosen", "backed_up"]
            )
        },
        optional={
            "id": st.sampled_from("abcdef"),
            "parent": st.sampled_from("abcdef"),
            "ids": st.lists(st.sampled_from("abcdef"), max_size=3),
            "value": st.floats(),
            "text": st.text(max_size=20),
        },
    ),
    max_size=30,
)


@given(notes)
def test_any_notes_can_be_shown(said: list[dict[str, Any]]) -> None:
    grove = grown(said)
    shown(SearchTree(grove), "ascii", 40)
    named = {i for held in grove.scopes.values() for i in held}
    seen: list[str] = []
    for _, roots in grove.roots():
        stack = list(roots)
        while stack:
            node = stack.pop()
            seen.append(node.id)
            stack += node.children
    assert sorted(seen) == sorted(i for held in grove.scopes.values() for i in held)
    assert set(seen) == named


STRATEGIES = {
    "beam": Solve(Reasoning(), ProcessReward(), BeamSearch(width=2, branch=2, depth=4)),
    "best": Solve(Answer(), Majority(), BestOf(3)),
    "consistency": Solve(Answer(), Majority(), SelfConsistency(5)),
}


def heard(strategy: Any) -> tuple[list[Any], Any]:
    events: list[Any] = []
    task = Task.of("Ann has 3 apples and buys 4 more. How many has she?", kind="number")
    found = run(strategy(task, Seed(0)), FakeEngine(), listen=events.append).value
    return [e for e in events if isinstance(e, Noted | Answered)], found


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_tree_of_a_real_run(name: str) -> None:
    events, found = heard(STRATEGIES[name])
    grove = grown(events)
    (nodes,) = grove.scopes.values()
    expanded = [e.data for e in events if isinstance(e, Noted) and e.kind == "expanded"]
    assert {e["id"]: e["parent"] for e in expanded} == {
        n.id: n.parent or None for n in nodes.values()
    }
    assert [n.id for n in nodes.values() if n.mark == "chosen"] == [found.best.id]
    assert nodes[found.best.id].value == pytest.approx(found.best.value)
    judged = [e.data for e in events if isinstance(e, Noted) and e.kind == "scored"]
    values = {i: v for data in judged for i, v in zip(data["ids"], data["values"], strict=True)}
    assert {n.id: n.value for n in nodes.values() if n.value is not None} == values
    assert all(n.text for n in nodes.values())
    assert not grove.texts  # every generated text found its node
    for candidate in found.items:  # a node's text is its own part of the candidate's
        assert candidate.state.text.rstrip().endswith(nodes[candidate.id].text.rstrip())


def test_the_runs_of_a_vote_are_trees_of_their_own() -> None:
    events, _ = heard(Vote(STRATEGIES["best"], n=3))
    grove = grown(events)
    assert [len(nodes) for nodes in grove.scopes.values()] == [3, 3, 3]
    for nodes in grove.scopes.values():
        assert [n.mark for n in nodes.values()].count("chosen") == 1


def test_lost_nodes_are_marked() -> None:
    grove = grown(
        [
            Noted(
                "", "0/0#1", "lost", {"id": "0", "cause": "budget", "reason": "the grant is spent"}
            ),
            Noted("", "0/1#1", "expanded", {"id": "1", "parent": None}),
            Noted("", "#4", "scored", {"ids": ["1"], "values": [None], "reasons": ["no score"]}),
        ]
    )
    assert shown(SearchTree(grove))[:2] == ["✂ the grant is spent", "· unscored no score"]


def test_texts_that_wait_are_bounded() -> None:
    grove = grown(
        {"kind": "reply", "at": f"0/{i}#0", "ask": "Generate", "value": {"text": "x" * 9000}}
        for i in range(10_050)
    )
    assert len(grove.texts) == 10_000
    assert max(map(len, grove.texts.values())) == 4000
