"""Named systems from papers, and the registry that says what each is and how far it works."""

from __future__ import annotations

from .cards import STATUSES, Card, card, cards, papers_markdown, query
from .taxonomy import Axis, axis, covers, taxonomy, tree_markdown

__all__ = [
    "STATUSES",
    "Axis",
    "Card",
    "axis",
    "card",
    "cards",
    "covers",
    "papers_markdown",
    "query",
    "taxonomy",
    "tree_markdown",
]
