"""Indices of passages: by words, by embeddings, by both; kept in verified files; asked by `Retrieve`.

Needs the extra `retrieval`, but for `TfIdf`, which needs nothing.
"""

from __future__ import annotations

from .corpus import Corpus, Entry, read_entries
from .dense import Dense, Hybrid, embed_corpus
from .engine import Retriever
from .files import build, load, save
from .index import Index
from .lexical import Bm25, TfIdf

__all__ = [
    "Bm25",
    "Corpus",
    "Dense",
    "Entry",
    "Hybrid",
    "Index",
    "Retriever",
    "TfIdf",
    "build",
    "embed_corpus",
    "load",
    "read_entries",
    "save",
]
