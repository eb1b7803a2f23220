from __future__ import annotations

import time

import pytest

from cogitate.assembly.tasks import asked
from cogitate.core.errors import InvalidInput
from cogitate.core.task import Task


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("What is 17*23?", "math"),
        ("What is 10-4?", "math"),
        ("Tom has 5 apples and buys 3. How many now?", "math"),
        ("Solve for x: 3x + 5 = 20", "math"),
        ("1/3 + 1/6 = ?", "math"),
        ("Compute the sum of 3 and 4", "math"),
        ("What is the 5th amendment?", "text"),
        ("Write a poem with 4 lines.", "text"),
        ("In 2020-2021 who won the league?", "text"),
        ("Who was born on 3/4/1950?", "text"),
        ("How many moons are there?", "text"),
        ("Which is a fruit?\nA) stone\nB) apple", "choice"),
        ("Which is a fruit?\n(A) stone\n(B) apple\n(C) iron", "choice"),
        ("A) is one option only", "text"),
        ("B) stone\nA) apple", "text"),
    ],
)
def test_the_kind_is_judged_from_the_wording_and_said(question: str, kind: str) -> None:
    found = asked(question)
    assert found.task.kind == kind
    assert found.reason
    assert not asked(question, "text").reason
    assert asked(question, "text").task.kind == "text"


def test_only_the_end_of_a_long_text_says_what_is_asked() -> None:
    assert asked("What is 2 + 2?\n" + "Filler. " * 1000 + "Why is that so?").task.kind == "text"
    assert asked("Filler. " * 1000 + "What is 2 + 2?").task.kind == "math"


def test_options_are_read_for_a_choice() -> None:
    question = "Which?\n A. stone\n B. apple"
    assert asked(question).task.options == ("A", "B")
    assert asked(question, "choice").task.options == ("A", "B")
    assert asked(question, "text").task.options == ()


def test_a_task_keeps_what_it_knows() -> None:
    task = Task.of("What is 2 + 2?", kind="text", context="c", meta={"id": "x"})
    assert asked(task).task is task
    assert asked(task, "number").task.kind == "number"
    assert asked(task, "number").task.meta == {"id": "x"}


@pytest.mark.parametrize(
    "text", ["1" * 2_000_000, "1 + " * 500_000, "A) x\n" * 400_000, "how " * 500_000]
)
def test_a_huge_question_is_judged_at_once(text: str) -> None:
    start = time.perf_counter()
    asked(text)
    assert time.perf_counter() - start < 1.0


def test_a_class_that_is_no_model_is_refused() -> None:
    with pytest.raises(InvalidInput, match="class"):
        asked("?", dict)


def test_a_pydantic_model_gives_the_schema_and_reads_the_answer() -> None:
    pydantic = pytest.importorskip("pydantic")
    point = pydantic.create_model("Point", x=(int, ...))
    found = asked("Where?", point)
    assert found.task.kind == "json"
    assert found.parse('{"x": 3}') == point(x=3)
    assert found.parse('{"x": "no"}') is None
    assert found.parse("not json") is None
    assert found.parse(None) is None
