"""The pairs world: which of two answers is right? For judges, and for thinking that is made to go on.

The judge has a first impression, and at each cue to think again it looks anew: a wrong verdict is then corrected, or
a right one spoilt, with given chances. So the verdict is a Markov chain of two states over the number of
looks. It thinks aloud between `<think>` and `</think>`, where a budget may be forced, and then answers.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from cogitate.core.errors import InvalidInput
from cogitate.core.requests import Generate, ScoreSteps
from cogitate.core.task import Task

from .chain import apart, draw, normal
from .serving import address_of, found_in

_QUESTION: Final = re.compile(
    r"Pair (\d{1,9}): how much is (\d{1,5}) \+ (\d{1,5})\?\nA\) (\d{1,6})\nB\) (\d{1,6})\nWhich answer is right\?"
)
_VERDICT: Final = re.compile(r"It looks like ([AB])\.")
_FINAL: Final = re.compile(r"^Answer: ([AB])\b", re.MULTILINE)
OPENED: Final = "<think>"
CLOSED: Final = "</think>"


@dataclass(frozen=True)
class PairsWorld:
    """The parameters of a world of pairs.

    >>> world = PairsWorld(first=0.6, corrects=0.3, spoils=0.1)
    >>> round(world.right_after(0), 2), round(world.right_after(1), 2), world.limit
    (0.6, 0.66, 0.75)
    """

    first: float = 0.6
    """Chance that the first impression is right, where the place does not decide it."""
    corrects: float = 0.3
    """Chance that another look turns a wrong verdict into the right one."""
    spoils: float = 0.1
    """Chance that another look turns a right verdict into the wrong one."""
    position_bias: float = 0.0
    """Chance that the first impression is the answer that stands first, whatever it says."""
    auc: float = 0.85
    """Chance that a right verdict scores above a wrong one."""
    seed: int = 0
    """Of the noise in scores."""

    def __post_init__(self) -> None:
        for name in ("first", "corrects", "spoils", "position_bias", "auc"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidInput(
                    f"{name}={getattr(self, name)} was asked for; it lies between 0 and 1"
                )

    def right_after(self, looks: int, gold: str = "") -> float:
        """The chance of a right verdict after so many further looks.

        Args:
            looks: cues to think again, at 0 the first impression alone.
            gold: `A` or `B`, the right one; without it, the mean over both places.
        """
        lured = {"A": 1.0, "B": 0.0}.get(gold, 0.5)
        right = (1 - self.position_bias) * self.first + self.position_bias * lured
        for _ in range(looks):
            right = right * (1 - self.spoils) + (1 - right) * self.corrects
        return right

    @property
    def limit(self) -> float:
        """Where endless looking ends; the first impression where no look changes anything."""
        both = self.corrects + self.spoils
        return round(self.corrects / both, 12) if both else self.right_after(0)

    @property
    def fingerprint(self) -> str:
        """What would change the answers: every parameter."""
        return f"sim:pairs({self!r})"

    def says(self, request: Generate) -> str:
        """A thought that ends in a verdict, and the answer; what is missing of them."""
        pair, begun = self._pair(request), request.prompt.prefill
        if _FINAL.search(begun):
            return ""
        verdicts = list(_VERDICT.finditer(begun))
        if CLOSED in begun:
            held = verdicts[-1][1] if verdicts else self._impression(pair, address_of(request))
            start = "" if begun.endswith("\n\n") else "\n\n"
            return f"{start}Answer: {held}"
        verdict, thought = self._looked(pair, begun, verdicts, address_of(request))
        return f"{thought}{CLOSED}\n\nAnswer: {verdict}"

    def scores(self, request: ScoreSteps) -> tuple[float, ...]:
        """A binormal score of the verdict so far, as a chance at even odds; 0.5 without a verdict."""
        pair = self._pair(request)
        text, found = request.prompt.prefill, list[float]()
        for step in request.steps:
            text += step
            told = _FINAL.findall(text) or _VERDICT.findall(text)
            address = f"pairs|{self.seed}|{pair.question}|{text}"
            found.append(self._score(told[-1] == pair.gold, address) if told else 0.5)
        return tuple(found)

    def _score(self, right: bool, address: str) -> float:
        distance = apart(self.auc)
        seen = normal(address) + (distance / 2 if right else -distance / 2)
        return 1 / (1 + math.exp(-abs(distance) * seen))

    def _looked(
        self, pair: Pair, begun: str, verdicts: list[re.Match[str]], address: str
    ) -> tuple[str, str]:
        """The verdict, and the words of the thought that lead to it."""
        if not verdicts:
            verdict = self._impression(pair, address)
            opened = "" if OPENED in begun else f"{OPENED}\n"
            return verdict, f"{opened}It looks like {verdict}.\n"
        verdict = verdicts[-1][1]
        if not begun[verdicts[-1].end() :].strip():  # nothing asks for another look
            return verdict, ""
        change = self.spoils if verdict == pair.gold else self.corrects
        if draw(f"{address}|look") < change:
            verdict = "B" if verdict == "A" else "A"
        return verdict, f" Once more. It looks like {verdict}.\n"

    def _impression(self, pair: Pair, address: str) -> str:
        if draw(f"{address}|place") < self.position_bias:
            return "A"
        right = draw(f"{address}|first") < self.first
        return pair.gold if right else "B" if pair.gold == "A" else "A"

    def _pair(self, request: Generate | ScoreSteps) -> Pair:
        found = found_in(request.prompt, _QUESTION, Pair(1, 20, 22, 42, 43).question)
        return Pair(*(int(number) for number in found.groups()))


@dataclass(frozen=True, slots=True)
class Pair:
    """One problem of the world: a sum, and two answers to it."""

    number: int
    one: int
    other: int
    first: int
    second: int

    @property
    def question(self) -> str:
        """The text; all that the world needs to know is in it."""
        return (
            f"Pair {self.number}: how much is {self.one} + {self.other}?\n"
            f"A) {self.first}\nB) {self.second}\nWhich answer is right?"
        )

    @property
    def task(self) -> Task:
        """What a strategy is asked; the answer is not in it."""
        return Task.of(self.question, kind="choice", options=("A", "B"))

    @property
    def gold(self) -> str:
        """The letter of the right one, for grading."""
        return "A" if self.first == self.one + self.other else "B"

    @property
    def swapped(self) -> Pair:
        """The same with the answers in the other order."""
        return Pair(self.number, self.one, self.other, self.second, self.first)


def pairs(count: int, seed: int = 0) -> tuple[Pair, ...]:
    """Problems; the first of a longer list are those of a shorter one, every second has its answers swapped.

    >>> [pair.gold for pair in pairs(4)]
    ['A', 'B', 'A', 'B']

    Raises:
        InvalidInput: for a negative count.
    """
    if count < 0:
        raise InvalidInput(f"{count} problems were asked for")
    found: list[Pair] = []
    for number in range(count):
        one, other, off = (
            low + int(draw(f"{seed}|pair|{number}|{label}") * size)
            for label, low, size in (("one", 100, 900), ("other", 100, 900), ("off", 1, 20))
        )
        pair = Pair(number, one, other, one + other, one + other + off)
        found.append(pair.swapped if number % 2 else pair)
    return tuple(found)
