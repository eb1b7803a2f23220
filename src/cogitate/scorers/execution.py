"""Running programs against tests: the verdict of a program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from cogitate.core.code_tests import CodeTests, IoTests
from cogitate.core.errors import InvalidInput
from cogitate.core.execute import Execute, ExecutionLimits, Language, Run, SourceFile
from cogitate.core.flow import gather
from cogitate.rules.outputs import same_output
from cogitate.rules.programs import bound_to_program, completed, free_names

from ._asking import prompt_file

LIMITS = ExecutionLimits()
_TOLD = 300
"""Characters of a failure that are kept."""


@dataclass(frozen=True)
class Verdict:
    """How a program fared, test by test."""

    passed: tuple[bool, ...]
    reasons: tuple[str, ...]
    """Why each test failed, in a few words; empty where it passed."""

    @property
    def all(self) -> bool:
        """Whether every test passed; false where there was none."""
        return bool(self.passed) and all(self.passed)

    @property
    def share(self) -> float:
        """The share of the tests that passed."""
        return sum(self.passed) / len(self.passed) if self.passed else 0.0

    @property
    def reason(self) -> str:
        """The first failure."""
        return next((reason for reason in self.reasons if reason), "")


async def run_tests(
    program: str,
    tests: CodeTests,
    *,
    limits: ExecutionLimits = LIMITS,
    language: Language = "python",
) -> Verdict:
    """Run a program against tests, in the sandbox.

    Tests of a function are one verdict: they stop at the first failure. Tests of output are one a case.

    Args:
        program: the answer's code; what it continues is put before it.
        tests: what it must do.
        limits: of each run.
        language: of the program; tests of functions are for Python.

    Raises:
        Failed: where the sandbox cannot run it; never because the program is bad.
        OutOfBudget: when the grant does not cover it.
        InvalidInput: for tests of a function of another language.
    """
    if isinstance(tests, IoTests):
        return await _io_verdict(program, tests, limits, language)
    if language != "python":
        raise InvalidInput(
            f"tests of functions are for Python, not {language}; use tests of output"
        )
    whole = completed(tests.beginning, program, tests.name)
    harness = bound_to_program(free_names(tests.tests)) + tests.tests + "\n"
    done = await Execute(whole, harness=harness, limits=limits)
    why = "" if done.passed else _why(done.harness or done.run, done.run)
    return Verdict((done.passed,), (why,))


async def run_checks(
    program: str, checks: Sequence[str], limits: ExecutionLimits = LIMITS
) -> Verdict:
    """Run each check, such as `assert add(1, 2) == 3`, by itself in one harness; one verdict each.

    Raises:
        Failed: where the sandbox cannot run it.
        OutOfBudget: when the grant does not cover it.
    """
    names = sorted({name for check in checks for name in free_names(check)})
    harness = prompt_file("each_check").substitute(
        checks=repr(list(checks)), names=repr(names), longest=str(_TOLD)
    )
    done = await Execute(program, harness=harness, limits=limits)
    said = _bits(done.harness.stdout if done.harness is not None else "", len(checks))
    if said is None:
        why = _why(done.harness or done.run, done.run) or "the checks could not be run"
        return Verdict((False,) * len(checks), (why,) * len(checks))
    return Verdict(tuple(not reason for reason in said), tuple(said))


def _bits(printed: str, count: int) -> list[str] | None:
    """What the harness printed last; a program cannot write there."""
    lines = printed.strip().splitlines()
    try:
        raw = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    if not isinstance(raw, list) or len(cast("list[Any]", raw)) != count:
        return None
    return [str(reason) for reason in cast("list[Any]", raw)]


async def _io_verdict(
    program: str, tests: IoTests, limits: ExecutionLimits, language: Language
) -> Verdict:
    done = await Execute(
        program,
        language=language,
        inputs=tuple(case.stdin for case in tests.cases),
        limits=limits,
    )
    fine = [run.ended == "ok" and "stdout" not in run.truncated for run in done.runs]
    if tests.checker:
        right = await gather(
            *(_checked(tests, i, run, limits) for i, run in enumerate(done.runs) if fine[i])
        )
        verdicts = iter(right)
        passed = tuple(next(verdicts) if ok else False for ok in fine)
    else:
        passed = tuple(
            ok and same_output(run.stdout, case.expected, tests.compare)
            for ok, run, case in zip(fine, done.runs, tests.cases, strict=True)
        )
    reasons = tuple(
        ""
        if good
        else _why(run, run) or f"printed {run.stdout[:80]!r} instead of what was expected"
        for good, run in zip(passed, done.runs, strict=True)
    )
    return Verdict(passed, reasons)


async def _checked(tests: IoTests, index: int, run: Run, limits: ExecutionLimits) -> bool:
    case = tests.cases[index]
    files = (
        SourceFile("input.txt", case.stdin),
        SourceFile("expected.txt", case.expected),
        SourceFile("output.txt", run.stdout),
    )
    done = await Execute(tests.checker, files=files, limits=limits)
    return done.passed


def _why(verdict: Run, program: Run) -> str:
    """A few words on a failure, from the last line of what was complained."""
    for run in (program, verdict):
        if run.ended not in ("ok", "error"):
            return {"timeout": "it took too long", "memory": "it took too much memory"}.get(
                run.ended, f"it ended by {run.ended}"
            )
    lines = (verdict.stderr.strip() or program.stderr.strip()).splitlines()
    return lines[-1][:_TOLD] if lines else ""
