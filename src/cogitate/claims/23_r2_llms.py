"""Paper 23, R2-style search: Monte Carlo tree search that looks up like problems and like steps."""

from __future__ import annotations

from typing import Final

from .claim import Fault
from .memory_comparisons import blind, harmful, harmless, levels, rises
from .memory_reductions import books, leaks, monotone, never, off, stages

CHECKS: Final = (
    off,
    never,
    leaks,
    books,
    stages,
    levels,
    harmless,
    harmful,
    monotone,
    rises,
    blind,
)

FAULT: Final = Fault(
    file="processes/recalled.py",
    was="if p.score >= self.at_least_alike]",
    now="if p.score >= 0.0]",
    breaks=("what is never alike enough is never shown",),
)
