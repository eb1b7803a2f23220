"""Benchmarks: questions from files, recordings of what models say to them, and honest metrics."""

from __future__ import annotations

from .comparing import Comparison, Side, compare
from .metrics import Accuracy, Coverage, SelectionTable, Table, table
from .questions import Asked, read_questions
from .recording import Recording, record
from .selection import selection_table

__all__ = [
    "Accuracy",
    "Asked",
    "Comparison",
    "Coverage",
    "Recording",
    "SelectionTable",
    "Side",
    "Table",
    "compare",
    "read_questions",
    "record",
    "selection_table",
    "table",
]
