"""What is done once for an index, and not once for each query or passage."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from cogitate.core.retrieve import Retrieve
from cogitate.engines.retrieval import Corpus, Entry, Retriever, TfIdf
from cogitate.engines.retrieval import corpus as passages
from cogitate.rules import lexical


def some(count: int, seed: int = 0) -> Corpus:
    draw = random.Random(seed)
    words = [f"w{i}" for i in range(300)]
    return Corpus(tuple(Entry(f"e{i}", " ".join(draw.choices(words, k=30))) for i in range(count)))


def test_a_corpus_is_hashed_once_however_many_queries_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = 0
    real: Any = passages.__dict__["_line"]

    def line(entry: Entry) -> bytes:
        nonlocal written
        written += 1
        return real(entry)

    monkeypatch.setattr(passages, "_line", line)
    engine = Retriever({"one": TfIdf(some(50))})
    first: list[Any] = list(asyncio.run(engine.serve([Retrieve(f"w{i}", 3) for i in range(20)])))
    second: list[Any] = list(asyncio.run(engine.serve([Retrieve("w1", 3)])))
    assert {reply.engine for reply in [*first, *second]} == {engine.fingerprint}
    assert written == 50


def test_the_filter_reads_each_question_once_and_finds_what_the_rule_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corpus = some(60)
    asked = [" ".join(corpus.entries[i].text.split()[5:20]).upper() for i in (3, 17)]
    asked += ["what is w1?", corpus.entries[40].text]
    tainted = Corpus((*corpus.entries, Entry("c", "other", context=f"see: {asked[0]}")))
    read: list[str] = []

    def runs(text: str, length: int = lexical.SHARED) -> frozenset[tuple[str, ...]]:
        read.append(text)
        return lexical.runs(text, length)

    expected = [
        e.id
        for e in tainted.entries
        if not lexical.leaks(e.seen, asked) and not lexical.leaks(e.context, asked)
    ]
    monkeypatch.setattr(passages, "runs", runs)
    assert [e.id for e in tainted.without(asked).entries] == expected
    assert len(expected) == 57
    assert len(read) <= len(asked) + 2 * len(tainted)
