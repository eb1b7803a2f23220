"""A tree of words that can be counted out: the k-th child of a word adds the k-th letter."""

from __future__ import annotations

import string
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from search_toys import TASK, Word

from cogitate.core.candidates import Artifact, Critique, Score, Unscored
from cogitate.core.events import Noted
from cogitate.core.requests import Call
from cogitate.core.seeds import Seed
from cogitate.drive import run
from cogitate.testing import Scripted

ALPHABET = string.ascii_letters


@dataclass(frozen=True)
class Counted:
    """Adds a letter a step, or revises a whole word by adding one."""

    length: int = 3

    async def start(self, task, seed: Seed) -> Word:
        return Word()

    async def step(self, state: Word, seed: Seed) -> Word:
        word = state.letters + await Call("letter", (state.letters,))
        return Word(word, len(word) >= self.length)

    async def revise(self, state: Word, critique: Critique, seed: Seed) -> Word:
        return Word(state.letters + await Call("letter", (state.letters, critique.text)), True)

    def done(self, state: Word) -> bool:
        return state.ended

    async def render(self, state: Word) -> Artifact:
        answer = state.letters if state.ended else None
        return Artifact(state.letters, answer, complete=state.ended, steps=tuple(state.letters))


@dataclass(frozen=True)
class ByWord:
    """A known score of each word; a word in `blind` has none."""

    value: Callable[[str], float]
    blind: Callable[[str], bool] = field(default=lambda word: False)
    critique: Critique | None = None

    async def __call__(self, task, states):
        return [
            Unscored("it is blind", "form")
            if self.blind(s.letters)
            else Score(self.value(s.letters), critique=self.critique)
            for s in states
        ]


def letters() -> Scripted:
    """A fresh engine that gives the children of every word their letters in turn."""
    given: Counter[str] = Counter()

    def letter(request: Call) -> str:
        word = str(request.args[0])
        given[word] += 1
        return ALPHABET[(given[word] - 1) % len(ALPHABET)]

    return Scripted({"code": letter})


def hashed(salt: int, steps: int = 1024, low: float = 0.0) -> Callable[[str], float]:
    """A score for each word that floats add without rounding."""
    return lambda word: low + (zlib.crc32(f"{salt}{word}".encode()) % steps) / steps


@dataclass
class Told:
    """One run: its ranking, and what its notes say of the tree by word."""

    ranking: object
    words: dict[str, str]
    """The word of each id."""
    visits: dict[str, int]
    values: dict[str, float]
    made: list[str]
    """Words in the order in which they were made."""
    scored: list[str]
    """Ids in the order in which they were scored."""


def word_of(id: str) -> str:
    return "".join(ALPHABET[int(part)] for part in id.split(".") if part != "end")


def told(search, scorer, length=3, *, serve=None, seed=0, listen=None, finish=False) -> Told:
    notes: list[Noted] = []

    def hear(event):
        if listen is not None:
            listen(event)
        if isinstance(event, Noted):
            notes.append(event)

    flow = replace(search, finish=finish)(Counted(length), scorer, TASK, Seed(seed))
    ranking = run(flow, serve or letters(), listen=hear).value
    ids = [str(n.data["id"]) for n in notes if n.kind == "expanded"]
    [tree] = [n.data for n in notes if n.kind == "tree"]
    words = {id: word_of(id) for id in ids}
    return Told(
        ranking,
        words,
        {word_of(i): v for i, v in zip(tree["ids"], tree["visits"], strict=True)},
        {word_of(i): v for i, v in zip(tree["ids"], tree["values"], strict=True)},
        list(words.values()),
        [id for n in notes if n.kind == "scored" for id in n.data["ids"]],
    )
