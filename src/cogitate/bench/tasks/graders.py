"""How answers are judged: compared with a reference, run against tests, or checked by arithmetic."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, cast

from cogitate.core.candidates import Artifact
from cogitate.core.code_tests import CodeTests, FunctionTests, IoCase, IoTests
from cogitate.core.flow import gather
from cogitate.core.requests import Grade
from cogitate.lab import CountdownProblem
from cogitate.rules import exact_match, token_f1
from cogitate.scorers import run_tests

from .item import ABSTAINED, Grader, Item, Verdict

_SAID: Final = re.compile(r"(?im)^\W*(?:final )?answer\W*:[ \t*]*(?=\S)(.+)$")


@dataclass(frozen=True)
class Compared:
    """Right where the answer equals the reference, or one of several, by the rules of its kind."""

    name: str = "answer"

    async def __call__(self, item: Item, artifacts: Sequence[Artifact]) -> tuple[Verdict, ...]:
        """One `Grade` request for all artifacts, and one for each further reference."""
        answers = tuple(a.answer if a.complete else None for a in artifacts)
        references = _references(item)
        asked = [Grade(answers, item.task.kind, reference) for reference in references]
        found = await gather(*(_correct(request) for request in asked))
        return tuple(_verdict([column[i] for column in found]) for i in range(len(answers)))


async def _correct(request: Grade) -> tuple[bool | None, ...]:
    return (await request).correct


def _verdict(said: Sequence[bool | None]) -> Verdict:
    known = [correct for correct in said if correct is not None]
    return Verdict(any(known), float(any(known))) if known else ABSTAINED


def _references(item: Item) -> tuple[str, ...]:
    others = cast("Sequence[str]", item.meta.get("also_right", ()))
    return (*(() if item.gold is None else (item.gold,)), *others)


@dataclass(frozen=True)
class Overlap:
    """Exact match and token F1 of short answers, as for HotpotQA: right where they match, credited by F1.

    Of a longer text, what follows its last `Answer:` counts.
    """

    name: str = "exact_match_f1"

    async def __call__(self, item: Item, artifacts: Sequence[Artifact]) -> tuple[Verdict, ...]:
        """Asks nothing."""
        return tuple(self._one(item, said_in(artifact)) for artifact in artifacts)

    def _one(self, item: Item, said: str | None) -> Verdict:
        if said is None:
            return ABSTAINED
        wanted = _references(item)
        return Verdict(
            any(exact_match(said, gold) for gold in wanted),
            max(token_f1(said, gold) for gold in wanted),
        )


@dataclass(frozen=True)
class Tested:
    """Right where the program passes all tests, which run in the sandbox; credited by the share it passes."""

    name: str = "tests"

    async def __call__(self, item: Item, artifacts: Sequence[Artifact]) -> tuple[Verdict, ...]:
        """Equal programs are run once."""
        tests = tests_of(item.meta)
        programs = [a.answer if a.complete else None for a in artifacts]
        once = list(dict.fromkeys(p for p in programs if p is not None and p.strip()))
        found = await gather(*(run_tests(program, tests) for program in once))
        verdicts = {
            program: Verdict(verdict.all, verdict.share)
            for program, verdict in zip(once, found, strict=True)
        }
        return tuple(ABSTAINED if p is None else verdicts.get(p, ABSTAINED) for p in programs)


def tests_of(meta: Mapping[str, Any]) -> CodeTests:
    """The tests that a question carries."""
    if "cases" in meta:
        cases = cast("Sequence[Mapping[str, str]]", meta["cases"])
        return IoTests(tuple(IoCase(case["input"], case["output"]) for case in cases))
    return FunctionTests(meta["function"], meta["tests"], meta.get("beginning", ""))


@dataclass(frozen=True)
class Reached:
    """Right where an expression makes the target from the numbers; read by precedence and never run.

    Of a longer text, what follows its last `Answer:` counts, else its last line; `= 24` at the end is
    allowed.
    """

    name: str = "expression"

    async def __call__(self, item: Item, artifacts: Sequence[Artifact]) -> tuple[Verdict, ...]:
        """Asks nothing."""
        numbers = tuple(cast("Sequence[int]", item.meta["numbers"]))
        puzzle = CountdownProblem(numbers, int(item.meta["target"]), "")
        whole = bool(item.meta.get("each_once", True))
        return tuple(_reached(puzzle, said_in(artifact), whole=whole) for artifact in artifacts)


def _reached(puzzle: CountdownProblem, said: str | None, *, whole: bool) -> Verdict:
    if said is None:
        return ABSTAINED
    line = next((line for line in reversed(said.splitlines()) if line.strip(" \t`*$.")), "")
    written = line.strip(" \t`*$.").translate(_SIGNS).replace("\\times", "*").replace("\\div", "/")
    made, equals, value = written.partition("=")
    right = (
        (not equals or value.strip() == str(puzzle.target))
        and puzzle.reached(made)
        and (not whole or len(re.findall(r"\d+", made)) == len(puzzle.numbers))
    )
    return Verdict(right, float(right))


_SIGNS: Final = str.maketrans(
    {"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "[": "(", "]": ")"}
)


def said_in(artifact: Artifact) -> str | None:
    r"""The short answer of an artifact of kind `text`; `None` where it was cut or is empty.

    >>> said_in(Artifact("…", answer="Both are directors.\nAnswer: yes"))
    'yes'
    """
    text = artifact.answer
    if text is None or not artifact.complete or not text.strip():
        return None
    stated = _SAID.findall(text[-20_000:])
    return stated[-1].strip().removesuffix("**").strip() if stated else text.strip()


GRADERS: Final[Mapping[str, Grader]] = MappingProxyType(
    {grader.name: grader for grader in (Compared(), Overlap(), Tested(), Reached())}
)
"""The graders that a task file may name."""
