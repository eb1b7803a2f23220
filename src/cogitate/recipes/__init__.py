"""Named systems from papers, and the registry that says what each is and how far it works."""

from __future__ import annotations

from .cards import Card, card, cards, query
from .methods import Method, method, methods, methods_tagged
from .taxonomy import Axis, axis, covers, taxonomy, tree_markdown

__all__ = [
    "Axis",
    "Card",
    "Method",
    "axis",
    "card",
    "cards",
    "covers",
    "method",
    "methods",
    "methods_tagged",
    "query",
    "taxonomy",
    "tree_markdown",
]
