"""Countdown: reach a target with given numbers; solutions differ, so they are checked and not compared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from cogitate.core.errors import InvalidInput
from cogitate.core.seeds import Seed
from cogitate.core.task import Task

from .arithmetic import CLAIM, READ

MAX_BRACKETS: Final = 50


@dataclass(frozen=True, slots=True)
class CountdownProblem:
    """Numbers to reach a target with; several solutions may be right, so answers are checked and not compared."""

    numbers: tuple[int, ...]
    target: int
    known: str
    """One expression that reaches it."""

    @property
    def question(self) -> str:
        """What is asked."""
        listed = ", ".join(str(n) for n in self.numbers)
        return (
            f"Use the numbers {listed}, each at most once, with +, -, * and / to make {self.target}. "
            "Answer with one expression."
        )

    @property
    def task(self) -> Task:
        """What a strategy is asked."""
        return Task.of(self.question, kind="text")

    def reached(self, expression: str) -> bool:
        """Whether an expression uses the numbers as allowed and has the target as its value.

        >>> problem = CountdownProblem((2, 3, 5), 25, "(2 + 3) * 5")
        >>> problem.reached("5 * (3 + 2)"), problem.reached("5 * 5"), problem.reached("__import__('os')")
        (True, False, False)
        """
        try:
            value, used = evaluated(expression)
        except (ValueError, ZeroDivisionError):
            return False
        left = list(self.numbers)
        for number in used:
            if number not in left:
                return False
            left.remove(number)
        return value == self.target

    def check(self, steps: Sequence[str]) -> tuple[bool, ...]:
        """Whether each step, such as `2 + 3 = 5`, combines two numbers that are still there, rightly.

        >>> CountdownProblem((2, 3, 5), 25, "(2 + 3) * 5").check(["2 + 3 = 5", "5 * 5 = 25", "5 - 5 = 0"])
        (True, True, False)
        """
        left, found = [Fraction(n) for n in self.numbers], list[bool]()
        for step in steps:
            right = True
            for a, sign, b, result in CLAIM.findall(step[:READ]):
                first, second, made = Fraction(int(a)), Fraction(int(b)), Fraction(int(result))
                there = _without(left, [first, second])
                right = right and there is not None and _operation(first, second, sign) == made
                if there is not None:
                    left = [*there, made]
            found.append(right)
        return tuple(found)


def _without(held: list[Fraction], used: list[Fraction]) -> list[Fraction] | None:
    left = list(held)
    for number in used:
        if number not in left:
            return None
        left.remove(number)
    return left


def countdown_problem(seed: Seed, numbers: int = 4, largest: int = 25) -> CountdownProblem:
    """One solvable problem; how many numbers there are is the difficulty.

    Raises:
        InvalidInput: for fewer than 2 or more than 8 numbers, or a `largest` below 3.

    >>> problem = countdown_problem(Seed(0), numbers=3)
    >>> problem.reached(problem.known)
    True
    """
    if not 2 <= numbers <= 8:
        raise InvalidInput(f"{numbers} numbers were asked for; a countdown has 2 to 8")
    if largest < 3:
        raise InvalidInput(f"largest={largest} was asked for; it must be at least 3")
    rng = seed.at("countdown_problem", numbers, largest).rng()
    drawn = tuple(rng.randint(1, largest) for _ in range(numbers))
    held = [(Fraction(n), str(n)) for n in drawn]
    while len(held) > 1:
        (a, left), (b, right) = (held.pop(rng.randrange(len(held))) for _ in range(2))
        signs = [s for s in "+-*/" if _allowed(a, b, s)]
        sign = rng.choice(signs)
        value = _operation(a, b, sign)
        assert value is not None
        held.append((value, f"({left} {sign} {right})"))
    value, text = held[0]
    return CountdownProblem(drawn, int(value), text[1:-1])


def _allowed(a: Fraction, b: Fraction, sign: str) -> bool:
    """Whether the result is a whole number from 1 to 10,000, as a puzzle for people would have it."""
    value = _operation(a, b, sign)
    return sign == "+" or (value is not None and value.denominator == 1 and 1 <= value <= 10_000)


def _operation(a: Fraction, b: Fraction, sign: str) -> Fraction | None:
    match sign:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case _:
            return a / b if b else None


_TOKEN = re.compile(r"\s*(\d{1,9}|[-+*/()])")


def evaluated(text: str) -> tuple[Fraction, list[int]]:
    """The value of an expression and the numbers in it, read by precedence and never run.

    >>> evaluated("(6 - 4) * 12")
    (Fraction(24, 1), [6, 4, 12])

    Raises:
        ValueError: for anything but numbers, four operations and brackets.
        ZeroDivisionError: where it divides by 0.
    """
    if len(text) > 500 or text.count("(") > MAX_BRACKETS:
        raise ValueError("an expression longer or deeper than a puzzle needs")
    tokens: list[str] = []
    at = 0
    stripped = text.strip()
    while at < len(stripped):
        found = _TOKEN.match(stripped, at)
        if found is None:
            raise ValueError(f"{stripped[at : at + 10]!r} is no part of an expression")
        tokens.append(found[1])
        at = found.end()
    used: list[int] = []
    value, rest = _sum(tokens, 0, used)
    if rest != len(tokens):
        raise ValueError("something is left over")
    return value, used


def _sum(tokens: list[str], at: int, used: list[int]) -> tuple[Fraction, int]:
    value, at = _product(tokens, at, used)
    while at < len(tokens) and tokens[at] in "+-":
        other, after = _product(tokens, at + 1, used)
        value = value + other if tokens[at] == "+" else value - other
        at = after
    return value, at


def _product(tokens: list[str], at: int, used: list[int]) -> tuple[Fraction, int]:
    value, at = _atom(tokens, at, used)
    while at < len(tokens) and tokens[at] in "*/":
        other, after = _atom(tokens, at + 1, used)
        value = value * other if tokens[at] == "*" else value / other
        at = after
    return value, at


def _atom(tokens: list[str], at: int, used: list[int]) -> tuple[Fraction, int]:
    if at >= len(tokens):
        raise ValueError("the expression ends too soon")
    if tokens[at] == "(":
        value, after = _sum(tokens, at + 1, used)
        if after >= len(tokens) or tokens[after] != ")":
            raise ValueError("a bracket is not closed")
        return value, after + 1
    if not tokens[at].isdigit():
        raise ValueError(f"{tokens[at]!r} stands where a number must")
    used.append(int(tokens[at]))
    return Fraction(int(tokens[at])), at + 1
