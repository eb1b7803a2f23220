"""Small worlds in which claims can be checked anywhere: recorded pools, generated tasks, curves."""

from __future__ import annotations

from .arithmetic import ChainProblem, chain_problem
from .countdown import CountdownProblem, countdown_problem
from .curve import METHODS, SIZES, Curve, CurvePoint, GradedQuestion, Line, accuracy_curve, graded
from .pools import (
    About,
    Pool,
    Question,
    Sample,
    excerpt,
    open_pool,
    packaged_pools,
    with_questions,
    write_pool,
)
from .recorded import RecordedModel, pool_tasks
from .tasks import WordProblem, word_problem, word_problems

__all__ = [
    "METHODS",
    "SIZES",
    "About",
    "ChainProblem",
    "CountdownProblem",
    "Curve",
    "CurvePoint",
    "GradedQuestion",
    "Line",
    "Pool",
    "Question",
    "RecordedModel",
    "Sample",
    "WordProblem",
    "accuracy_curve",
    "chain_problem",
    "countdown_problem",
    "excerpt",
    "graded",
    "open_pool",
    "packaged_pools",
    "pool_tasks",
    "with_questions",
    "word_problem",
    "word_problems",
    "write_pool",
]
