"""How well scores tell right from wrong: the area under the ROC curve, with ties."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby


def auc(scores: Sequence[float], right: Sequence[bool]) -> float | None:
    """The chance that a right one scores above a wrong one; a tie counts half.

    `None` where all are right or all are wrong: there is nothing to tell apart. On hard verdicts, 0 and 1, it is
    the balanced accuracy.

    >>> auc([0.9, 0.5, 0.5, 0.1], [True, True, False, False])
    0.875
    >>> auc([1, 1], [True, True]) is None
    True

    Raises:
        ValueError: for a score that is no number.
    """
    pairs = sorted(zip(map(float, scores), right, strict=True))
    if any(score != score for score, _ in pairs):
        raise ValueError("a score was no number; leave out what was not judged")
    positives = sum(bool(is_right) for _, is_right in pairs)
    negatives = len(pairs) - positives
    if not positives or not negatives:
        return None
    doubled = below = 0  # in halves, so that the sum is exact
    for _, tied in groupby(pairs, key=lambda pair: pair[0]):
        labels = [is_right for _, is_right in tied]
        good = sum(labels)
        bad = len(labels) - good
        doubled += good * (2 * below + bad)
        below += bad
    return doubled / (2 * positives * negatives)


def balanced_accuracy(verdicts: Sequence[bool], right: Sequence[bool]) -> float | None:
    """The mean of the share of right ones called right and of wrong ones called wrong.

    `None` where all are right or all are wrong.

    >>> balanced_accuracy([True, True, False, True], [True, True, False, False])
    0.75
    """
    pairs = list(zip(verdicts, right, strict=True))
    good = [verdict for verdict, is_right in pairs if is_right]
    bad = [verdict for verdict, is_right in pairs if not is_right]
    if not good or not bad:
        return None
    return (sum(good) * len(bad) + (len(bad) - sum(bad)) * len(good)) / (2 * len(good) * len(bad))
