"""Humanity's Last Code Exam: its metrics on verdicts, without its judge.

Reference:
    @misc{li2025hlce, title={Humanity's Last Code Exam: Can Advanced {LLMs} Conquer Human's Hardest Code
      Competition?}, author={Li, Xiangyang and others}, year={2025}, eprint={2506.12713}}

Deviates:
    Of composite problems, the i-th submissions of all parts make the i-th attempt, so that submissions sorted by part are
    paired as well as those that alternate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cogitate.core.errors import InvalidInput
from cogitate.rules import Interval, auc, balanced_accuracy, pass_at_k, scaling_slope, wilson

from .tasks.files import Row, rows_of

FILE: Final = "hlce/ioi_scores_chatgpt-4o.json.gz"
"""The published verdicts of one model, below the user's folder of data."""
LICENCE: Final = "CC BY-NC 4.0"
FULL: Final = 100.0
"""Points of a solved problem."""
PARTS: Final = 5
"""Parts of a composite problem; a group with fewer is not whole."""
_PART: Final = re.compile(r"([A-Z])(\d)")


@dataclass(frozen=True, slots=True)
class Submission:
    """One submission, as the judge of the olympiads saw it."""

    contest: str
    """Such as `IOI 2012 day 1`."""
    problem: str
    """Letter of the problem, such as `A`."""
    part: int
    """Number of the subtask that was submitted by itself; 0 for a whole problem."""
    record: int
    """Place in the order of submissions."""
    points: float
    """From 0 to 100; 0 where it did not compile or was not judged."""


@dataclass(frozen=True, slots=True)
class IoiRow:
    """The row of the published table."""

    problems: int
    attempts: int
    pass_at: Mapping[int, float]
    mean_points: float
    """Mean over problems of the mean points of an attempt."""
    short: Mapping[int, int]
    """For each k: problems with fewer than k attempts, which count as solved where any attempt solved them."""
    dropped: int
    """Submissions of composite problems that make no whole attempt."""


def read_submissions(path: Path) -> tuple[Submission, ...]:
    """Submissions from a file of verdicts.

    Raises:
        InvalidInput: for a row that is not as it should be, by file and row.
    """
    found = [_submission(row, where) for where, row in rows_of(path)]
    if not found:
        raise InvalidInput(f"{path.name}: verdicts were expected, but the file holds none")
    return tuple(found)


def _submission(row: Row, where: str) -> Submission:
    contest, index = _text(row, "date", where), _text(row, "problem_index", where)
    points, record = row.get("points"), row.get("original_record_id")
    if not isinstance(record, int) or isinstance(record, bool):
        raise InvalidInput(f"{where}: original_record_id: a whole number was expected")
    if points is None or "Compilation" in str(row.get("verdict")):
        points = 0.0
    if isinstance(points, bool) or not isinstance(points, int | float) or not 0 <= points <= FULL:
        raise InvalidInput(f"{where}: points: a number from 0 to {FULL:g} was expected")
    part = _PART.fullmatch(index)
    letter, number = (part[1], int(part[2])) if part else (index, 0)
    return Submission(contest, letter, number, record, float(points))


def _text(row: Row, name: str, where: str) -> str:
    held: Any = row.get(name)
    if not isinstance(held, str) or not held.strip():
        raise InvalidInput(f"{where}: {name}: text was expected")
    return held


def attempts(submissions: Sequence[Submission]) -> tuple[dict[tuple[str, str], list[float]], int]:
    """The points of each attempt by problem, and how many submissions belong to no whole attempt.

    A problem that is submitted in parts, subtask by subtask, gets the sum of one submission of each part; a group
    that lacks a part is dropped.

    >>> parts = [Submission("IOI", "A", part, part, 20.0) for part in range(1, 6)]
    >>> attempts(parts), attempts(parts[:4])
    (({('IOI', 'A'): [100.0]}, 0), ({('IOI', 'A'): []}, 4))
    """
    by_part: dict[tuple[str, str], dict[int, list[float]]] = {}
    for one in sorted(submissions, key=lambda submission: submission.record):
        parts = by_part.setdefault((one.contest, one.problem), {})
        parts.setdefault(one.part, []).append(one.points)
    found: dict[tuple[str, str], list[float]] = {}
    dropped = 0
    for problem, parts in by_part.items():
        needed = (0,) if 0 in parts else range(1, PARTS + 1)
        held = [parts.get(part, []) for part in needed]
        whole = min(len(points) for points in held)
        found[problem] = [math.fsum(points[i] for points in held) for i in range(whole)]
        dropped += sum(len(points) for points in parts.values()) - whole * len(held)
    return found, dropped


def ioi_row(submissions: Sequence[Submission], ks: Sequence[int] = (1, 5)) -> IoiRow:
    """pass@k without bias, and mean points, over problems with an attempt.

    Raises:
        InvalidInput: where no problem has a whole attempt.
    """
    by_problem, dropped = attempts(submissions)
    counts = [points for points in by_problem.values() if points]
    if not counts:
        raise InvalidInput("no problem has a whole attempt, so there is nothing to count")
    solved = [(len(points), sum(p == FULL for p in points)) for points in counts]
    return IoiRow(
        problems=len(counts),
        attempts=sum(len(points) for points in counts),
        pass_at={k: math.fsum(_pass(n, c, k) for n, c in solved) / len(solved) for k in ks},
        mean_points=math.fsum(math.fsum(p) / len(p) for p in counts) / len(counts),
        short={k: sum(n < k for n, _ in solved) for k in ks},
        dropped=dropped,
    )


def _pass(attempted: int, solved: int, k: int) -> float:
    """As the published metric: with fewer than k attempts, whether any of them solved it."""
    return float(solved > 0) if attempted < k else pass_at_k(attempted, solved, k)


@dataclass(frozen=True, slots=True)
class Recognition:
    """Whether a model knows which of its own answers are right."""

    auc: float | None
    """`None` where all answers are right or all are wrong."""
    balanced: float | None
    """Balanced accuracy, of hard verdicts only: it equals the AUC."""
    positives: int
    """Right answers; with few of them the AUC says little."""
    negatives: int
    unjudged: int = 0
    """Answers on which the model gave no verdict; they are left out."""


def self_recognition(verdicts: Sequence[float | None], right: Sequence[bool]) -> Recognition:
    """The AUC of a model's verdicts on its own answers: yes/no, a chance, or the mean of several samples.

    >>> self_recognition([True, False, None], [True, False, True]).auc
    1.0
    """
    held = [(v, r) for v, r in zip(verdicts, right, strict=True) if v is not None]
    scores, labels = [float(v) for v, _ in held], [r for _, r in held]
    hard = all(score in (0.0, 1.0) for score in scores)
    positives = sum(labels)
    return Recognition(
        auc(scores, labels),
        balanced_accuracy([s == 1.0 for s in scores], labels) if hard else None,
        positives,
        len(labels) - positives,
        len(right) - len(held),
    )


@dataclass(frozen=True, slots=True)
class LengthBin:
    """Answers of like length."""

    log_length: float
    """Mean natural logarithm of their lengths."""
    accuracy: Interval
    answers: int


def by_length(
    lengths: Sequence[float], right: Sequence[bool], bins: int = 5
) -> tuple[LengthBin, ...]:
    """Accuracy by the length of thinking, in bins of equal size; equal lengths stay together.

    >>> [bin.accuracy.value for bin in by_length([10, 20, 300, 400], [False, False, True, True], 2)]
    [0.0, 1.0]

    Raises:
        InvalidInput: for lengths that are not positive, or fewer answers than bins.
    """
    pairs = sorted(zip(lengths, right, strict=True))
    if bins < 1 or len(pairs) < bins or any(length <= 0 for length, _ in pairs):
        raise InvalidInput(
            f"{bins} bins of {len(pairs)} answers were asked for; each needs an answer, and lengths above 0"
        )
    found: list[LengthBin] = []
    start = 0
    for number in range(1, bins + 1):
        end = round(number * len(pairs) / bins)
        while 0 < end < len(pairs) and pairs[end][0] == pairs[end - 1][0]:
            end += 1
        held = pairs[start:end]
        if held:
            logs = math.fsum(math.log(length) for length, _ in held) / len(held)
            found.append(LengthBin(logs, wilson(sum(r for _, r in held), len(held)), len(held)))
        start = max(start, end)
    return tuple(found)


def length_slope(bins: Sequence[LengthBin]) -> float | None:
    """Accuracy gained by a unit of log-length: the mean slope over all pairs of bins; `None` for a single bin."""
    if len(bins) < 2:
        return None
    return scaling_slope([b.log_length for b in bins], [b.accuracy.value for b in bins])
