"""Chains of arithmetic from our own generator, with an exact checker of every step.

A chain is one expression worked from the inside out: each step is one operation on the value so far, so a
solution of k steps has k places to go wrong, and the first wrong one is known exactly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cogitate.core.errors import InvalidInput
from cogitate.core.seeds import Seed
from cogitate.core.task import Task

MAX_LENGTH: Final = 64
_LARGEST_VALUE: Final = 10**6

CLAIM = re.compile(r"(-?\d+)\s*([-+*/])\s*(-?\d+)\s*=\s*(-?\d+)(?![\d.]*\d*/)")
"""An operation on whole numbers with its result; at most this much of a step is read."""
READ: Final = 10_000


@dataclass(frozen=True, slots=True)
class ChainProblem:
    """An expression with its value and the steps that lead there.

    >>> chain_problem(Seed(1), length=3).solution.count("=")
    3
    """

    start: int
    operations: tuple[tuple[str, int], ...]

    @property
    def values(self) -> tuple[int, ...]:
        """The value before the first operation and after each."""
        found = [self.start]
        for sign, by in self.operations:
            found.append(applied(found[-1], sign, by))
        return tuple(found)

    @property
    def answer(self) -> int:
        """The value of the whole."""
        return self.values[-1]

    @property
    def question(self) -> str:
        """The expression in words that any model reads: every bracket is written."""
        text = str(self.start)
        for sign, by in self.operations:
            text = f"({text} {sign} {by})"
        return f"Work out {text[1:-1] if self.operations else text}, one operation at a time."

    @property
    def task(self) -> Task:
        """What a strategy is asked; the answer is not in it."""
        return Task.of(self.question, kind="number")

    @property
    def steps(self) -> tuple[str, ...]:
        """The right steps, one operation each."""
        values = self.values
        return tuple(
            f"{values[i]} {sign} {by} = {values[i + 1]}"
            for i, (sign, by) in enumerate(self.operations)
        )

    @property
    def solution(self) -> str:
        """A worked solution that ends in the answer line the prompts ask for."""
        return "\n".join([*self.steps, f"#### {self.answer}"])

    def check(self, steps: Sequence[str]) -> tuple[bool, ...]:
        """Whether each step of a solution is right.

        A step is right where every operation it states is the next of the chain, on the true value, with the
        true result, and a final line states the true answer. A step that states nothing is right. All
        that follows a wrong step is wrong, unless it works from the true value again.

        >>> problem = ChainProblem(3, (("+", 4), ("*", 2)))
        >>> problem.check(["3 + 4 = 7", "7 * 2 = 15", "#### 15"])
        (True, False, False)
        """
        values, done, found = self.values, 0, list[bool]()
        for step in steps:
            claims = CLAIM.findall(step[:READ])
            right = True
            for left, sign, by, result in claims:
                at = done < len(self.operations)
                right = (
                    right
                    and at
                    and (sign, int(by)) == self.operations[done]
                    and (int(left), int(result)) == (values[done], values[done + 1])
                )
                done += at
            final = _FINAL.search(step[:READ])
            if final is not None:
                right = right and int(final[1]) == self.answer
            found.append(right)
        return tuple(found)

    def first_error(self, steps: Sequence[str]) -> int | None:
        """Index of the first wrong step, from 0; `None` where all are right."""
        return next((i for i, right in enumerate(self.check(steps)) if not right), None)


_FINAL = re.compile(r"####\s*(-?\d+)")


def applied(value: int, sign: str, by: int) -> int:
    """One operation; division is exact by construction.

    >>> applied(6, "/", 3)
    2

    Raises:
        ValueError: for an unknown sign, or a division with a rest.
    """
    match sign:
        case "+":
            return value + by
        case "-":
            return value - by
        case "*":
            return value * by
        case "/" if by and value % by == 0:
            return value // by
        case _:
            raise ValueError(f"{value} {sign} {by} is no operation on whole numbers")


def chain_problem(seed: Seed, length: int = 4, largest: int = 20) -> ChainProblem:
    """One chain of `length` operations on numbers up to `largest`; length is the difficulty.

    Values stay between -10**6 and 10**6, and divisions are exact.

    Raises:
        InvalidInput: for a length outside 1 to 64, or a `largest` below 3.

    >>> chain_problem(Seed(3), length=2) == chain_problem(Seed(3), length=2)
    True
    """
    if not 1 <= length <= MAX_LENGTH:
        raise InvalidInput(
            f"a chain of {length} steps was asked for; it has between 1 and {MAX_LENGTH}"
        )
    if largest < 3:
        raise InvalidInput(f"largest={largest} was asked for; it must be at least 3")
    rng = seed.at("chain_problem", length, largest).rng()
    value = start = rng.randint(2, largest)
    operations: list[tuple[str, int]] = []
    for _ in range(length):
        signs = ["+", "-"]
        divisors = [d for d in range(2, min(largest, 12) + 1) if value % d == 0 and abs(value) > d]
        if abs(value) * 12 <= _LARGEST_VALUE:
            signs.append("*")
        if divisors:
            signs.append("/")
        sign = rng.choice(signs)
        by = (
            rng.choice(divisors)
            if sign == "/"
            else rng.randint(2, min(largest, 12) if sign == "*" else largest)
        )
        operations.append((sign, by))
        value = applied(value, sign, by)
    return ChainProblem(start, tuple(operations))
