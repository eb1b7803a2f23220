"""Words of a text, what they weigh, and whether two texts share long runs of them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

_WORD: Final = re.compile(r"\w+")
SHARED: Final = 13
"""Words in a row that two problems share only where one is taken from the other."""


def words(text: str) -> list[str]:
    """Words and numbers of a text, folded.

    >>> words("Ann has 3 apples.")
    ['ann', 'has', '3', 'apples']
    """
    return _WORD.findall(text.casefold())


def inverse_frequencies(texts: Iterable[Sequence[str]]) -> dict[str, float]:
    """What each word weighs: log((1 + texts) / (1 + texts that hold it)) + 1."""
    held: Counter[str] = Counter()
    count = 0
    for text in texts:
        held.update(set(text))
        count += 1
    return {word: math.log((1 + count) / (1 + n)) + 1 for word, n in held.items()}


def weighted_words(text: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
    """The text as a vector of length one over the words that have a weight; empty where it has none."""
    raw = {w: n * weights[w] for w, n in Counter(text).items() if w in weights}
    size = math.sqrt(math.fsum(x * x for x in raw.values()))
    return {word: x / size for word, x in raw.items()} if size else {}


def runs(text: str, length: int = SHARED) -> frozenset[tuple[str, ...]]:
    """All runs of so many words; of a shorter text the whole."""
    found = words(text)
    if len(found) <= length:
        return frozenset({tuple(found)}) if found else frozenset()
    return frozenset(tuple(found[i : i + length]) for i in range(len(found) - length + 1))


def leaks(text: str, others: Iterable[str], length: int = SHARED) -> bool:
    """Whether a text shares a run of words with one of the others, or is the same but for its case and marks.

    >>> leaks("What is 2 + 2?", ["what is 2 2"]), leaks("What is 2 + 3?", ["what is 2 2"])
    (True, False)
    """
    own = runs(text, length)
    return any(own & runs(other, length) for other in others)
