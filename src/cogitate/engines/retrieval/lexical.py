"""Indices by words: BM25 by a maintained library, and TF-IDF by nothing at all."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

from cogitate.core.errors import InvalidInput
from cogitate.rules.lexical import inverse_frequencies, weighted_words, words

from .corpus import Corpus
from .index import Found


class Bm25:
    """BM25 as Lucene scores it; the score has no upper bound, and what shares no word is not found.

    Raises:
        InvalidInput: where the extra `retrieval` is not installed.
    """

    # Mutable on purpose: it holds the library's index.

    def __init__(self, corpus: Corpus, *, k1: float = 1.5, b: float = 0.75) -> None:
        self.corpus = corpus
        self._settings = f"k1={k1} b={b}"
        self.embeds = False
        try:
            library: Any = importlib.import_module("bm25s")
        except ImportError:
            raise InvalidInput(
                "a BM25 index was asked for, and bm25s is not installed; pip install "
                "'cogitate[retrieval]', or use a TF-IDF index, which needs nothing"
            ) from None
        self._index = library.BM25(k1=k1, b=b, method="lucene", backend="numpy")
        told = [words(entry.seen) for entry in corpus.entries]
        self._known = {word for text in told for word in text}
        if self._known:
            self._index.index(told, show_progress=False)

    @property
    def fingerprint(self) -> str:
        """The library's method, its settings, and the corpus."""
        return f"bm25({self._settings}) {self.corpus.digest[:16]}"

    def rank(self, query: str, k: int, vector: Sequence[float] | None = None) -> list[Found]:
        """The k that fit best; passages that share no word with the query are left out."""
        asked = [word for word in words(query) if word in self._known]
        if not asked:
            return []
        scores = self._index.get_scores(asked)
        return best(scores, k)


class TfIdf:
    """The cosine of TF-IDF vectors, from 0 to 1; what shares no word is not found.

    >>> from .corpus import Entry
    >>> index = TfIdf(Corpus((Entry("a", "red apples"), Entry("b", "green pears"))))
    >>> [(place, round(score, 2)) for place, score in index.rank("apples, red ones", 2)]
    [(0, 0.69)]
    """

    # Mutable on purpose: it holds postings.

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.embeds = False
        told = [words(entry.seen) for entry in corpus.entries]
        self._weights = inverse_frequencies(told)
        self._unseen = math.log(1 + len(told)) + 1
        self._postings: dict[str, list[tuple[int, float]]] = {}
        for place, text in enumerate(told):
            for word, weight in weighted_words(text, self._weights).items():
                self._postings.setdefault(word, []).append((place, weight))

    @property
    def fingerprint(self) -> str:
        """The corpus."""
        return f"tfidf {self.corpus.digest[:16]}"

    def rank(self, query: str, k: int, vector: Sequence[float] | None = None) -> list[Found]:
        """The k of the largest cosine."""
        sums: dict[int, float] = {}
        asked = words(query)
        # A word that no passage holds makes the query longer: what it means is not here.
        known = {word: self._weights.get(word, self._unseen) for word in asked}
        for word, weight in weighted_words(asked, known).items():
            for place, own in self._postings.get(word, ()):
                sums[place] = sums.get(place, 0.0) + weight * own
        found = sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))
        return [(place, min(1.0, score)) for place, score in found[:k]]


def best(scores: Any, k: int) -> list[Found]:
    """The k highest positive entries of an array, best first; ties by place. Linear, but for sorting the k."""
    numpy: Any = importlib.import_module("numpy")
    count = min(k, len(scores))
    if not count:
        return []
    least = numpy.partition(scores, len(scores) - count)[len(scores) - count]
    places = numpy.flatnonzero((scores >= least) & (scores > 0))
    order = sorted(places.tolist(), key=lambda place: (-float(scores[place]), place))
    return [(place, float(scores[place])) for place in order[:count]]
