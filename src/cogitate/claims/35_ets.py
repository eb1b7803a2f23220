"""Paper 35, efficient tree search: a tree that shares its cache, pruned by weight, nodes and meanings."""

from __future__ import annotations

from typing import Final

from .claim import Fault
from .tree_comparisons import grows, level, recovered, smaller
from .tree_reductions import (
    accounting,
    alike,
    alone,
    conserved,
    covered,
    monotone,
    plain,
    programme,
    sharing,
)

CHECKS: Final = (
    programme,
    plain,
    alone,
    covered,
    alike,
    conserved,
    monotone,
    sharing,
    accounting,
    smaller,
    recovered,
    level,
    grows,
)

FAULT: Final = Fault(
    file="rules/covering.py",
    was="(v - paid, w, n - 1, b) for m,",
    now="(v, w, n - 1, b) for m,",
    breaks=("siblings stay before cousins",),
)
