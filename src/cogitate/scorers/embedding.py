"""Agreement of free texts by their embeddings: the medoid, clusters, and clusters beside another score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.protocols import Scorer
from cogitate.core.requests import Embed
from cogitate.core.task import Task
from cogitate.core.usage import Budget
from cogitate.rules.clustering import (
    LINKAGES,
    Linkage,
    Vector,
    clusters,
    mean_similarity,
)
from cogitate.rules.votes import Tally, majority

from .steps import steps_of
from .votes import logprobs_of, reserve_of, vote_scores

Part = Literal["text", "answer", "step"]
"""What of a candidate is embedded: its whole text, its extracted answer, or its newest step.

Candidates that are cut abstain, but for `step`, which is for partial ones.
"""

PARTS: Final[tuple[Part, ...]] = get_args(Part)

_SILENT = Unscored("there is no whole text of it to embed, so it has no vote", "abstained")
_DEGENERATE = Unscored("its embedding has no direction, so it is near to nothing", "abstained")
_NOWHERE: Vector = ()


def part_of(artifact: Artifact, part: Part) -> str | None:
    """The text that is embedded; `None` where the candidate abstains."""
    if part == "step":
        steps = steps_of(artifact)
        return steps[-1].strip() or None if steps else None
    text = artifact.said if part == "text" else artifact.answer
    return (text or "").strip() or None if artifact.complete else None


async def embeddings(texts: Sequence[str | None], role: str) -> list[Vector | None]:
    """One vector for each text; equal texts are sent once, and all in one request.

    Raises:
        Failed: when the texts cannot be embedded, or the vectors do not belong to them.
        OutOfBudget: when the grant does not cover it.
    """
    unique = sorted({text for text in texts if text is not None})
    if not unique:
        return [None for _ in texts]
    found = await Embed(tuple(unique), role=role)
    if len(found) != len(unique) or len({len(vector) for vector in found}) != 1:
        lengths = sorted({len(vector) for vector in found})
        raise Failed(
            f"the embedder gave {len(found)} vectors of the lengths {lengths} for {len(unique)} texts; it "
            "must give one for each, all of one length",
            "malformed",
        )
    known = dict(zip(unique, found, strict=True))
    return [None if text is None else known[text] for text in texts]


async def _placed(
    states: Sequence[Artifact], part: Part, role: str
) -> tuple[list[Vector], list[Score | Unscored]]:
    """The vector of each candidate, without direction for those that abstain, and why those do."""
    texts = [part_of(artifact, part) for artifact in states]
    found = await embeddings(texts, role)
    silent: list[Score | Unscored] = [_SILENT if v is None else _DEGENERATE for v in found]
    return [_NOWHERE if v is None else v for v in found], silent


def _check(of: Part, distance: float = 0.0, linkage: Linkage = "average") -> None:
    if of not in PARTS or linkage not in LINKAGES or not 0 <= distance <= 2:
        raise InvalidInput(
            f"of={of!r}, distance={distance} and linkage={linkage!r} were asked for; of is one of "
            f"{', '.join(PARTS)}, a cosine distance lies from 0 to 2, a linkage is one of {', '.join(LINKAGES)}"
        )


@dataclass(frozen=True)
class Medoid:
    """The candidate most like all the others: self-consistency for free text.

    `Score.value` is the mean cosine similarity of its embedding to those of the other candidates, in
    [-1, 1], and 1 where it is alone. One `Embed` request serves all; its order of texts, and so the
    outcome, does not depend on the order of candidates. A candidate that is cut, has no text, or whose
    embedding has no direction, abstains. Features: none.

    >>> flow = Medoid()(Task.of("Why?"), [Artifact("b"), Artifact("a"), Artifact("b"), Artifact("")])
    >>> flow.send(None).texts
    ('a', 'b')
    >>> try:
    ...     flow.send(((1.0, 0.0), (0.0, 1.0)))
    ... except StopIteration as done:
    ...     [getattr(score, "value", score) for score in done.value[:3]]
    [0.5, 0.0, 0.5]
    """

    of: Part = "text"
    role: str = "embedder"

    def __post_init__(self) -> None:
        _check(self.of)

    def reserve(self, states: int) -> Budget | None:
        """One call for all."""
        return Budget(calls=1)

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        try:
            vectors, silent = await _placed(states, self.of, self.role)
        except (Failed, OutOfBudget) as error:
            return [Unscored.because(error)] * len(states)
        means = mean_similarity(vectors)
        return [
            why if mean is None else Score(mean) for mean, why in zip(means, silent, strict=True)
        ]


@dataclass(frozen=True)
class Clusters:
    """A vote of free texts: those that mean nearly the same count as one answer.

    Embeddings within a cosine `distance` share a cluster (see `rules.clustering`). `Score.value` is the
    cluster's share of all candidates, those that abstain counted among them, so that the largest cluster wins
    and, in it, what is most like the rest of it: within a cluster each less central candidate has the next
    lower number, and so do clusters with equal votes, the one of the least direction first. The ranking does
    not depend on the order of candidates. Who abstains: see `Medoid`. Features: `cluster`, and those of
    `Majority`, where a class is a cluster.

    >>> flow = Clusters(0.1)(Task.of("Why?"), [Artifact("a"), Artifact("b"), Artifact("c")])
    >>> _ = flow.send(None)
    >>> try:
    ...     flow.send(((1.0, 0.0), (0.0, 1.0), (0.1, 1.0)))
    ... except StopIteration as done:
    ...     [(round(score.value, 2), score.features["cluster"]) for score in done.value]
    [(0.33, (1.0,)), (0.67, (0.0,)), (0.67, (0.0,))]

    Reference:
        @article{chen2023universal, title={Universal Self-Consistency for Large Language Model
          Generation}, author={Chen, Xinyun and others}, journal={arXiv:2311.17311}, year={2023}}
    Deviates: embeddings tell what agrees, where the paper asks a language model to choose.
    """

    distance: float = 0.15
    linkage: Linkage = "average"
    of: Part = "text"
    role: str = "embedder"

    def __post_init__(self) -> None:
        _check(self.of, self.distance, self.linkage)

    def reserve(self, states: int) -> Budget | None:
        """One call for all."""
        return Budget(calls=1)

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        try:
            vectors, silent = await _placed(states, self.of, self.role)
        except (Failed, OutOfBudget) as error:
            return [Unscored.because(error)] * len(states)
        labels = clusters(vectors, self.distance, self.linkage)
        tally = majority(labels)
        values = _central_first(vectors, labels, tally)
        votes = vote_scores(tally, labels)
        return [
            replace(
                vote, value=value, features={**vote.features, "cluster": vote.features["class"]}
            )
            if isinstance(vote, Score)
            else why
            for vote, value, why in zip(votes, values, silent, strict=True)
        ]


def _central_first(
    vectors: Sequence[Vector], labels: Sequence[int | None], tally: Tally
) -> list[float]:
    """A value for each candidate: its cluster's share, or the next number below those who go before it."""
    values = [0.0] * len(labels)
    above = math.inf
    for cluster in tally.standing:
        members = [i for i, label in enumerate(labels) if label == cluster.label]
        central = mean_similarity([vectors[i] for i in members])
        for likeness in sorted({c for c in central if c is not None}, reverse=True):
            above = min(cluster.votes / len(labels), math.nextafter(above, -math.inf))
            for i, own in zip(members, central, strict=True):
                if own == likeness:
                    values[i] = above
    return values


@dataclass(frozen=True)
class Clustered:
    """Another scorer's scores, with the cluster of each candidate's meaning as a feature.

    For selections that keep candidates apart. All but the feature is the inner scorer's; a candidate that
    belongs to no cluster lacks it, and where the embedder fails all do. Features: those of the inner scorer,
    and `cluster`.

    >>> from cogitate.scorers import ProcessReward
    >>> Clustered(ProcessReward()).reserve(4)
    Budget(calls=5)

    Reference:
        @article{hooper2025ets, title={ETS: Efficient Tree Search for Inference-Time Scaling},
          author={Hooper, Coleman and others}, journal={arXiv:2502.13575}, year={2025}}
    """

    scorer: Scorer[Artifact]
    distance: float = 0.05
    """The paper's cut."""
    linkage: Linkage = "average"
    of: Part = "step"
    role: str = "embedder"

    def __post_init__(self) -> None:
        _check(self.of, self.distance, self.linkage)

    @property
    def logprobs(self) -> int:
        """What the inner scorer reads."""
        return logprobs_of(self.scorer)

    def reserve(self, states: int) -> Budget | None:
        """What the inner scorer is likely to cost, and one call."""
        inner = reserve_of(self.scorer, states) or Budget()
        return replace(inner, calls=(inner.calls or 0) + 1)

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        inner = await self.scorer(task, states)
        try:
            vectors, _ = await _placed(states, self.of, self.role)
        except (Failed, OutOfBudget):  # the scores were paid for and stand without it
            return inner
        return [
            replace(score, features={**score.features, "cluster": (float(label),)})
            if isinstance(score, Score) and label is not None
            else score
            for score, label in zip(
                inner, clusters(vectors, self.distance, self.linkage), strict=True
            )
        ]
