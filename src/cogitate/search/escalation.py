"""Spend more only where it is needed: strategies that give way to dearer ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from cogitate.core.candidates import Artifact, Candidate, Ranking, Score
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.flow import note, remaining, within
from cogitate.core.protocols import Strategy
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.core.usage import Budget

from .compose import MOST_SHOWN, told_of
from .rollout import ending, lose


class Doubt(Protocol):
    """Says in one sentence why a ranking will not do; empty where it will."""

    def __call__(self, ranking: Ranking[Artifact]) -> str: ...


@dataclass(frozen=True)
class Below:
    """Doubt where the best candidate's score is below this, or it has none.

    After a vote the score is the share of the votes, so this asks for agreement.

    >>> Below(0.6)(Ranking())
    'nothing was found'
    """

    value: float

    def __call__(self, ranking: Ranking[Artifact]) -> str:
        if not ranking.items:
            return "nothing was found"
        best = ranking.best
        if not isinstance(best.score, Score):
            return f"the best has no score ({best.score.reason})"
        if best.score.value < self.value:
            return f"the best score is {best.score.value:g}, below {self.value:g}"
        return ""


@dataclass(frozen=True)
class Unanswered:
    """Doubt only where no answer was found."""

    def __call__(self, ranking: Ranking[Artifact]) -> str:
        if not ranking.items or ranking.best.state.answer is None:
            return "no answer was found"
        return ""


@dataclass(frozen=True)
class Escalate:
    """Try strategies in turn, and go on to the next while the ranking is in doubt.

    Each level gets what is left of the grant, or at most its share of it. The first ranking without doubt
    ends it; after the last level the last ranking that found an answer stands. The candidates of the other levels follow
    after those of the one that stands, because scores of different strategies are not to be
    compared. Publishes `escalated` with the reason at each step up.

    >>> Escalate((), Below(0.6))
    Traceback (most recent call last):
        ...
    cogitate.core.errors.InvalidInput: an escalation over no levels was asked for; give at least one strategy

    Reference:
        @misc{wang2025videorts, title={Video-{RTS}: Rethinking Reinforcement Learning and Test-Time Scaling
          for Efficient and Enhanced Video Reasoning}, author={Wang, Ziyang and others}, year={2025},
          eprint={2507.06485}}
    """

    levels: tuple[Strategy, ...]
    doubt: Doubt = Below(0.6)
    shares: tuple[float, ...] = ()
    """What part of what is left each level may spend; 1 where nothing is said."""
    shown: bool = field(default=False, repr=False)
    """Whether the last level is read while it writes: then it stands wherever it found anything."""

    def __post_init__(self) -> None:
        if not self.levels:
            raise InvalidInput(
                "an escalation over no levels was asked for; give at least one strategy"
            )
        if len(self.shares) > len(self.levels) or not all(0 < s <= 1 for s in self.shares):
            raise InvalidInput(
                f"shares={self.shares} was asked for {len(self.levels)} levels; give at most one each, "
                "above 0 and up to 1"
            )

    async def __call__(self, task: Task, seed: Seed) -> Ranking[Artifact]:
        found: list[Ranking[Artifact]] = []
        reasons: list[str] = []
        for level, strategy in enumerate(self.levels):
            # One seed for all: with a reply cache a dearer level re-uses the samples of a cheaper one.
            ranking = await self._run(strategy, task, seed, level)
            found.append(_under(ranking, level))
            reason = self.doubt(ranking)
            if not reason:
                break
            reasons.append(reason)
            if level + 1 < len(self.levels):
                await note("escalated", level=level + 1, reason=reason)
        return await self._concluded(found, reasons)

    async def _run(
        self, strategy: Strategy, task: Task, seed: Seed, level: int
    ) -> Ranking[Artifact]:
        share = self.shares[level] if level < len(self.shares) else 1.0
        try:
            if share == 1:
                return await strategy(task, seed)
            grant = shared(await remaining(), share)
            return await within(f"level{level}", grant, strategy(task, seed))  # pyright: ignore[reportArgumentType]
        except (OutOfBudget, Failed) as error:
            lost = await lose(f"{level}/", error)
            return Ranking((), ending([lost.cause], empty=True), lost.reason)

    async def _concluded(
        self, found: Sequence[Ranking[Artifact]], reasons: Sequence[str]
    ) -> Ranking[Artifact]:
        standing = len(found) - 1
        read = self.shown and len(found) == len(self.levels) and bool(found[-1].items)
        if len(reasons) == len(found) and not read:  # all in doubt: the last that answered stands
            answered = [i for i, r in enumerate(found) if not Unanswered()(r)]
            standing = answered[-1] if answered else standing
        order = [found[standing], *(r for i, r in enumerate(found) if i != standing)]
        items = [c for ranking in order for c in ranking.items]
        await note("ranked", items=[told_of(c) for c in items[:MOST_SHOWN]])
        # A level that its share cut, or that died, gave way to the next: only the last one ended the search.
        last = found[-1].stopped
        causes = [last] if last != "decided" else []
        said = f"level {standing + 1} of {len(self.levels)} stands"
        if reasons:
            said += f" ({'; '.join(reasons)})"
        return Ranking(
            tuple(items), ending(causes, empty=not items), f"{said}: {found[standing].note}"
        )


@dataclass(frozen=True)
class Cascade:
    """A cheap strategy first, and a dear one where its answer is in doubt.

    >>> from cogitate.search import BestOf, Solve
    >>> cheap, dear = (Solve(process=None, scorer=None, search=BestOf(n)) for n in (1, 8))
    >>> Cascade(cheap, dear).when
    Below(value=0.6)
    """

    cheap: Strategy
    dear: Strategy
    when: Doubt = Below(0.6)
    share: float = 1.0
    """What part of the grant the cheap one may spend at most."""
    shown: bool = field(default=False, repr=False)
    """Whether the dear one is read while it writes: then it stands wherever it found anything."""

    def __post_init__(self) -> None:
        _ = self._levels()

    async def __call__(self, task: Task, seed: Seed) -> Ranking[Artifact]:
        return await self._levels()(task, seed)

    def _levels(self) -> Escalate:
        return Escalate((self.cheap, self.dear), self.when, (self.share,), self.shown)


def shared(left: Budget, share: float) -> Budget:
    """A part of what is left of every bounded unit.

    >>> shared(Budget(tokens_out=100, usd=1.0), 0.25)
    Budget(tokens_out=25, usd=0.25)
    """
    whole = ("tokens_in", "tokens_out", "calls")
    return Budget(
        **{  # pyright: ignore[reportArgumentType]
            unit: int(amount * share) if unit in whole else amount * share
            for unit, amount in left.bounds()
        }
    )


def _under(ranking: Ranking[Artifact], level: int) -> Ranking[Artifact]:
    """The same with the level before every id."""
    return ranking.with_items(under(c, level) for c in ranking.items)


def under(candidate: Candidate[Artifact], run: int) -> Candidate[Artifact]:
    """A candidate of one run among several: the run stands before its id, and its tree is its own."""
    return replace(candidate, id=f"{run}/{candidate.id}", parent=None)
