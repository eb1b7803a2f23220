"""What the command line shows: plots, tables and search trees, safe against hostile text."""

from __future__ import annotations

from cogitate.drive.grove import Branch, Grove, grown
from cogitate.drive.notes import Decision

from .clean import cleaned, in_ascii, one_line, safe_text
from .live import Canopy
from .plot import Plot, PlotPoint, Series, accuracy_plot
from .spending import Spending
from .tables import Grid, accuracy_table, candidate_table, cost_lines, count, paper_table, share
from .tree import SearchTree

__all__ = [
    "Branch",
    "Canopy",
    "Decision",
    "Grid",
    "Grove",
    "Plot",
    "PlotPoint",
    "SearchTree",
    "Series",
    "Spending",
    "accuracy_plot",
    "accuracy_table",
    "candidate_table",
    "cleaned",
    "cost_lines",
    "count",
    "grown",
    "in_ascii",
    "one_line",
    "paper_table",
    "safe_text",
    "share",
]
