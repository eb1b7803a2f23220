"""What makes a candidate good: votes, verifiers, judges, the model's own confidence."""

from __future__ import annotations

from cogitate.core.candidates import Artifact
from cogitate.core.protocols import Scorer

from .combined import AllOf, AnyOf, Ensemble
from .confidence import MeanLogprob, SelfCertainty
from .distributions import Confidence, Entropy, Perplexity
from .embedding import Clustered, Clusters, Medoid
from .execution import Verdict, run_checks, run_tests
from .judge import Judge
from .keeping import KeepTop
from .likelihood import PTrue
from .listwise import ListwiseJudge
from .programs import Checks, GeneratedTests, Passes
from .steps import STEP_VOTES, OutcomeReward, ProcessReward, StepVote, step_vote, steps_of
from .tool_calls import ToolCallVote
from .votes import BestAnswer, Indifferent, Majority, ScoredVote, Weighted

__all__ = [
    "STEP_VOTES",
    "AllOf",
    "AnyOf",
    "BestAnswer",
    "Checks",
    "Clustered",
    "Clusters",
    "Confidence",
    "Ensemble",
    "Entropy",
    "GeneratedTests",
    "Indifferent",
    "Judge",
    "KeepTop",
    "ListwiseJudge",
    "Majority",
    "MeanLogprob",
    "Medoid",
    "OutcomeReward",
    "PTrue",
    "Passes",
    "Perplexity",
    "ProcessReward",
    "ScoredVote",
    "SelfCertainty",
    "StepVote",
    "ToolCallVote",
    "Verdict",
    "Weighted",
    "default_scorer",
    "run_checks",
    "run_tests",
    "step_vote",
    "steps_of",
]


def default_scorer(kind: str) -> Scorer[Artifact]:
    """The scorer for a kind of answer: a vote where answers can agree, a judge where they are free text.

    >>> default_scorer("number"), type(default_scorer("text")).__name__
    (Majority(tie='canonical'), 'Judge')
    """
    return Judge() if kind in ("text", "code") else Majority()
