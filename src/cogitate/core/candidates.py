"""What searches handle: artifacts, scores, candidates and rankings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from .errors import Failed, OutOfBudget
from .requests import Completion
from .task import EMPTY, ToolCall, with_calls
from .usage import UNITS

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Critique:
    """What is wrong with a candidate, in words that a reviser can use."""

    text: str
    first_error: int | None = None
    """Index of the first wrong step, from 0; `None` where no step is blamed."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a person or a scorer sees of a candidate."""

    text: str
    answer: str | None = None
    """The extracted answer; `None` where there is none: such a candidate abstains from votes."""
    kind: str = "text"
    complete: bool = True
    """False where the text was cut by a limit or is still growing."""
    steps: tuple[str, ...] = ()
    completions: tuple[Completion, ...] = ()
    """The generated pieces with their token counts and, where asked for, logprobs."""
    blob: str = ""
    """Digest of the bytes of an image, video or snapshot."""
    calls: tuple[ToolCall, ...] = ()
    """The tools it calls; the answer is then the JSON of all calls, so that votes can be held on them."""

    @property
    def said(self) -> str:
        """The text and the calls of tools: what a judge is shown, and what tells two answers apart."""
        return with_calls(self.text, self.calls) if self.calls else self.text


@dataclass(frozen=True)
class Score:
    """How good a candidate is."""

    value: float
    """Higher is better. The range is the scorer's own; searches normalise by rule."""
    steps: tuple[float, ...] = ()
    critique: Critique | None = None
    features: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: EMPTY)
    """Embeddings or statistics that selection rules may read."""


@dataclass(frozen=True, slots=True)
class Unscored:
    """The scorer could not judge: a dead call, an answer that cannot be parsed. Ranks below any score."""

    reason: str
    """One sentence for people."""
    cause: str = "failed"
    """A word for programs: `failed`, `budget`, `deadline`, `form` (an unparsable verdict), `abstained`."""

    @classmethod
    def because(cls, error: OutOfBudget | Failed) -> Unscored:
        """What a refused or failed request leaves behind."""
        return cls(str(error), cause_of(error))


def cause_of(error: OutOfBudget | Failed) -> str:
    """`failed`, `budget`, `deadline`, or the reason for which a run was stopped.

    >>> cause_of(OutOfBudget("tokens_out", 5, 4)), cause_of(OutOfBudget("seconds"))
    ('budget', 'deadline')
    """
    if isinstance(error, Failed):
        return "failed"
    if error.unit == "seconds":
        return "deadline"
    return "budget" if not error.unit or error.unit in UNITS else error.unit


@dataclass(frozen=True)
class Candidate(Generic[S]):
    """A state with its score and its place in the search tree."""

    state: S
    score: Score | Unscored
    id: str = ""
    """Unique within one search; the path of labels that made it."""
    parent: str | None = None

    @property
    def value(self) -> float:
        """The score's value; minus infinity where unscored."""
        return self.score.value if isinstance(self.score, Score) else float("-inf")


@dataclass(frozen=True)
class Ranking(Generic[S]):
    """Candidates, best first. Empty when the budget bought none.

    >>> ranked([Candidate("a", Score(1.0)), Candidate("b", Score(2.0))]).best.state
    'b'
    """

    items: tuple[Candidate[S], ...] = ()
    stopped: str = ""
    """Why the search ended early: `budget`, `deadline`, `decided`, `failed`; empty when it ran its course."""
    note: str = ""
    """One sentence for people, such as how the vote fell or why nothing was found."""

    @property
    def best(self) -> Candidate[S]:
        """The first candidate.

        Raises:
            IndexError: when the ranking is empty.
        """
        return self.items[0]

    def with_items(self, items: Iterable[Candidate[Any]]) -> Ranking[Any]:
        """The same ending with other candidates."""
        return replace(self, items=tuple(items))

    def merge(self, more: Iterable[Candidate[S]], finished: Callable[[S], bool]) -> Ranking[S]:
        """What is finished here and all of `more`, ranked; partial candidates give way."""
        kept = [c for c in self.items if finished(c.state)]
        return replace(self, items=ranked([*kept, *more]).items)


def ranked(items: Iterable[Candidate[S]], stopped: str = "", note: str = "") -> Ranking[S]:
    """Best first; ties keep their order, and what has no score comes last."""
    ordered = sorted(items, key=lambda c: -c.value if c.value == c.value else float("inf"))
    return Ranking(tuple(ordered), stopped, note)
