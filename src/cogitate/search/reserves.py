"""The verifier's money: how much to set aside before anything is generated, and how it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol, runtime_checkable

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.flow import set_aside
from cogitate.core.protocols import Costly, CountsVotes, Scorer, Separable
from cogitate.core.task import Task
from cogitate.core.usage import Budget
from cogitate.core.views import SeenAs

from .rollout import judged

SHARES: Final = MappingProxyType({"calls": 0.5})
"""The verifier gets at most this share of what is left of a unit."""
SHARE: Final = 0.25
"""The same for the other units: verdicts are shorter than answers, and what is set aside buys no answers."""


@runtime_checkable
class Planned(Protocol):
    """A search that can say how many states it will have scored at most."""

    def states(self) -> int: ...


def verifier_grant(left: Budget, estimate: Budget) -> Budget | None:
    """What to set aside: the estimate, but at most a share of what is left of each bounded unit.

    Units that the estimate does not name, such as money, and unbounded ones need no reservation here.

    >>> verifier_grant(Budget(tokens_out=1000), Budget(tokens_out=800, calls=4))
    Budget(tokens_out=250)
    """
    wanted = dict(estimate.bounds())
    amounts = {
        unit: min(wanted[unit], amount * SHARES.get(unit, SHARE))
        for unit, amount in left.bounds()
        if unit in wanted
    }
    whole = {unit: int(amount) for unit, amount in amounts.items() if int(amount) >= 1}
    return Budget(**whole) if whole else None


def estimate_of(scorer: Scorer[Artifact], search: Any) -> Budget | None:
    """What a scorer is likely to cost in this search; `None` where one of them does not say."""
    if not isinstance(scorer, Costly) or not isinstance(search, Planned):
        return None
    return scorer.reserve(search.states())


@dataclass(frozen=True)
class OnAccount:
    """A scorer that is paid from money set aside for it, and from the rest where that is spent."""

    account: set_aside
    scorer: Scorer[Artifact]

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        found = await self.account.run(judged(self.scorer, task, states))
        refused = [
            i for i, s in enumerate(found) if isinstance(s, Unscored) and s.cause == "budget"
        ]
        alone = isinstance(self.scorer, Separable) and self.scorer.separable
        if not refused or not (alone or len(refused) == len(found)):
            return found
        again = await judged(self.scorer, task, [states[i] for i in refused])
        for i, score in zip(refused, again, strict=True):
            found[i] = score
        return found


def counts_votes(scorer: Any) -> bool:
    """Whether a scorer, lifted or paid for as it may be, counts votes at no cost."""
    while isinstance(scorer, SeenAs | OnAccount):
        scorer = scorer.scorer  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return isinstance(scorer, CountsVotes) and scorer.counts_votes
