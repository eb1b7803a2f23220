"""Votes of tool calls by hand: excluded arguments, hierarchy, malformed calls, ties."""

from __future__ import annotations

import itertools
import json

import pytest

from cogitate.core.candidates import Artifact, Score
from cogitate.core.errors import InvalidInput
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.drive import run
from cogitate.processes import Answer
from cogitate.scorers import ToolCallVote
from cogitate.search import SelfConsistency, Solve, counts_votes
from cogitate.testing import FakeEngine, Scripted

TASK = Task.of("Find it.", kind="json")


def call(name, **arguments):
    answer = json.dumps({"name": name, "arguments": arguments})
    return Artifact(answer, answer, kind="json")


def scored(scorer, *artifacts):
    engine = Scripted({})
    found = run(scorer(TASK, artifacts), engine).value
    assert engine.requests == []
    return found


def test_the_vote_by_hand():
    seen = [call("find", q=1, id=1), call("find", id=2, q=1), call("find", q=2, id=1), call("stop")]
    plain = scored(ToolCallVote(), *seen)
    assert [s.features["votes"] for s in plain] == [(1.0,)] * 4
    found = scored(ToolCallVote(exclude=("id",)), *seen)
    assert [round(s.value, 6) for s in found] == [0.5, 0.5, 0.25, 0.25]
    assert [s.features["votes"] for s in found] == [(2.0,), (2.0,), (1.0,), (1.0,)]
    assert [s.features["tool_votes"] for s in found] == [(3.0,), (3.0,), (3.0,), (1.0,)]
    assert found[2].value > found[3].value  # a tie: "find" comes before "stop"


def test_the_tool_votes_before_its_arguments():
    """Planted: the most frequent call is of the tool that fewer chose."""
    seen = [call("find", q=1), call("find", q=2), call("find", q=3), call("stop"), call("stop")]
    flat, nested = (scored(ToolCallVote(hierarchical=h), *seen) for h in (False, True))
    assert max(range(5), key=lambda i: flat[i].value) == 3
    assert max(range(5), key=lambda i: nested[i].value) == 0
    order = sorted(range(5), key=lambda i: -nested[i].value)
    assert order == [0, 1, 2, 3, 4]
    assert nested[0].value == pytest.approx((3 + 1 / 6) / 6)
    assert nested[3].value == pytest.approx((2 + 2 / 6) / 6)


@pytest.mark.parametrize("hierarchical", [False, True])
def test_order_changes_nothing(hierarchical):
    seen = [
        call("b", q=1),
        call("a", q=2),
        call("a", q=1),
        Artifact("x", "x"),
        call("b", q=1),
        call("c"),
    ]
    scorer = ToolCallVote(hierarchical=hierarchical)
    of = {a.text: s for a, s in zip(seen, scored(scorer, *seen), strict=True)}
    for order in itertools.islice(itertools.permutations(seen), 0, 720, 41):
        assert scored(scorer, *order) == [of[a.text] for a in order]


def test_what_is_no_call_has_no_vote():
    whole = call("find", q=1)
    seen = [
        whole,
        Artifact("find(1)", "find(1)"),
        Artifact("", None),
        Artifact(whole.text, whole.answer, complete=False),
    ]
    for scorer in (ToolCallVote(), ToolCallVote(hierarchical=True)):
        found = scored(scorer, *seen)
        assert isinstance(found[0], Score)
        assert [s.cause for s in found[1:]] == ["abstained"] * 3
        assert "no tool call" in found[1].reason
        assert "no answer" in found[2].reason == found[3].reason
    assert scored(ToolCallVote(), *seen)[0].value == 0.25
    assert scored(ToolCallVote()) == []


def test_a_decided_vote_stops_sampling_but_a_hierarchical_one_does_not():
    def calls(hierarchical):
        engine = Scripted(lambda r: call("find", id=r.seed).text)
        scorer = ToolCallVote(exclude=("id",), hierarchical=hierarchical)
        assert counts_votes(scorer) == (not hierarchical)
        found = run(Solve(Answer(), scorer, SelfConsistency(8))(TASK, Seed(0)), engine).value
        return found.stopped, len(engine.requests)

    assert calls(False) == ("decided", 5)
    assert calls(True) == ("", 8)


def test_no_engine_is_needed():
    assert run(ToolCallVote()(TASK, [call("a")]), FakeEngine()).value[0].value == 1.0
    for wrong in ("id", ("",)):
        with pytest.raises(InvalidInput, match="exclude"):
            ToolCallVote(exclude=wrong)
