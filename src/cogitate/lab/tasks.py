"""Arithmetic word problems from our own templates, with exact answers and a difficulty.

A problem is a short story about one quantity: someone has some things, then events change how many.
The difficulty is the number of events; each is one operation.
"""

from __future__ import annotations

import random  # noqa: TID251  (only the type: generators come from a Seed)
from collections.abc import Callable
from dataclasses import dataclass

from cogitate.core.errors import InvalidInput
from cogitate.core.seeds import Seed
from cogitate.core.task import Task

MAX_DIFFICULTY = 8

_NAMES = ("Ada", "Ben", "Chidi", "Dana", "Emil", "Farah", "Goran", "Hana", "Ines", "Jonas")
_THINGS = ("apples", "shells", "stamps", "marbles", "buttons", "coins", "pencils", "cards", "beads")


@dataclass(frozen=True, slots=True)
class WordProblem:
    """A question with its exact answer.

    >>> word_problem(Seed(0), difficulty=1).task.kind
    'number'
    """

    question: str
    answer: int
    difficulty: int
    """How many operations lead to the answer."""
    template: str
    """The events by name; what is held out by template shares none of these."""
    working: tuple[str, ...]
    """One calculation an operation, in order."""

    @property
    def task(self) -> Task:
        """What a strategy is asked; the answer is not in it."""
        return Task.of(self.question, kind="number")

    @property
    def solution(self) -> str:
        """A worked solution that ends in the answer line the prompts ask for."""
        return "\n".join([*self.working, f"#### {self.answer}"])


@dataclass(frozen=True, slots=True)
class _Event:
    name: str
    allowed: Callable[[int], bool]
    """Whether it can happen to this many things."""
    draw: Callable[[random.Random, int, int], int]
    """The amount, given a generator, how many there are and the largest new number."""
    apply: Callable[[int, int], int]
    sign: str
    tell: str
    """A sentence; `$who`, `$things`, `$n` stand for the person, the things and the amount."""


def _added(rng: random.Random, have: int, largest: int) -> int:
    return rng.randint(2, largest)


def _taken(rng: random.Random, have: int, largest: int) -> int:
    return rng.randint(2, min(have - 2, largest))


def _factor(rng: random.Random, have: int, largest: int) -> int:
    return rng.randint(2, 4)


def _divisor(rng: random.Random, have: int, largest: int) -> int:
    return rng.choice([d for d in range(2, 7) if have % d == 0 and have > d])


def _divisible(have: int) -> bool:
    return any(have % d == 0 and have > d for d in range(2, 7))


_EVENTS = (
    _Event(
        "find", lambda h: True, _added, lambda h, n: h + n, "+", "Then $who finds $n more $things."
    ),
    _Event(
        "buy", lambda h: True, _added, lambda h, n: h + n, "+", "A shop sells $who $n more $things."
    ),
    _Event("lose", lambda h: h > 3, _taken, lambda h, n: h - n, "-", "Then $who loses $n $things."),
    _Event(
        "give",
        lambda h: h > 3,
        _taken,
        lambda h, n: h - n,
        "-",
        "$who gives $n $things to a friend.",
    ),
    _Event(
        "multiply",
        lambda h: h <= 60,
        _factor,
        lambda h, n: h * n,
        "*",
        "After a lucky week $who has $n times as many $things as before.",
    ),
    _Event(
        "share",
        _divisible,
        _divisor,
        lambda h, n: h // n,
        "/",
        "$who sorts all the $things into $n equal boxes and keeps only one box.",
    ),
)


def word_problem(seed: Seed, difficulty: int = 1, largest: int = 20) -> WordProblem:
    """One problem with `difficulty` operations on numbers up to about `largest`.

    Raises:
        InvalidInput: for a difficulty outside 1 to 8, or a `largest` below 3.

    >>> word_problem(Seed(3), difficulty=2).solution.splitlines()[-1].startswith("#### ")
    True
    """
    from string import Template

    if not 1 <= difficulty <= MAX_DIFFICULTY:
        raise InvalidInput(
            f"a difficulty of {difficulty} was asked for; it must lie between 1 and {MAX_DIFFICULTY}"
        )
    if largest < 3:
        raise InvalidInput(f"largest={largest} was asked for; it must be at least 3")
    rng = seed.at("word_problem", difficulty, largest).rng()
    who, things = rng.choice(_NAMES), rng.choice(_THINGS)
    have = rng.randint(3, largest)
    told = [f"{who} has {have} {things}."]
    working: list[str] = []
    names: list[str] = []
    for _ in range(difficulty):
        possible = [e for e in _EVENTS if e.allowed(have) and (not names or e.name != names[-1])]
        event = rng.choice(possible)
        amount = event.draw(rng, have, largest)
        after = event.apply(have, amount)
        told.append(Template(event.tell).substitute(who=who, things=things, n=amount))
        working.append(f"{have} {event.sign} {amount} = {after}")
        names.append(event.name)
        have = after
    told.append(f"How many {things} does {who} have now?")
    return WordProblem(" ".join(told), have, difficulty, "+".join(names), tuple(working))


def word_problems(
    count: int, seed: Seed | None = None, difficulty: int = 1, largest: int = 20
) -> tuple[WordProblem, ...]:
    """Different problems; the first of a longer list are those of a shorter one.

    Raises:
        InvalidInput: when so many different ones cannot be found.

    >>> word_problems(3) == word_problems(5)[:3]
    True
    """
    root = Seed(0) if seed is None else seed
    found: dict[str, WordProblem] = {}
    for i in range(20 * count + 100):
        if len(found) == count:
            break
        problem = word_problem(root.at(i), difficulty, largest)
        found.setdefault(problem.question, problem)
    if len(found) < count:
        raise InvalidInput(
            f"{count} different problems were asked for; only {len(found)} were found with"
            f" difficulty={difficulty}, largest={largest}"
        )
    return tuple(found.values())
