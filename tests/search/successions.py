"""A process of bits whose whole answers can be revised and mutated, with a planted optimum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cogitate.core.candidates import Artifact, Critique, Score, Unscored
from cogitate.core.requests import Call
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.testing import Scripted

TASK = Task.of("Which bits?", kind="text")


@dataclass(frozen=True)
class Bits:
    bits: tuple[int, ...]
    told: str = ""
    past: int = 0


@dataclass(frozen=True)
class OneMax:
    """Bits are drawn at random; a child takes each from one of its parents and flips a few."""

    length: int = 8
    flip: float = 0.15

    async def start(self, task: Task, seed: Seed) -> Bits:
        return Bits(())

    async def step(self, state: Bits, seed: Seed) -> Bits:
        if state.bits:
            return state
        await Call("made", ("start",))
        draw = seed.rng()
        return Bits(tuple(draw.randint(0, 1) for _ in range(self.length)))

    def done(self, state: Bits) -> bool:
        return bool(state.bits)

    async def render(self, state: Bits) -> Artifact:
        text = "".join(map(str, state.bits))
        return Artifact(text, text or None, complete=bool(text))

    async def revise(self, state: Bits, critique: Critique, seed: Seed) -> Bits:
        await Call("made", ("revise", critique.text))
        wrong = critique.first_error
        if wrong is None:
            wrong = seed.rng().randrange(self.length)
        bits = tuple(1 - b if i == wrong else b for i, b in enumerate(state.bits))
        return Bits(bits, critique.text, state.past + 1)

    def remembering(self, state: Bits, attempts: int) -> Bits:
        return Bits(state.bits, state.told, min(state.past, attempts - 1))

    async def mutate(self, parents: Sequence[Bits], seed: Seed) -> Bits:
        await Call("made", ("mutate", len(parents)))
        draw = seed.rng()
        bits = (draw.choice(parents).bits[i] for i in range(self.length))
        return Bits(tuple(1 - b if draw.random() < self.flip else b for b in bits))


@dataclass(frozen=True)
class Counting:
    """A known value for each text; counts how often each is asked about, and may blame the first 0."""

    value: Callable[[str], float] = lambda text: float(text.count("1"))
    separable: bool = True
    critic: bool = False
    asked: Counter[str] = field(default_factory=Counter, compare=False, hash=False)
    batches: list[int] = field(default_factory=list, compare=False, hash=False)

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> list[Score | Unscored]:
        self.asked.update(state.text for state in states)
        self.batches.append(len(states))
        found: list[Score | Unscored] = []
        for state in states:
            at = state.text.find("0")
            critique = Critique(f"bit {at} is 0", at) if self.critic and at >= 0 else None
            found.append(Score(self.value(state.text), critique=critique))
        return found


def engine(serve: Callable[[Call], object] = lambda request: None) -> Scripted:
    return Scripted({"Call": serve})  # type: ignore[dict-item]
