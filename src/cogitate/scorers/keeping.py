"""A filter on candidates: only the best-scored share of them has a say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import InvalidInput
from cogitate.core.protocols import Scorer
from cogitate.core.task import Task
from cogitate.core.usage import Budget
from cogitate.rules.confidence import cut_off

from .votes import NO_ANSWER, logprobs_of, reserve_of


@dataclass(frozen=True)
class KeepTop:
    """The inner scorer's scores of the best share of candidates; the others abstain.

    Under `Weighted` it is the filtered, confidence-weighted vote:
    `Weighted(KeepTop(Confidence("lowest"), 0.1))`. The share is rounded up, at least one is kept, and what
    ties with the last one kept is kept too, so the outcome does not depend on the order of candidates. With
    `answered`, candidates without an answer abstain first and take no place. Scores, their steps and
    features are the inner scorer's.

    >>> KeepTop(None, share=0.1)
    KeepTop(scorer=None, share=0.1, answered=True)

    Reference:
        @article{fu2025deep, title={Deep Think with Confidence}, author={Fu, Yichao and Wang, Xuewei and
          Tian, Yuandong and Zhao, Jiawei}, journal={arXiv:2508.15260}, year={2025}}
    """

    scorer: Scorer[Artifact]
    share: float = 0.5
    """Above 0 and up to 1; the paper keeps 0.1 or 0.9."""
    answered: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InvalidInput(
                f"a share of {self.share} was asked for; it lies above 0 and up to 1"
            )

    @property
    def logprobs(self) -> int:
        """What the inner scorer reads."""
        return logprobs_of(self.scorer)

    def reserve(self, states: int) -> Budget | None:
        """What the inner scorer is likely to cost."""
        return reserve_of(self.scorer, states)

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        inner = await self.scorer(task, states)
        heard = [
            NO_ANSWER if self.answered and (a.answer is None or not a.complete) else score
            for a, score in zip(states, inner, strict=True)
        ]
        values = [s.value for s in heard if isinstance(s, Score) and not math.isnan(s.value)]
        if not values:
            return heard
        least = cut_off(values, self.share)
        below = Unscored(
            f"its score is below {least:g}, which the best {self.share:.0%} reach", "abstained"
        )
        return [below if isinstance(s, Score) and s.value < least else s for s in heard]
