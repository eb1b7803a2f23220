"""Tasks: questions with graders, from files and generators, by name."""

from __future__ import annotations

from .benchmark import Benchmark
from .definition import Data, Definition, Fields, read_definition
from .item import ABSTAINED, Grader, Item, Verdict
from .listing import Listed, Made, WithoutTask, listed, made_tasks, without_task
from .registry import data_folder, find, names, read

__all__ = [
    "ABSTAINED",
    "Benchmark",
    "Data",
    "Definition",
    "Fields",
    "Grader",
    "Item",
    "Listed",
    "Made",
    "Verdict",
    "WithoutTask",
    "data_folder",
    "find",
    "listed",
    "made_tasks",
    "names",
    "read",
    "read_definition",
    "without_task",
]
