"""The engine that answers `Retrieve`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.protocols import Emit, Engine, Limits, silent
from cogitate.core.requests import Embed, Reply, Request
from cogitate.core.retrieve import Passage, Retrieve
from cogitate.core.usage import ZERO, Usage

from .dense import Dense, Hybrid, embedded
from .index import Index

Outcome = Reply[Any] | Failed
T = TypeVar("T")
_AT_ONCE: Final = 5_000
"""Passages below which looking them up takes less than handing it to a thread."""


class Retriever:
    """Serves `Retrieve` from one index or several by name.

    What is looked up by words alone is free; a query that must be embedded costs what its embedding costs, and
    all queries of a batch are embedded in one call.

    >>> from .corpus import Corpus, Entry
    >>> from .lexical import TfIdf
    >>> engine = Retriever({"fruit": TfIdf(Corpus((Entry("a", "red apples"), Entry("b", "pears"))))})
    >>> [reply] = asyncio.run(engine.serve([Retrieve("apples", k=1)]))
    >>> reply.value[0].id, reply.usage.calls
    ('a', 0)

    Raises:
        InvalidInput: for no index, for one that needs an embedder where there is none, or another model's vectors.
    """

    # Mutable on purpose: it holds indices and an embedder.

    def __init__(self, indices: Mapping[str, Index], embedder: Engine | None = None) -> None:
        if not indices:
            raise InvalidInput("a retriever was asked for without an index; give at least one")
        for name, index in indices.items():
            for part in _dense_in(index):
                if embedder is None or Embed not in embedder.serves:
                    raise InvalidInput(
                        f"the index {name!r} holds embeddings of {part.embedder!r}, and no model embeds the "
                        "queries; name one with --model embedder=SPEC"
                    )
                if part.embedder != embedder.fingerprint:
                    raise InvalidInput(
                        f"the index {name!r} holds embeddings of {part.embedder!r}, and queries would be "
                        f"embedded by {embedder.fingerprint!r}; use the same model, or build the index anew"
                    )
        self._indices = dict(indices)
        self._embedder = embedder

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """Retrieval alone."""
        return frozenset((Retrieve,))

    @property
    def limits(self) -> Limits:
        """Many queries at once."""
        return Limits(concurrency=256, max_batch=256)

    @property
    def fingerprint(self) -> str:
        """Every index with its corpus, and the embedder."""
        return "; ".join(f"{name}: {i.fingerprint}" for name, i in sorted(self._indices.items()))

    def ceiling(self, request: Request[Any]) -> Usage:
        """Of the query's embedding, where it needs one."""
        if not isinstance(request, Retrieve) or self._embedder is None:
            return ZERO
        found = self._indices.get(request.index or next(iter(self._indices)))
        if found is None or not found.embeds:
            return ZERO
        return self._embedder.ceiling(Embed((request.query,)))

    async def serve(self, batch: Sequence[Request[Any]], emit: Emit = silent) -> Sequence[Outcome]:
        """Answer each, in order."""
        asked = [(place, r) for place, r in enumerate(batch) if isinstance(r, Retrieve)]
        outcomes: list[Outcome] = [
            Failed(f"a retriever serves no {type(r).__name__}", "unserved") for r in batch
        ]
        ready: list[tuple[int, Retrieve, Index]] = []
        for place, request in asked:
            name = request.index or next(iter(self._indices))
            index = self._indices.get(name)
            if index is None:
                outcomes[place] = Failed(
                    f"there is no index {name[:60]!r}; there are {', '.join(sorted(self._indices))}",
                    "unserved",
                )
            elif request.k < 1:
                outcomes[place] = Failed(
                    f"{request.k} passages were asked for; at least one", "form"
                )
            else:
                ready.append((place, request, index))
        for place, outcome in await self._found(ready):
            outcomes[place] = outcome
        return outcomes

    async def close(self) -> None:
        """Nothing is held; the embedder is its opener's."""

    async def _found(
        self, ready: Sequence[tuple[int, Retrieve, Index]]
    ) -> list[tuple[int, Outcome]]:
        try:
            vectors, usages = await self._embedded(ready)
        except Failed as failure:
            # One call embeds all of a batch: its cost is told once, and what needs no vector is found all the same.
            broken = [entry for entry in ready if entry[2].embeds]
            whole = [entry for entry in ready if not entry[2].embeds]
            lost: list[tuple[int, Outcome]] = []
            for number, (place, _, _) in enumerate(broken):
                copy = Failed(failure.reason, failure.kind, transient=failure.transient)
                copy.usage = failure.usage if number == 0 else ZERO
                lost.append((place, copy))
            return [*lost, *(await self._found(whole) if whole else [])]
        found = await _beside(
            lambda: [
                (place, _ranked(request, index, vectors.get(place)))
                for place, request, index in ready
            ],
            most=max((len(index.corpus) for _, _, index in ready), default=0),
        )
        return [
            (place, outcome)
            if isinstance(outcome, Failed)
            else (place, replace(outcome, usage=usages.get(place, ZERO), engine=self.fingerprint))
            for place, outcome in found
        ]

    async def _embedded(
        self, ready: Sequence[tuple[int, Retrieve, Index]]
    ) -> tuple[dict[int, Sequence[float]], dict[int, Usage]]:
        """Query vectors by place; the first query of each text bears the cost."""
        texts = list(dict.fromkeys(r.query for _, r, index in ready if index.embeds))
        if not texts or self._embedder is None:
            return {}, {}
        vectors, usage = await embedded(texts, self._embedder)
        known = dict(zip(texts, vectors, strict=True))
        places = [place for place, _, index in ready if index.embeds]
        return (
            {place: known[request.query] for place, request, index in ready if index.embeds},
            {places[0]: usage},
        )


async def _beside(look: Callable[[], T], most: int) -> T:
    """In a thread where a corpus is large and an event loop would wait for it; else at once."""
    if most < _AT_ONCE:
        return look()
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # the batch driver needs none
        return look()
    return await asyncio.to_thread(look)


def _ranked(request: Retrieve, index: Index, vector: Sequence[float] | None) -> Outcome:
    try:
        found = index.rank(request.query, request.k, vector)
    except Failed as failure:
        failure.usage = ZERO
        return failure
    entries = index.corpus.entries
    return Reply(
        tuple(
            Passage(entries[place].id, entries[place].text, score, entries[place].context)
            for place, score in found
        )
    )


def _dense_in(index: Index) -> list[Dense]:
    if isinstance(index, Dense):
        return [index]
    return (
        [part for i in index.indices for part in _dense_in(i)] if isinstance(index, Hybrid) else []
    )
