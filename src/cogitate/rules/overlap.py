"""How far a short answer in words overlaps its reference: exact match and token F1."""

from __future__ import annotations

import string
from collections import Counter
from typing import Final

_ARTICLES: Final = frozenset({"a", "an", "the"})
_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)
_CLOSED: Final = frozenset({"yes", "no", "noanswer"})
"""Answers that are right or wrong, and never partly right."""
LONGEST: Final = 20_000
"""Characters of an answer that are read."""


def answer_tokens(text: str) -> tuple[str, ...]:
    """The words of an answer: small letters, no punctuation, no articles.

    >>> answer_tokens("The  Chief, of Protocol.")
    ('chief', 'of', 'protocol')
    """
    bare = text[:LONGEST].lower().translate(_PUNCTUATION)
    return tuple(word for word in bare.split() if word not in _ARTICLES)


def exact_match(answer: str, reference: str) -> bool:
    """Whether both have the same words in the same order.

    >>> exact_match("the Animorphs!", "Animorphs"), exact_match("", "the")
    (True, False)
    """
    words = answer_tokens(answer)
    return bool(words) and words == answer_tokens(reference)


def token_f1(answer: str, reference: str) -> float:
    """The harmonic mean of the share of the answer's words that are right and of the reference's that are there.

    Words count as often as they occur. Where either is yes or no, only the same will do.

    >>> token_f1("Chief Protocol", "Chief of Protocol"), token_f1("yes indeed", "yes")
    (0.8, 0.0)
    """
    said, wanted = answer_tokens(answer), answer_tokens(reference)
    if said == wanted:
        return float(bool(said))
    if _CLOSED & {" ".join(said), " ".join(wanted)}:
        return 0.0
    shared = sum((Counter(said) & Counter(wanted)).values())
    return 2 * shared / (len(said) + len(wanted)) if shared else 0.0
