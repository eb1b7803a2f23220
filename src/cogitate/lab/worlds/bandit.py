"""The bandit world: arms with Bernoulli payoffs of known means, for rules that must not waste pulls.

A sample pulls one arm: the one that the last message names (`Pull arm 3.`), or any of them alike. Every pull has a
ticket of its own, so its payoff, which the verifier says, is drawn anew and yet belongs to the text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cogitate.core.errors import InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Generate, ScoreSteps
from cogitate.core.task import Task

from .chain import draw
from .serving import address_of, found_in

_QUESTION: Final = re.compile(r"Bandit (\d{1,9}) with (\d{1,3}) arms: which one pays most\?")
_WANTED: Final = re.compile(r"\bPull arm (\d{1,3})\b")
_PULLED: Final = re.compile(r"Ticket \d{1,20} for arm (\d{1,3})\.")


@dataclass(frozen=True)
class BanditWorld:
    """The parameters of a bandit world: one arm pays with chance `best`, the others `gap` less.

    >>> world = BanditWorld(arms=3, best=0.75, gap=0.25)
    >>> sorted(world.means(Bandit(1, 3)))
    [0.5, 0.5, 0.75]
    """

    arms: int = 5
    best: float = 0.7
    gap: float = 0.3
    seed: int = 0
    """Of the best arm's place and the payoffs."""

    def __post_init__(self) -> None:
        if not (1 <= self.arms <= 999 and 0 <= self.gap <= self.best <= 1):
            raise InvalidInput(
                f"arms={self.arms}, best={self.best} and gap={self.gap} were asked for; there are 1 to 999 "
                "arms, and 0 <= gap <= best <= 1"
            )

    @property
    def fingerprint(self) -> str:
        """What would change the answers: every parameter."""
        return f"sim:bandit({self!r})"

    def says(self, request: Generate) -> str:
        """One pull."""
        bandit = self._bandit(request)
        if _PULLED.search(request.prompt.prefill):
            return ""
        address = address_of(request)
        wanted = [int(arm) for arm in _WANTED.findall(_last(request.prompt))]
        arm = wanted[-1] if wanted else 1 + int(draw(f"{address}|arm") * bandit.arms)
        ticket = int(draw(f"{address}|ticket") * 10**15)
        return f"Ticket {ticket} for arm {arm}.\n\n#### {arm}"

    def scores(self, request: ScoreSteps) -> tuple[float, ...]:
        """The payoff of the pull, 0 or 1, at every step from it on; 0 before."""
        bandit = self._bandit(request)
        text, found = request.prompt.prefill, list[float]()
        for step in request.steps:
            text += step
            found.append(self._payoff(bandit, text))
        return tuple(found)

    def means(self, bandit: Bandit) -> tuple[float, ...]:
        """The true chances of the arms."""
        best = bandit.best_arm(self) - 1
        return tuple(
            self.best if arm == best else self.best - self.gap for arm in range(bandit.arms)
        )

    def regret(self, bandit: Bandit, pulls: Sequence[int]) -> float:
        """What was expected to be lost by pulling these arms, counted from 1."""
        best = bandit.best_arm(self)
        return self.gap * sum(arm != best for arm in pulls)

    def commits_rightly(self, each: int) -> float:
        """The chance that the arm that paid most in so many pulls of each is the best; ties are drawn alike.

        >>> round(BanditWorld(arms=4).commits_rightly(0), 6)
        0.25
        """
        others, worse = self.arms - 1, _binomial(self.best - self.gap, each)
        total, below = 0.0, 0.0
        for paid, weight in enumerate(_binomial(self.best, each)):
            for tied in range(others + 1):
                ways = math.comb(others, tied) * worse[paid] ** tied
                total += weight * ways * below ** (others - tied) / (tied + 1)
            below += worse[paid]
        return total

    def explore_then_commit(self, each: int, pulls: int) -> float:
        """The expected regret of so many pulls of each arm, and then of the one that paid most.

        >>> round(BanditWorld(arms=2, best=1.0, gap=1.0).explore_then_commit(1, 10), 6)
        1.0
        """
        rest = max(0, pulls - each * self.arms)
        return self.gap * (each * (self.arms - 1) + (1 - self.commits_rightly(each)) * rest)

    def _payoff(self, bandit: Bandit, text: str) -> float:
        pulled = _PULLED.search(text)
        if pulled is None or not 1 <= int(pulled[1]) <= bandit.arms:
            return 0.0
        luck = draw(f"{self.seed}|payoff|{bandit.question}|{pulled[0]}")
        return 1.0 if luck < self.means(bandit)[int(pulled[1]) - 1] else 0.0

    def _bandit(self, request: Generate | ScoreSteps) -> Bandit:
        found = found_in(request.prompt, _QUESTION, Bandit(1, 5).question)
        return Bandit(int(found[1]), max(1, int(found[2])))


@dataclass(frozen=True, slots=True)
class Bandit:
    """One problem of the world."""

    number: int
    arms: int

    @property
    def question(self) -> str:
        """The text; all that the world needs to know is in it."""
        return f"Bandit {self.number} with {self.arms} arms: which one pays most?"

    @property
    def task(self) -> Task:
        """What a strategy is asked; the answer is not in it."""
        return Task.of(self.question, kind="number")

    def best_arm(self, world: BanditWorld) -> int:
        """The number of the arm that pays most, from 1."""
        return 1 + int(draw(f"{world.seed}|best|{self.question}") * self.arms)

    def gold(self, world: BanditWorld) -> str:
        """The same, for grading."""
        return str(self.best_arm(world))


def bandits(world: BanditWorld, count: int, seed: int = 0) -> tuple[Bandit, ...]:
    """Problems of a world; the first of a longer list are those of a shorter one.

    >>> bandits(BanditWorld(), 1)[0].question
    'Bandit 0 with 5 arms: which one pays most?'

    Raises:
        InvalidInput: for a negative count, or a seed that is negative or above 999.
    """
    if count < 0 or not 0 <= seed < 1000:
        raise InvalidInput(
            f"{count} problems of seed {seed} were asked for; seeds lie between 0 and 999"
        )
    return tuple(Bandit(seed * 1_000_000 + number, world.arms) for number in range(count))


def _last(prompt: Prompt) -> str:
    return prompt.messages[-1].content if prompt.messages else prompt.text


def _binomial(chance: float, trials: int) -> list[float]:
    return [
        math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(trials + 1)
    ]
