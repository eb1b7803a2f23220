"""A process that writes one letter a step, and scorers of its words, for tests of searches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Call, Generate
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.testing import Scripted

TASK = Task.of("Which word?", kind="text")
LETTERS = "abcd"


@dataclass(frozen=True)
class Word:
    letters: str = ""
    ended: bool = False


@dataclass(frozen=True)
class Letters:
    """One letter a step; the word is its own answer."""

    length: int = 3

    async def start(self, task: Task, seed: Seed) -> Word:
        return Word(ended=self.length == 0)

    async def step(self, state: Word, seed: Seed) -> Word:
        reply = await Generate(
            Prompt.raw(f"so far: {state.letters}"), seed=seed.int(), max_tokens=4
        )
        word = state.letters + reply.text
        return Word(word, len(word) >= self.length)

    def done(self, state: Word) -> bool:
        return state.ended

    async def render(self, state: Word) -> Artifact:
        answer = state.letters if state.ended else None
        return Artifact(state.letters, answer, complete=state.ended, steps=tuple(state.letters))


def letter(request: Generate) -> str:
    """What the scripted model writes: a pure function of the request."""
    return LETTERS[int(hashlib.blake2b(request.key().encode()).hexdigest(), 16) % 4]


def engine(write: Callable[[Generate], object] = letter, **scripts: object) -> Scripted:
    return Scripted({"policy": write, **scripts})  # type: ignore[dict-item]


@dataclass(frozen=True)
class ByTable:
    """A known score for each text."""

    value: Callable[[str], float]

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        return [Score(self.value(state.text)) for state in states]


@dataclass(frozen=True)
class Asked:
    """A scorer that asks once for each candidate, and says so."""

    separable: bool = True

    def reserve(self, states: int):
        from cogitate.core.usage import Budget

        return Budget(calls=states)

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        from cogitate.core.errors import Failed, OutOfBudget
        from cogitate.core.flow import gather

        async def one(state: Artifact) -> Score | Unscored:
            try:
                return Score(float(await Call("score", (state.text,), role="verifier")))
            except (Failed, OutOfBudget) as error:
                return Unscored.because(error)

        return await gather(*(one(state) for state in states))


def match(word: str) -> Callable[[str], float]:
    """Letters that agree with a planted word."""
    return lambda text: float(sum(a == b for a, b in zip(text, word, strict=False)))
