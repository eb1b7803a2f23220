"""Indices by embeddings, and by words and embeddings together."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Final

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.protocols import Engine
from cogitate.core.requests import Embed
from cogitate.core.usage import ZERO, Usage
from cogitate.rules.fusion import reciprocal_rank

from .corpus import Corpus
from .index import Found, Index

BRUTE_FORCE_BELOW: Final = 100_000
"""Vectors below which every one is compared; above, an approximate graph is asked."""
_AT_ONCE: Final = 256
"""Texts in one request to the embedder."""


class Dense:
    """The cosine of embeddings, from -1 to 1: exact below 100,000 passages, an HNSW graph above.

    Raises:
        InvalidInput: for vectors that are not one for each passage, of one length, finite.
    """

    # Mutable on purpose: it holds arrays.

    def __init__(
        self,
        corpus: Corpus,
        vectors: Any,
        embedder: str,
        *,
        brute_force_below: int = BRUTE_FORCE_BELOW,
    ) -> None:
        """Take the vectors of a corpus.

        Args:
            corpus: the passages.
            vectors: an array of shape (passages, dimensions); brought to length one. Passages without direction are
                found last.
            embedder: fingerprint of the model that made them; queries must come from the same.
            brute_force_below: passages from which on a graph is used.
        """
        numpy: Any = importlib.import_module("numpy")
        held = numpy.asarray(vectors, dtype=numpy.float32)
        if held.ndim != 2 or len(held) != len(corpus) or not numpy.isfinite(held).all():
            raise InvalidInput(
                f"vectors of the shape {held.shape} were given for {len(corpus)} passages; there must be one "
                "for each, of one length, of finite numbers"
            )
        lengths = numpy.linalg.norm(held, axis=1, keepdims=True)
        self.vectors = held / numpy.where(lengths > 0, lengths, 1)
        self.corpus, self.embedder, self.embeds = corpus, embedder, True
        self._graph = _graph(self.vectors) if len(corpus) >= brute_force_below else None

    @property
    def fingerprint(self) -> str:
        """The corpus, and the model that embedded it."""
        way = "graph" if self._graph is not None else "exact"
        return f"dense({way}, {self.embedder}) {self.corpus.digest[:16]}"

    @property
    def dimensions(self) -> int:
        """Length of the vectors."""
        return int(self.vectors.shape[1])

    def rank(self, query: str, k: int, vector: Sequence[float] | None = None) -> list[Found]:
        """The k of the largest cosine.

        Raises:
            Failed: where the query's vector is missing, or of another length.
        """
        numpy: Any = importlib.import_module("numpy")
        if vector is None or len(vector) != self.dimensions:
            had = "none" if vector is None else f"one of {len(vector)}"
            raise Failed(
                f"a query vector of {self.dimensions} numbers was needed, and {had} was given; ask with "
                "the model that embedded the index",
                "malformed",
            )
        asked = numpy.asarray(vector, dtype=numpy.float32)
        length = float(numpy.linalg.norm(asked))
        if not length or not numpy.isfinite(length):
            return []
        count = min(k, len(self.corpus))
        if self._graph is not None:
            found = self._graph.search(asked / length, count)
            pairs = zip(found.keys.tolist(), found.distances.tolist(), strict=True)
            return [(int(place), 1.0 - float(apart)) for place, apart in pairs]
        scores = self.vectors @ (asked / length)
        least = numpy.partition(scores, len(scores) - count)[len(scores) - count]
        places = numpy.flatnonzero(scores >= least).tolist()
        order = sorted(places, key=lambda place: (-float(scores[place]), place))
        return [(place, float(scores[place])) for place in order[:count]]


class Hybrid:
    """Several indices of one corpus, fused by the ranks of their best passages.

    Raises:
        InvalidInput: for indices of different corpora, or none.
    """

    # Mutable on purpose: it holds indices.

    def __init__(self, indices: Sequence[Index], *, depth: int = 50) -> None:
        """Fuse indices.

        Args:
            indices: at least one, all of one corpus.
            depth: how many of each are looked at, at least; what a query asks for counts where it is more.
        """
        if not indices or len({index.corpus.digest for index in indices}) != 1:
            raise InvalidInput(
                f"a fusion of {len(indices)} indices was asked for; give at least one, all of one corpus"
            )
        self.indices, self.depth = tuple(indices), depth
        self.corpus = indices[0].corpus
        self.embeds = any(index.embeds for index in indices)

    @property
    def fingerprint(self) -> str:
        """Those of its parts."""
        return f"hybrid(depth={self.depth}, {' + '.join(i.fingerprint for i in self.indices)})"

    def rank(self, query: str, k: int, vector: Sequence[float] | None = None) -> list[Found]:
        """The k best by reciprocal rank fusion; the score is the sum of reciprocal ranks."""
        found = [index.rank(query, max(k, self.depth), vector) for index in self.indices]
        return reciprocal_rank([[place for place, _ in ranking] for ranking in found])[:k]


def _graph(vectors: Any) -> Any:
    try:
        library: Any = importlib.import_module("usearch.index")
    except ImportError:
        raise InvalidInput(
            f"{len(vectors)} vectors were given, too many to compare one by one, and usearch is not installed; "
            "pip install 'cogitate[retrieval]'"
        ) from None
    numpy: Any = importlib.import_module("numpy")
    graph = library.Index(ndim=vectors.shape[1], metric="cos", dtype="f32")
    graph.add(numpy.arange(len(vectors)), vectors)
    return graph


async def embed_corpus(corpus: Corpus, embedder: Engine) -> tuple[Any, Usage]:
    """The vectors of a corpus, of shape (passages, dimensions), and what they cost.

    Raises:
        Failed: where the embedder cannot.
    """
    numpy: Any = importlib.import_module("numpy")
    rows: list[Sequence[float]] = []
    spent = ZERO
    texts = [entry.seen for entry in corpus.entries]
    for start in range(0, len(texts), _AT_ONCE):
        vectors, usage = await embedded(texts[start : start + _AT_ONCE], embedder)
        rows += vectors
        spent += usage
    return numpy.asarray(rows, dtype=numpy.float32), spent


async def embedded(
    texts: Sequence[str], embedder: Engine
) -> tuple[Sequence[Sequence[float]], Usage]:
    """One vector for each text, and what they cost.

    Raises:
        Failed: where the embedder failed, or gave another number of vectors.
    """
    [reply] = await embedder.serve([Embed(tuple(texts))])
    if isinstance(reply, Failed):
        raise reply
    if len(reply.value) != len(texts):
        raise Failed(
            f"the embedder gave {len(reply.value)} vectors for {len(texts)} texts", "malformed"
        )
    return reply.value, reply.usage
