"""What makes a candidate good: votes, verifiers, judges, the model's own confidence."""

from __future__ import annotations

from cogitate.core.candidates import Artifact
from cogitate.core.protocols import Scorer

from .confidence import MeanLogprob, SelfCertainty
from .judge import Judge
from .likelihood import PTrue
from .listwise import ListwiseJudge
from .steps import STEP_VOTES, ProcessReward, StepVote, step_vote, steps_of
from .votes import BestAnswer, Indifferent, Majority, Weighted

__all__ = [
    "STEP_VOTES",
    "BestAnswer",
    "Indifferent",
    "Judge",
    "ListwiseJudge",
    "Majority",
    "MeanLogprob",
    "PTrue",
    "ProcessReward",
    "SelfCertainty",
    "StepVote",
    "Weighted",
    "default_scorer",
    "step_vote",
    "steps_of",
]


def default_scorer(kind: str) -> Scorer[Artifact]:
    """The scorer for a kind of answer: a vote where answers can agree, a judge where they are free text.

    >>> default_scorer("number"), type(default_scorer("text")).__name__
    (Majority(tie='canonical'), 'Judge')
    """
    return Judge() if kind in ("text", "code") else Majority()
