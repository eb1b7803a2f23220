"""The scorer that fills an argument left open, and a search bound to its process and scorer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from cogitate.assembly.factory import Assembled

from .scorers import judge, majority

VOTABLE: Final = ("math", "number", "choice", "json")
"""The kinds whose answers can be told equal, so that a vote means something."""


def default_scorer(kind: str) -> tuple[Assembled, str]:
    """The scorer for a kind of answer, and why.

    >>> default_scorer("math")[0], default_scorer("text")[0]
    (majority(), judge())
    """
    if kind in VOTABLE:
        return majority(), f"{kind} answers can be told equal, so a majority vote scores them"
    if kind == "code":
        return (
            judge(),
            "not every task has checks to run, so a judge scores code; checks() runs them",
        )
    return judge(), "votes mean nothing for free text, so a judge scores it"


def solve(kind: str, process: Any, scorer: Any, search: Any, final: Any = None) -> Any:
    """A search over a process, by a scorer; the default of the kind where none is given.

    The process is asked for the log-probabilities that the scorer, and the final one, read.
    """
    from cogitate.search import Solve

    chosen = scorer if scorer is not None else default_scorer(kind)[0].for_kind(kind)
    process = with_logprobs(process, chosen)
    return Solve(with_logprobs(process, final), chosen, search, final)


def solve_alone(kind: str, process: Any, scorer: Any, search: Any, final: Any = None) -> Any:
    """The same where candidates are judged one by one or unfinished: a judge, since a vote says nothing there."""
    chosen = scorer if scorer is not None else judge().for_kind(kind)
    return solve(kind, process, chosen, search, final)


def with_logprobs(process: Any, scorer: Any) -> Any:
    """The process, asking for the log-probabilities that the scorer reads."""
    from cogitate.core.protocols import ReadsLogprobs

    needed = scorer.logprobs if isinstance(scorer, ReadsLogprobs) else -1
    if needed <= getattr(process, "logprobs", needed):
        return process
    return replace(process, logprobs=needed)
