"""Tasks: questions with graders, from files and generators, by name."""

from __future__ import annotations

from .benchmark import Benchmark
from .definition import Definition, read_definition
from .item import ABSTAINED, Grader, Item, Verdict
from .registry import find, names, read

__all__ = [
    "ABSTAINED",
    "Benchmark",
    "Definition",
    "Grader",
    "Item",
    "Verdict",
    "find",
    "names",
    "read",
    "read_definition",
]
