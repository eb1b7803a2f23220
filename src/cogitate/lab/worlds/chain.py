"""The chain world: problems of several steps, solved by a policy whose every chance is known.

A problem is a chain of additions and subtractions, so an error shifts all later values by the same amount: the
*offset* of a solution is 0 while it is right. Each step of a right solution stays right with the chance
that skill and difficulty give; an error goes to the problem's own attractor, which many samples
share, or scatters. A later step repairs an error with a given chance. Where there are several ways of solving, the first step
names one, and the dead ones end at a wrong answer of their own however well their steps go.

So a solution is a Markov chain on {right, attractor, scattered} per way, and every expected number has a
closed form (`closed_forms`). All that is asked of the world can be answered from the text of the
question alone.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Final, Literal

from cogitate.core.errors import InvalidInput
from cogitate.core.task import Task

VerifierKind = Literal["oracle", "value", "noisy", "outcome"]

WAYS: Final = (
    "counting",
    "pairing",
    "tabling",
    "halving",
    "mirroring",
    "sorting",
    "weaving",
    "folding",
)
"""Names of the ways of solving, as the text gives them."""

QUESTION: Final = re.compile(
    r"Chain (\d{1,9}) of difficulty (-?\d{1,3}\.\d{2}): start with (\d{1,6})"
    r"((?:, then (?:add|take away) \d{1,4}){1,64})\. How much is it now\?"
)
_OPERATION: Final = re.compile(r"then (add|take away) (\d+)")
_NORMAL: Final = NormalDist()


@dataclass(frozen=True)
class ChainWorld:
    """The parameters of a chain world; presets are in `PRESETS`.

    >>> ChainWorld().step_chance(0.0) > ChainWorld().step_chance(2.0)
    True
    """

    name: str = "chain"
    reason: str = ""
    """What the preset is for."""
    steps: tuple[int, int] = (4, 4)
    """Fewest and most steps of a problem, drawn alike."""
    difficulty: tuple[float, float] = (0.0, 0.0)
    """Easiest and hardest, in log-odds, drawn uniformly."""
    skill: float = 2.0
    """Log-odds of a right step at difficulty 0."""
    repair: float = 0.0
    """Chance that a step after an error looks at it again; it then succeeds like any other step."""
    attractor: float = 0.5
    """Share of the errors that go to the problem's own wrong answer; the rest scatter."""
    scatter: int = 40
    """Scattered errors shift the value by up to this much, up or down."""
    ways: int = 1
    """Ways of solving, chosen alike at the first step; they are named where there are several."""
    dead: int = 0
    """How many of the ways cannot succeed."""
    verifier: VerifierKind = "noisy"
    """`oracle`: is the step right? `value`: the chance to end right from here. `noisy`: a score of a given AUC. `outcome`: as `noisy`, of whole solutions only."""
    auc: float = 0.85
    """Chance that a right step scores above a wrong one, 0 to 1; below 0.5 it misleads."""
    calibrated: bool = True
    """Whether a noisy score is the chance that the step is right, at even odds; else it is overconfident."""
    length_bias: float = 0.0
    """Added to the log-odds of a score for every 100 characters."""
    exploit: float = 0.0
    """Added to the log-odds of a score for a flourish in the text."""
    flourish: float = 0.0
    """Chance that a wrong step carries a flourish; right ones never do."""
    wordings: int = 12
    """Ways of wording a step that mean the same, up to 12. With 1, all right solutions are one text with one
    score, while every wrong one draws its own: selection then gets worse with samples, as no model's does."""
    padding: int = 0
    """Idle sentences in a step, at most; they change nothing but its length."""
    doubt: float = 0.0
    """Share of its certainty that the policy loses from its first error on; shows in log-probabilities."""
    revision: float = 0.0
    """Log-odds gained by seeing a wrong earlier attempt."""
    broken: float = 0.38
    """Chance that revising a right answer makes it wrong."""
    feedback: float = 0.0
    """Log-odds gained by feedback that names the first error rightly."""
    plan: float = 0.0
    """Log-odds gained by a line that begins with `Plan:` in the prompt."""
    examples: float = 0.0
    """Log-odds gained by each doubling of the lines that begin with `Example` in the prompt."""
    thinking: float = 0.0
    """Log-odds gained by thinking of the best length; none at twice that length, and lost beyond."""
    thinking_best: int = 200
    """That length, in words between `<think>` and `</think>`."""
    thinking_words: int = 0
    """Words of the policy's own thinking before it solves: half as many, so many or twice as many. At 0 it thinks only where
    a begun turn has an open `<think>`, about half the best length."""
    judge_auc: float = 0.85
    """Chance that a judge puts a right answer above a wrong one."""
    position_bias: float = 0.0
    """Added to the judge's impression of the answer that stands first."""
    critic_recall: float = 0.8
    """Chance that the critic names the first error of a wrong solution."""
    critic_precision: float = 0.8
    """Share of the errors it names that are the first error, at the policy's own rate of errors."""
    embedding_noise: float = 0.1
    """Deviation of each coordinate around the centre of the way of solving."""
    latency_s: float = 0.0
    """Median of heavy-tailed waits."""
    failures: float = 0.0
    """Share of the requests that fail, as a server does that is busy."""
    seed: int = 0
    """Of all that belongs to the problems and not to a request: attractors, verifier noise."""

    def __post_init__(self) -> None:
        low, high = self.steps
        shares = ("repair", "attractor", "auc", "flourish", "doubt", "broken", "judge_auc",
                  "critic_recall", "critic_precision", "failures")  # fmt: skip
        wrong = [name for name in shares if not 0 <= getattr(self, name) <= 1]
        if wrong:
            raise InvalidInput(
                f"{wrong[0]}={getattr(self, wrong[0])} was asked for; it lies between 0 and 1"
            )
        if not 1 <= low <= high <= 64:
            raise InvalidInput(f"steps={self.steps} was asked for; a chain has from 1 to 64 steps")
        if not 0 <= self.dead < self.ways <= len(WAYS):
            raise InvalidInput(
                f"ways={self.ways} and dead={self.dead} were asked for; there are 1 to {len(WAYS)} ways, "
                "and one of them must be alive"
            )
        if self.difficulty[0] > self.difficulty[1] or not 1 <= self.scatter <= 10_000:
            raise InvalidInput(
                f"difficulty={self.difficulty} and scatter={self.scatter} were asked for; difficulty goes "
                "from lower to higher, scatter from 1 to 10000"
            )
        if not 1 <= self.wordings <= 12:
            raise InvalidInput(f"wordings={self.wordings} was asked for; there are 1 to 12")
        if min(self.padding, self.latency_s, self.thinking_words) < 0 or self.thinking_best < 1:
            raise InvalidInput(
                f"padding={self.padding}, latency_s={self.latency_s}, thinking_words={self.thinking_words} and "
                f"thinking_best={self.thinking_best} were asked for; all are at least 0, the last at least 1"
            )

    def step_chance(self, difficulty: float, boost: float = 0.0) -> float:
        """The chance that one step of a right solution is right."""
        return 1 / (1 + math.exp(-(self.skill - difficulty + boost)))

    def thinking_gain(self, words: int) -> float:
        """What thinking of so many words is worth: a parabola, 0 at none and at twice the best length.

        >>> world = ChainWorld(thinking=1.0, thinking_best=100)
        >>> [world.thinking_gain(words) for words in (0, 50, 100, 200, 300)]
        [0.0, 0.75, 1.0, 0.0, -2.0]
        """
        share = words / self.thinking_best
        return self.thinking * max(share * (2 - share), -2.0) if self.thinking else 0.0

    @property
    def thoughts(self) -> tuple[int, ...]:
        """How many words the policy may think before it solves, each length as likely as the others."""
        middle = self.thinking_words
        return (max(1, middle // 2), middle, 2 * middle) if middle else (0,)

    @property
    def fingerprint(self) -> str:
        """What would change the answers: every parameter."""
        return f"sim:chain({self.name} {_digest(repr(self))[:12]})"


@dataclass(frozen=True, slots=True)
class Chain:
    """One problem of the world."""

    number: int
    difficulty: float
    start: int
    operations: tuple[tuple[str, int], ...]

    @property
    def question(self) -> str:
        """The text; all that the world needs to know is in it."""
        told = "".join(f", then {deed} {by}" for deed, by in self.operations)
        return (
            f"Chain {self.number} of difficulty {self.difficulty:.2f}: start with {self.start}{told}. "
            "How much is it now?"
        )

    @property
    def values(self) -> tuple[int, ...]:
        """The true value before the first step and after each."""
        found = [self.start]
        for deed, by in self.operations:
            found.append(found[-1] + (by if deed == "add" else -by))
        return tuple(found)

    @property
    def answer(self) -> int:
        """The true result."""
        return self.values[-1]

    @property
    def task(self) -> Task:
        """What a strategy is asked; the answer is not in it."""
        return Task.of(self.question, kind="number")

    @property
    def gold(self) -> str:
        """The reference, for grading."""
        return str(self.answer)

    def attractor(self, world: ChainWorld) -> int:
        """The shift of the wrong answer that many samples share."""
        size = 1 + int(draw(f"{world.seed}|attractor|{self.question}") * min(9, world.scatter))
        return size if draw(f"{world.seed}|side|{self.question}") < 0.5 else -size

    def dead_end(self, world: ChainWorld, way: int) -> int:
        """The shift of the answer at which a dead way of solving ends."""
        return (
            world.scatter
            + 1
            + 10 * way
            + int(draw(f"{world.seed}|dead|{way}|{self.question}") * 10)
        )


def read_chain(text: str) -> Chain | None:
    """The last problem of the world in a text, if there is one.

    >>> read_chain(chains(ChainWorld(), 1)[0].question) == chains(ChainWorld(), 1)[0]
    True
    """
    found = list(QUESTION.finditer(text))
    if not found:
        return None
    last = found[-1]
    return _chain(int(last[1]), float(last[2]), int(last[3]), last[4])


@lru_cache(maxsize=65_536)
def _chain(number: int, difficulty: float, start: int, told: str) -> Chain:
    operations = tuple((deed, int(by)) for deed, by in _OPERATION.findall(told))
    return Chain(number, difficulty, start, operations)


def chains(world: ChainWorld, count: int, seed: int = 0) -> tuple[Chain, ...]:
    """Problems of a world; the first of a longer list are those of a shorter one.

    Raises:
        InvalidInput: for a negative count.
    """
    if count < 0:
        raise InvalidInput(f"{count} problems were asked for")
    return tuple(nth_chain(world, number, seed) for number in range(count))


def nth_chain(world: ChainWorld, number: int, seed: int = 0) -> Chain:
    """One problem of a world by its number, so that a long list need not be held.

    >>> nth_chain(ChainWorld(), 2) == chains(ChainWorld(), 3)[2]
    True
    """

    def at(label: str) -> float:
        return draw(f"{seed}|{number}|{label}")

    (low, high), (easy, hard) = world.steps, world.difficulty
    length = low + int(at("steps") * (high - low + 1))
    deeds = tuple(
        ("add" if at(f"deed{i}") < 0.5 else "take away", 2 + int(at(f"by{i}") * 48))
        for i in range(length)
    )
    return Chain(
        number,
        round(easy + at("difficulty") * (hard - easy), 2),
        100 + int(at("start") * 900),
        deeds,
    )


def draw(address: str) -> float:
    """A uniform number from 0 up to 1 that belongs to an address.

    >>> draw("a") == draw("a") != draw("b")
    True
    """
    raw = hashlib.blake2b(address.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(raw, "big") / 18446744073709551616.0


def normal(address: str) -> float:
    """A standard normal number that belongs to an address."""
    return _NORMAL.inv_cdf(min(max(draw(address), 1e-15), 1 - 1e-15))


def apart(auc: float) -> float:
    """The distance of two unit normals at which one exceeds the other with chance `auc`.

    >>> round(apart(0.5), 6), round(apart(0.76), 2)
    (0.0, 1.0)
    """
    return math.sqrt(2) * _NORMAL.inv_cdf(min(max(auc, 1e-9), 1 - 1e-9))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
