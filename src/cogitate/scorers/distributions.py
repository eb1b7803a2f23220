"""How sure a model was, from its likeliest tokens at each place: confidence of groups, entropy, perplexity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import InvalidInput
from cogitate.core.task import Task
from cogitate.rules.confidence import (
    REDUCTIONS,
    Reduction,
    entropy,
    least_entropy,
    text_confidence,
    token_confidence,
)

from .confidence import MeanLogprob

_NEEDS_PLACES = Unscored(
    "some of its tokens carry no likeliest tokens; ask the process for logprobs of at least 1",
    "form",
)
_NEEDS_TWO = Unscored(
    "its tokens carry no alternatives; ask the process for logprobs of at least 2", "form"
)


def places_of(artifact: Artifact) -> list[list[float]] | None:
    """The log-probabilities of the likeliest tokens at each place; `None` where some piece carries none."""
    pieces = [piece for piece in artifact.completions if piece.text or piece.top]
    if not pieces or not all(piece.top for piece in pieces):
        return None
    return [[info.logprob for info in place] for piece in pieces for place in piece.top]


@dataclass(frozen=True)
class Confidence:
    """How much one token stands out at each place, in the least sure part of the text.

    A token's confidence is minus the mean log-probability of the `top` likeliest tokens at its place, and
    a group's the mean over `window` neighbours. `Score.value` is that of the `lowest` group, the mean over
    the `share` of groups that are least sure (`bottom`), over the last `window` tokens (`tail`), or over
    all tokens (`mean`); never below 0. A text shorter than a window is one group. Compare values of one
    model and one `top` only. A candidate of which any generated piece lacks likeliest tokens is
    `Unscored`. Features: `tokens` (how many counted).

    >>> from cogitate.core.requests import Completion, TokenInfo
    >>> top = tuple((TokenInfo("a", -sure),) for sure in (4.0, 2.0, 1.0, 5.0))
    >>> scorer = Confidence("lowest", window=2, top=1)
    >>> scorer._one(Artifact("abcd", completions=(Completion("abcd", top=top),))).value
    1.5

    Reference:
        @article{fu2025deep, title={Deep Think with Confidence}, author={Fu, Yichao and Wang, Xuewei and
          Tian, Yuandong and Zhao, Jiawei}, journal={arXiv:2508.15260}, year={2025}}
    Deviates: windows of 64 tokens by default, as our texts are short; the paper's are 2,048 long.
    """

    reduction: Reduction = "lowest"
    window: int = 64
    """Tokens of a group."""
    top: int = 5
    """Likeliest tokens that count at each place, at most."""
    share: float = 0.1
    """Of the groups, for `bottom`."""
    separable: ClassVar[bool] = True
    """Each candidate is judged by itself."""

    def __post_init__(self) -> None:
        if self.reduction not in REDUCTIONS:
            raise InvalidInput(
                f"the reduction {self.reduction!r} was asked for; there are {', '.join(REDUCTIONS)}"
            )
        if self.window < 1 or self.top < 1 or not 0 < self.share <= 1:
            raise InvalidInput(
                f"window={self.window}, top={self.top} and share={self.share} were asked for; a window and "
                "top are at least 1, a share lies above 0 and up to 1"
            )

    @property
    def logprobs(self) -> int:
        """It reads the likeliest tokens."""
        return self.top

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        return [self._one(artifact) for artifact in states]

    def _one(self, artifact: Artifact) -> Score | Unscored:
        places = places_of(artifact) or []
        values = [v for place in places if (v := token_confidence(place, self.top)) is not None]
        value = text_confidence(values, self.reduction, window=self.window, share=self.share)
        if value is None:
            return _NEEDS_PLACES
        return Score(value, features={"tokens": (float(len(values)),)})


@dataclass(frozen=True)
class Entropy:
    """How undecided the model was between its likeliest tokens, with the sign turned: 0 is best.

    `Score.value` is minus the entropy of the `top` likeliest tokens, brought to sum one, in nats: its mean
    over the places, the `highest` or the `lowest` of any place. `order` is Shannon's entropy, or the
    min-entropy -log p of the likeliest one. Places with fewer than two alternatives are left out; a
    candidate of which any generated piece lacks them is `Unscored`. Features: `positions` (how many counted).

    >>> from cogitate.core.requests import Completion, TokenInfo
    >>> place = (TokenInfo("a", -1.0), TokenInfo("b", -1.0))
    >>> score = Entropy(top=2)._one(Artifact("a", completions=(Completion("a", top=(place,)),)))
    >>> score.value == -math.log(2)
    True
    """

    top: int = 5
    over: Literal["mean", "highest", "lowest"] = "mean"
    order: Literal["shannon", "min"] = "shannon"
    separable: ClassVar[bool] = True
    """Each candidate is judged by itself."""

    def __post_init__(self) -> None:
        if self.top < 2:
            raise InvalidInput(
                f"top={self.top} was asked for; an entropy needs at least 2 alternatives"
            )
        if self.over not in ("mean", "highest", "lowest") or self.order not in ("shannon", "min"):
            raise InvalidInput(
                f"over={self.over!r} and order={self.order!r} were asked for; over is mean, highest or "
                "lowest, order is shannon or min"
            )

    @property
    def logprobs(self) -> int:
        """It reads the likeliest tokens."""
        return self.top

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        return [self._one(artifact) for artifact in states]

    def _one(self, artifact: Artifact) -> Score | Unscored:
        rule = entropy if self.order == "shannon" else least_entropy
        places = places_of(artifact) or []
        found = [h for place in places if (h := rule(place, self.top)) is not None]
        if not found:
            return _NEEDS_TWO
        match self.over:
            case "mean":
                value = math.fsum(found) / len(found)
            case "highest":
                value = max(found)
            case "lowest":
                value = min(found)
        return Score(-value, features={"positions": (float(len(found)),)})


@dataclass(frozen=True)
class Perplexity:
    """The inverse of the perplexity: the geometric mean of the tokens' probabilities, in [0, 1].

    It ranks as `MeanLogprob` does, and is never negative, so it may be summed in a vote. A candidate of
    which any generated piece lacks log-probabilities is `Unscored`. Features: `tokens`, `perplexity`.

    >>> from cogitate.core.requests import Completion
    >>> seen = Artifact("ab", completions=(Completion("ab", logprobs=(math.log(0.5), math.log(0.125))),))
    >>> score = Perplexity()._one(MeanLogprob().of(seen))
    >>> round(score.value, 6), round(score.features["perplexity"][0], 6)
    (0.25, 4.0)
    """

    separable: ClassVar[bool] = True
    """Each candidate is judged by itself."""

    @property
    def logprobs(self) -> int:
        """It reads those of the chosen tokens."""
        return 0

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        mean = MeanLogprob()
        return [self._one(mean.of(artifact)) for artifact in states]

    def _one(self, mean: Score | Unscored) -> Score | Unscored:
        if isinstance(mean, Unscored):
            return mean
        perplexity = math.exp(min(-mean.value, 700.0))
        features = {**mean.features, "perplexity": (perplexity,)}
        return Score(math.exp(mean.value), features=features)
