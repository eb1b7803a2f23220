"""How sure a model was of its own words, from the log-probabilities of its tokens; costs nothing more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import InvalidInput
from cogitate.core.requests import TokenInfo
from cogitate.core.task import Task

_NEEDS_TOP = Unscored(
    "its tokens carry no alternatives; ask the process for logprobs of at least 2", "form"
)
_NEEDS_LOGPROBS = Unscored(
    "its tokens carry no log-probabilities; ask the process for logprobs", "form"
)


@dataclass(frozen=True)
class SelfCertainty:
    """How far the model's next-token distributions lie from uniform.

    Self-certainty is the mean over positions of KL(U || p) = -(1/V) sum_j log(V p_j), over a
    vocabulary of V. Engines show the k likeliest tokens only, so here p is the distribution over those,
    brought to sum one, and V = k: `Score.value` = mean over positions of -(1/k) sum_j log(k q_j), with
    q_j = p_j / sum p. It is at least 0, and 0 where the k tokens are equally likely. Longer texts
    are not favoured. Compare values of one k and one model only. Positions with fewer than two
    alternatives are left out. Features: `positions` (how many counted).

    >>> SelfCertainty(top=5)
    SelfCertainty(top=5)

    Reference:
        @article{kang2025scalable, title={Scalable Best-of-N Selection for Large Language Models via
          Self-Certainty}, author={Kang, Zhewei and Zhao, Xuandong and Song, Dawn},
          journal={arXiv:2502.18581}, year={2025}}
    Deviates: the k likeliest tokens stand for the vocabulary; the paper's Borda vote is `Weighted`
    with `normalise="rank"`.
    """

    top: int = 5
    """Alternatives that count at each position, at most."""
    separable: ClassVar[bool] = True
    """Each candidate is judged by itself."""

    def __post_init__(self) -> None:
        if self.top < 2:
            raise InvalidInput(
                f"top={self.top} was asked for; a distribution needs at least 2 alternatives"
            )

    @property
    def logprobs(self) -> int:
        """It reads the likeliest tokens."""
        return self.top

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        return [self._one(artifact) for artifact in states]

    def _one(self, artifact: Artifact) -> Score | Unscored:
        positions = [
            value
            for piece in artifact.completions
            for tokens in piece.top
            if (value := _divergence(tokens, self.top)) is not None
        ]
        if not positions:
            return _NEEDS_TOP
        return Score(
            math.fsum(positions) / len(positions), features={"positions": (float(len(positions)),)}
        )


def _divergence(tokens: Sequence[TokenInfo], top: int) -> float | None:
    """KL(uniform || q) over the likeliest tokens; `None` for fewer than two of finite log-probability."""
    logs = sorted((t.logprob for t in tokens if math.isfinite(t.logprob)), reverse=True)[:top]
    if len(logs) < 2:
        return None
    total = logs[0] + math.log(math.fsum(math.exp(x - logs[0]) for x in logs))
    return max(0.0, total - math.fsum(logs) / len(logs) - math.log(len(logs)))


@dataclass(frozen=True)
class MeanLogprob:
    """The mean log-probability of the generated tokens: minus the log of the perplexity.

    `Score.value` is at most 0; 0 where every token was certain. A candidate of which any generated piece
    lacks log-probabilities is `Unscored`. Features: `tokens` (how many counted).

    >>> from cogitate.core.requests import Completion
    >>> flow = MeanLogprob()(Task.of("?"), [Artifact("ab", completions=(Completion("ab", logprobs=(-1.0, -2.0)),))])
    >>> try:
    ...     flow.send(None)
    ... except StopIteration as done:
    ...     done.value[0].value
    -1.5
    """

    separable: ClassVar[bool] = True
    """Each candidate is judged by itself."""

    @property
    def logprobs(self) -> int:
        """It reads those of the chosen tokens."""
        return 0

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        return [self.of(artifact) for artifact in states]

    def of(self, artifact: Artifact) -> Score | Unscored:
        """The score of one candidate; nothing is asked."""
        pieces = [piece for piece in artifact.completions if piece.text or piece.logprobs]
        logs = [log for piece in pieces for log in piece.logprobs]
        if not logs or not all(piece.logprobs for piece in pieces):
            return _NEEDS_LOGPROBS
        if not all(map(math.isfinite, logs)):
            return Unscored(
                "a token of it has a log-probability that is not a finite number", "form"
            )
        return Score(math.fsum(logs) / len(logs), features={"tokens": (float(len(logs)),)})
