"""Agreement with the published test cases of Math-Verify, case by case."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from cogitate.core.requests import Grade
from cogitate.engines.grading import Grader
from cogitate.rules.extraction import extract

pytest.importorskip("math_verify")

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "math_verify_cases.jsonl")
    .read_text("utf-8")
    .splitlines()
]

ROUNDED = "a rounded decimal is not the exact number: equality with a tolerance is not transitive"
DIFFERENCES = {
    "all-1": ROUNDED,
    "all-8": ROUNDED,
    "all-14": ROUNDED,
    "all-16": ROUNDED,
    "all-22": "a formula that spans lines is read: the delimiters do not change the 9 between them",
    "all-23": "a formula that spans lines is read: the delimiters do not change the 9 between them",
    "all-71": "a sentence after 'answer:' is not reduced to the number in it",
    "all-77": "the pair (1,3) is not the set {1,3}",
    "all-128": "a decimal comma inside prose may as well separate two numbers; alone it is read",
    "all-176": "a chain that begins with 1 and ends with 0 is an equation, not the answer 0",
    "all-188": "an interval equals its inequality whichever of them is the reference",
    "boxed-1": "boxes that stand apart are not one answer: the last one counts",
    "strict-2": "variables are never renamed: f(x) is not f(y)",
    "yujianll-10": "1 - 1/e is not 1 + 1/e; their test records a wrong merge",
    "numina_cases-1": "a bare list that names a member twice is not the set that has it once",
    "numina_cases-4": "absolute values in inequalities are not solved",
    "numina_cases-10": "several named pairs are not matched with tuples: the order of names is not known",
    "numina_cases-20": "a bare list that names a member twice is not the set that has it once",
    "string_extraction-6": "a letter in a sentence that does not state an answer is none",
}
"""Every case in which we differ on purpose, with the reason."""


def graded() -> dict[str, bool]:
    """Whether we grade each case as equal."""

    async def serve() -> dict[str, bool]:
        grader = Grader(timeout_s=20.0)
        requests = []
        for case in CASES:
            gold = extract(case["gold"], case["kind"], guess=True) or ""
            requests.append(
                Grade((extract(case["pred"], case["kind"], guess=True),), case["kind"], gold)
            )
        replies = await grader.serve(requests)
        await grader.close()
        return {
            case["id"]: bool(reply.value.correct[0])
            for case, reply in zip(CASES, replies, strict=True)
        }

    return asyncio.run(serve())


def test_every_listed_difference_has_a_case_and_a_reason() -> None:
    assert set(DIFFERENCES) <= {case["id"] for case in CASES}
    assert all(DIFFERENCES.values())
    assert len({case["id"] for case in CASES}) == len(CASES) == 281


def test_agrees_with_every_published_case_but_the_listed_ones() -> None:
    found = graded()
    differing = {case["id"] for case in CASES if found[case["id"]] != case["expected"]}
    assert differing == set(DIFFERENCES)
