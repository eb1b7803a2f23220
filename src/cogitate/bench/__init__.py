"""Benchmarks: questions from files, recordings of what models say to them, and honest metrics."""

from __future__ import annotations

from .comparing import Comparison, Side, compare
from .folder import Folder, load
from .grid import Grid
from .laying import lay
from .metrics import Accuracy, Coverage, SelectionTable, Table, table
from .opening import begin, check
from .questions import Asked, read_questions
from .recording import Recording, record
from .report import report_folder
from .running import carry_out
from .selection import selection_table

__all__ = [
    "Accuracy",
    "Asked",
    "Comparison",
    "Coverage",
    "Folder",
    "Grid",
    "Recording",
    "SelectionTable",
    "Side",
    "Table",
    "begin",
    "carry_out",
    "check",
    "compare",
    "lay",
    "load",
    "read_questions",
    "record",
    "report_folder",
    "selection_table",
    "table",
]
