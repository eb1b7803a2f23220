from __future__ import annotations

import asyncio
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from cogitate.bench.tasks import ABSTAINED, Item, Verdict, find
from cogitate.bench.tasks.graders import GRADERS, said_in
from cogitate.core.candidates import Artifact
from cogitate.core.errors import Failed
from cogitate.core.execute import Execute
from cogitate.core.flow import gather
from cogitate.core.machine import Machine
from cogitate.core.requests import Grade
from cogitate.core.task import Task
from cogitate.drive import run, run_async
from cogitate.engines.grading import Grader
from cogitate.engines.sandbox import Sandbox
from cogitate.engines.sandbox.layers import works

isolated = pytest.mark.skipif(not works(), reason="this machine cannot isolate programs")
HUMANEVAL = Path(os.environ.get("COGITATE_DATA", "none")) / "humaneval" / "HumanEval.jsonl.gz"
RIGHT, WRONG = Verdict(True, 1.0), Verdict(False, 0.0)


def artifact(answer: str | None, kind: str = "text", *, complete: bool = True) -> Artifact:
    return Artifact(answer or "", answer, kind, complete)


def item(kind: str, gold: str | None = None, **meta: Any) -> Item:
    options = ("A", "B") if kind == "choice" else ()
    return Item("0", Task.of("?", kind=kind, options=options), gold, meta)


def graded(name: str, asked: Item, *answers: str | None) -> tuple[Verdict, ...]:
    artifacts = [artifact(answer, asked.task.kind) for answer in answers]
    return run(GRADERS[name](asked, artifacts), Grader(symbolic=False)).value


@pytest.mark.parametrize(
    ("kind", "gold", "right", "wrong"),
    [
        ("number", "1,024", "1024.0", "1025"),
        ("math", "070", "70", "7"),
        ("math", "$C = 4$", "4", "C = 5"),
        ("choice", "B", "(b)", "A"),
        ("text", "Paris.", "paris", "London"),
        ("json", '{"a": 1.0}', '{"a":1}', "[]"),
    ],
)
def test_answers_are_compared_by_kind(kind: str, gold: str, right: str, wrong: str) -> None:
    found = graded("answer", item(kind, gold), right, wrong, None)
    assert found == (RIGHT, WRONG, ABSTAINED)


def test_any_of_several_references_will_do() -> None:
    asked = item("text", "UK", also_right=["United Kingdom"])
    assert graded("answer", asked, "united kingdom", "uk", "USA", None) == (
        RIGHT,
        RIGHT,
        WRONG,
        ABSTAINED,
    )


def test_what_was_cut_is_not_judged() -> None:
    flow = GRADERS["answer"](item("number", "4"), [artifact("4", "number", complete=False)])
    assert run(flow, Grader(symbolic=False)).value == (ABSTAINED,)


def test_grading_is_one_request_for_all_artifacts() -> None:
    flow = GRADERS["answer"](
        item("number", "4"), [artifact("4", "number"), artifact("5", "number")]
    )
    machine = Machine(flow)
    assert [ask.request for ask in machine.pending()] == [Grade(("4", "5"), "number", "4")]
    machine.close()


def test_a_grader_that_cannot_be_served_is_no_wrong_answer() -> None:
    with pytest.raises(Failed):
        run(GRADERS["tests"](item("code", function="f", tests="f()"), [artifact("x = 1", "code")]),
            Grader(symbolic=False))  # fmt: skip


def test_short_answers_by_overlap() -> None:
    found = graded(
        "exact_match_f1",
        item("text", "Chief of Protocol"),
        "the chief of protocol!",
        "It is long.\nAnswer: Chief of Protocol",
        "Chief Protocol",
        "a diplomat",
        "",
    )
    assert [verdict.correct for verdict in found] == [True, True, False, False, None]
    assert [round(verdict.credit, 3) for verdict in found] == [1.0, 1.0, 0.8, 0.0, 0.0]


def test_yes_is_no_part_of_an_answer() -> None:
    found = graded("exact_match_f1", item("text", "yes"), "yes", "yes they are", "no")
    assert [verdict.credit for verdict in found] == [1.0, 0.0, 0.0]


PUZZLE = {"numbers": [4, 6, 1, 1], "target": 24}


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("4 * 6 * 1 * 1", True),
        ("(4 × 6) ÷ (1 · 1)", True),
        ("4 * 6 * 1 * 1 = 24", True),
        ("I try 6 * 4.\nAnswer: 6 * 4 + 1 - 1", True),
        ("First 6 * 4 = 24.\n`6 * 4 * 1 / 1`", True),
        ("6 * 4 = 24", False),  # not every number
        ("4 * 6 * 1 * 1 * 1", False),  # one too many
        ("4 * 6 * 1 * 1 = 25", False),
        ("4 * 6 + 1 * 1", False),
        ("4 * 6 / (1 - 1)", False),
        ("24", False),
        ("__import__('os').system('true')", False),
        ("(" * 10_000, False),
        ("9" * 100_000 + " ** 9", False),
    ],
)
def test_expressions_are_read_and_never_run(said: str, right: bool) -> None:
    assert graded("expression", item("text", **PUZZLE), said) == (RIGHT if right else WRONG,)


def test_a_countdown_may_leave_numbers_out() -> None:
    loose = item("text", **PUZZLE, each_once=False)
    assert graded("expression", loose, "6 * 4", "6 * 4 * 4", None) == (RIGHT, WRONG, ABSTAINED)


def test_the_last_stated_answer_counts() -> None:
    assert said_in(artifact("**Answer:** one\nmore\nFinal answer: two")) == "two"
    assert said_in(artifact("So:\n**Answer: 4**")) == "4"
    assert said_in(artifact("The answer is unknown")) == "The answer is unknown"
    assert said_in(artifact("cut", complete=False)) is None


def sandboxed(flow: Any) -> Any:
    async def drive() -> Any:
        box = Sandbox()
        try:
            return (await run_async(flow, box)).value
        finally:
            await box.close()

    return asyncio.run(drive())


@isolated
def test_programs_are_tested_in_the_sandbox() -> None:
    tests = "def check(f):\n    assert f(2) == 4\n\ncheck(twice)\n"
    asked = item("code", function="twice", tests=tests, beginning="def twice(x):\n")
    answers = ["    return 2 * x", "def twice(x):\n    return x", None, "    return 2 * x"]
    flow = GRADERS["tests"](asked, [artifact(answer, "code") for answer in answers])
    assert sandboxed(flow) == (RIGHT, WRONG, ABSTAINED, RIGHT)


@isolated
def test_programs_get_credit_for_the_cases_they_pass() -> None:
    cases = [{"input": "1", "output": "2"}, {"input": "2", "output": "4"}]
    flow = GRADERS["tests"](
        item("code", cases=cases), [artifact("print(int(input()) + 1)", "code")]
    )
    assert sandboxed(flow) == (Verdict(False, 0.5),)


def test_equal_programs_are_run_once() -> None:
    flow = GRADERS["tests"](
        item("code", function="f", tests="f()"), [artifact("x = 1", "code")] * 3
    )
    machine = Machine(flow)
    asked = machine.pending()
    assert [type(ask.request) for ask in asked] == [Execute]
    machine.close()


@isolated
@pytest.mark.slow
@pytest.mark.skipif(not HUMANEVAL.is_file(), reason="set COGITATE_DATA to the folder of the data")
def test_humaneval_knows_its_own_solutions() -> None:
    """About 7 s on two cores: 328 programs."""
    made = find("humaneval")
    rows = [json.loads(line) for line in gzip.decompress(HUMANEVAL.read_bytes()).splitlines()]
    solutions = {row["task_id"]: row["canonical_solution"] for row in rows}

    async def one(asked: Item) -> tuple[Verdict, ...]:
        answers = [solutions[asked.id], "    return None"]
        return await made.grade(asked, [artifact(answer, "code") for answer in answers])

    async def all_of_them() -> Any:
        return await gather(*(one(asked) for asked in made.questions()))

    assert sandboxed(all_of_them()) == [(RIGHT, WRONG)] * 164
