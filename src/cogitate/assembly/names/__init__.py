"""The one table of names: what may stand in a strategy spec, and what it makes.

Every factory gets the kind of answer first and fills by it what was left open. The first line of its
docstring is its help text; every argument has a default where a sensible one exists. A module holds the
factories of one topic and lists them in `FACTORIES`; adding a topic is one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cogitate.assembly.factory import Factory
from cogitate.assembly.own import function

from . import (
    compositions,
    fusing,
    populations,
    processes,
    programs,
    recipes,
    revising,
    schedules,
    scorers,
    strategies,
    trees,
    verifiers,
)
from .defaults import VOTABLE, default_scorer
from .filling import default_strategy, filled
from .parts import MOST
from .strategies import best_of

TOPICS: Final = (
    strategies,
    scorers,
    processes,
    schedules,
    verifiers,
    trees,
    populations,
    revising,
    fusing,
    compositions,
    programs,
    recipes,
)

TABLE: Final[Mapping[str, Factory[...]]] = MappingProxyType(
    {
        made.name: made
        for made in (*(made for topic in TOPICS for made in topic.FACTORIES), function)
    }
)
"""Every name that a strategy spec may use."""

__all__ = [
    "MOST",
    "TABLE",
    "TOPICS",
    "VOTABLE",
    "best_of",
    "default_scorer",
    "default_strategy",
    "filled",
]
