"""The riddle world: problems of a few hidden kinds, for memories that must find what is solved in the same way.

A kind has one right sequence of deeds. A riddle names its kind by one of several made-up words, so that riddles of one
kind need not share a word; asked what kind of problem it is, the policy says so in words that all riddles of the kind
share. It always knows which part of the work a step is, and knows the deed with a chance that rises where a step of
the same part with the right deed is shown to it, or a solved riddle of the same kind, and falls where a wrong one is.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from cogitate.core.errors import InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Generate, ScoreSteps
from cogitate.core.task import Task
from cogitate.engines.retrieval import Corpus, Entry

from .chain import apart, draw, normal
from .serving import address_of, found_in

DEEDS: Final = ("bend", "fold", "lift", "press", "stir", "turn")
_SYLLABLES: Final = ("ba", "do", "fe", "gi", "lu", "mi", "no", "pa", "re", "so", "tu", "va")
_QUESTION: Final = re.compile(
    r"Riddle (\d{1,9}) about a ([a-z]{6,8}): which deeds solve it, as a number\?"
)
_STEP: Final = re.compile(r"Step (\d{1,2}), the ([a-z]{6,8}): ([a-z]{4,5}) it\.")
_HINT: Final = re.compile(r"(?m)^Similar step: Step (\d{1,2}), the ([a-z]{6,8}): ([a-z]{4,5}) it\.")


@dataclass(frozen=True)
class RiddleWorld:
    """The parameters of a riddle world.

    >>> world = RiddleWorld(kinds=2, steps=3)
    >>> len(world.deeds(0)), world.kind_of(world.names(1)[0])
    (3, 1)
    """

    kinds: int = 6
    names_each: int = 8
    """Made-up words by which riddles of one kind are asked."""
    steps: int = 5
    known: float = 0.6
    """Chance to know a deed, with nothing shown."""
    hint: float = 2.5
    """Log-odds gained by a like step with the right deed."""
    distract: float = 1.5
    """Log-odds lost by a shown step with another deed."""
    example: float = 0.8
    """Log-odds gained by solved riddles of the same kind, however many."""
    mislead: float = 0.8
    """Log-odds lost by solved riddles where all are of other kinds."""
    auc: float = 0.85
    """Chance that the verifier puts a right step above a wrong one."""
    noise: float = 0.1
    """Deviation of each coordinate of a description's embedding."""
    seed: int = 0
    """Of kinds and names."""

    def __post_init__(self) -> None:
        if not (1 <= self.kinds <= 64 and 1 <= self.names_each <= 64 and 1 <= self.steps <= 12):
            raise InvalidInput(
                f"kinds={self.kinds}, names_each={self.names_each} and steps={self.steps} were asked for; there "
                "are 1 to 64 kinds and names, and 1 to 12 steps"
            )
        if not (0 < self.known < 1 and 0 <= self.auc <= 1 and self.noise >= 0):
            raise InvalidInput(
                f"known={self.known}, auc={self.auc} and noise={self.noise} were asked for; known lies between 0 "
                "and 1, auc from 0 to 1, noise is at least 0"
            )

    @property
    def fingerprint(self) -> str:
        """What would change the answers: every parameter."""
        return f"sim:riddle({self!r})"

    def deeds(self, kind: int) -> tuple[str, ...]:
        """The right deeds of a kind, in order."""
        return tuple(
            DEEDS[int(draw(f"{self.seed}|deed|{kind}|{at}") * len(DEEDS))]
            for at in range(self.steps)
        )

    def names(self, kind: int) -> tuple[str, ...]:
        """The words by which riddles of this kind are asked."""
        return _words(self.seed, "name", self.kinds, self.names_each)[kind]

    def part(self, kind: int, at: int) -> str:
        """The word for the part of the work that a step of this kind is, from 0."""
        return _words(self.seed, "part", self.kinds, self.steps)[kind][at]

    def title(self, kind: int) -> str:
        """What all riddles of a kind share: a word that no riddle holds."""
        return _words(self.seed, "title", self.kinds, 1)[kind][0]

    def kind_of(self, name: str) -> int:
        """The kind of a name; of an unknown one the first."""
        return _owners(self.seed, self.kinds, self.names_each).get(name, 0)

    def says(self, request: Generate) -> str:
        """The rest of a solution; of a `sketcher`, what kind of riddle it is."""
        found = found_in(request.prompt, _QUESTION, Riddle(1, self.names(0)[0]).question)
        kind = self.kind_of(found[2])
        if request.role == "sketcher":
            return (
                f"A riddle of the {self.title(kind)} sort, solved by {self.steps} deeds in order."
            )
        done = _STEP.findall(request.prompt.prefill)
        gain = self._gain(request.prompt, kind, len(done), found)
        lines = [deed for _, _, deed in done]
        said: list[str] = []
        chance = 1 / (1 + math.exp(-(_logit(self.known) + gain)))
        address = address_of(request)
        for at in range(len(done), self.steps):
            right = self.deeds(kind)[at]
            deed = right
            if draw(f"{address}|knows|{at}") >= chance:
                others = [d for d in DEEDS if d != right]
                deed = others[int(draw(f"{address}|else|{at}") * len(others))]
            lines.append(deed)
            said.append(f"Step {at + 1}, the {self.part(kind, at)}: {deed} it.\n\n")
        if "####" in request.prompt.prefill:
            return ""
        return "".join(said) + f"#### {_number(lines)}"

    def scores(self, request: ScoreSteps) -> tuple[float, ...]:
        """One score a step, from 0 to 1: whether all deeds so far are right, seen through noise."""
        found = found_in(request.prompt, _QUESTION, Riddle(1, self.names(0)[0]).question)
        right = self.deeds(self.kind_of(found[2]))
        text, scores = request.prompt.prefill, list[float]()
        for step in request.steps:
            text += step
            done = [deed for _, _, deed in _STEP.findall(text)]
            good = tuple(done) == right[: len(done)]
            scores.append(self._seen(good, f"{found[0]}|{text}"))
        return tuple(scores)

    def vector(self, text: str) -> tuple[float, ...]:
        """The place of the kind whose title a text names, moved by noise; one place more is that of all others."""
        named = [self.title(kind) in text for kind in range(self.kinds)]
        return tuple(
            float(here) + self.noise * normal(f"embed|{self.seed}|{place}|{text}")
            for place, here in enumerate([*named, not any(named)])
        )

    def chance(self, gain: float = 0.0) -> float:
        """The chance that one sample is right, with what is shown worth so much at every step.

        >>> round(RiddleWorld(steps=2, known=0.6).chance(), 6)
        0.36
        """
        return (1 / (1 + math.exp(-(_logit(self.known) + gain)))) ** self.steps

    def _gain(self, prompt: Prompt, kind: int, at: int, asked: re.Match[str]) -> float:
        """What is shown to it is worth, in log-odds of the next deed."""
        gain = 0.0
        texts = [message.content for message in prompt.messages] or [prompt.text]
        solved = {
            self.kind_of(name)
            for text in texts
            for _, name in _QUESTION.findall(text)
            if name != asked[2]
        }
        if solved:
            gain += self.example if kind in solved else -self.mislead
        hints = [hint for text in texts for hint in _HINT.findall(text)]
        if hints and at < self.steps:
            right = self.deeds(kind)[at]
            good = any(deed == right and part == self.part(kind, at) for _, part, deed in hints)
            gain += self.hint if good else -self.distract
        return gain

    def _seen(self, good: bool, text: str) -> float:
        distance = apart(self.auc)
        seen = normal(f"verifier|{self.seed}|{text}") + (distance / 2 if good else -distance / 2)
        return 1 / (1 + math.exp(-distance * seen))


RIDDLES: Final[Mapping[str, RiddleWorld]] = MappingProxyType(
    {
        "riddles": RiddleWorld(),
        "riddles_untaught": RiddleWorld(hint=0.0, distract=0.0, example=0.0, mislead=0.0),
        "riddles_blind": RiddleWorld(auc=0.5),
        "riddles_judged": RiddleWorld(auc=0.99),
    }
)
"""Presets, laid down before any claim uses them: what is shown helps and misleads; nothing that is shown matters, where
every claim about memory must fail; the verifier sees nothing; the verifier sees nearly everything."""


@dataclass(frozen=True, slots=True)
class Riddle:
    """One problem of the world."""

    number: int
    name: str

    @property
    def question(self) -> str:
        """The text; all that the world needs to know is in it."""
        return f"Riddle {self.number} about a {self.name}: which deeds solve it, as a number?"

    @property
    def task(self) -> Task:
        """What a strategy is asked; the answer is not in it."""
        return Task.of(self.question, kind="number")

    def gold(self, world: RiddleWorld) -> str:
        """The reference, for grading."""
        return str(_number(world.deeds(world.kind_of(self.name))))

    def solution(self, world: RiddleWorld) -> tuple[str, ...]:
        """The right steps."""
        kind = world.kind_of(self.name)
        return tuple(
            f"Step {at + 1}, the {world.part(kind, at)}: {deed} it."
            for at, deed in enumerate(world.deeds(kind))
        )


def riddles(world: RiddleWorld, count: int, seed: int = 0) -> tuple[Riddle, ...]:
    """Problems of a world, asked by the first half of each kind's names; the others are for corpora.

    The first of a longer list are those of a shorter one.
    """
    return tuple(_drawn(world, seed, number, corpus=False) for number in range(count))


def remembered(
    world: RiddleWorld, count: int, seed: int = 0, *, foreign: bool = False
) -> Mapping[str, Corpus]:
    """Solved riddles as the corpora `problems` and `steps`, asked by other names than those of `riddles`.

    Args:
        world: whose kinds they are of.
        count: solved riddles.
        seed: of which.
        foreign: of another world's kinds, which share nothing with this one's.
    """
    source = world if not foreign else _foreign(world)
    problems: list[Entry] = []
    steps: list[Entry] = []
    for number in range(count):
        riddle = _drawn(source, seed + 1_000, number, corpus=True)
        solution = riddle.solution(source)
        kind = source.kind_of(riddle.name)
        told = (
            f"A riddle of the {source.title(kind)} sort, solved by {source.steps} deeds in order."
        )
        worked = f"{riddle.question}\n" + "\n".join(solution)
        problems.append(Entry(f"p{number}", worked, told, riddle.question))
        for at, step in enumerate(solution):
            before = f"{told} After: {solution[at - 1]}" if at else told
            steps.append(Entry(f"p{number}s{at}", step, before))
    return {"problems": Corpus(tuple(problems)), "steps": Corpus(tuple(steps))}


def _foreign(world: RiddleWorld) -> RiddleWorld:
    return replace(world, seed=world.seed + 10_007)


def _drawn(world: RiddleWorld, seed: int, number: int, *, corpus: bool) -> Riddle:
    kind = int(draw(f"riddle|{seed}|{number}|kind") * world.kinds)
    names = world.names(kind)
    half = max(1, len(names) // 2)
    mine = (names[half:] or names) if corpus else names[:half]
    name = mine[int(draw(f"riddle|{seed}|{number}|name") * len(mine))]
    return Riddle(seed * 1_000 + number, name)


@functools.cache
def _words(seed: int, label: str, kinds: int, each: int) -> tuple[tuple[str, ...], ...]:
    """Made-up words, all different."""
    used: set[str] = set()
    found: list[tuple[str, ...]] = []
    for kind in range(kinds):
        mine: list[str] = []
        attempt = 0
        while len(mine) < each:
            address = f"{seed}|{label}|{kind}|{len(mine)}|{attempt}"
            word = "".join(
                _SYLLABLES[int(draw(f"{address}|{i}") * len(_SYLLABLES))] for i in range(4)
            )
            attempt += 1
            if word not in used:
                used.add(word)
                mine.append(word)
        found.append(tuple(mine))
    return tuple(found)


@functools.cache
def _owners(seed: int, kinds: int, each: int) -> Mapping[str, int]:
    found = _words(seed, "name", kinds, each)
    return {name: kind for kind, names in enumerate(found) for name in names}


def _number(deeds: tuple[str, ...] | list[str]) -> int:
    return int("".join(str(DEEDS.index(deed) + 1) if deed in DEEDS else "9" for deed in deeds) or 0)


def _logit(chance: float) -> float:
    return math.log(chance / (1 - chance))
