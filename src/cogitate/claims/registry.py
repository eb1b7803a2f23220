"""The claim files: `NN_slug.py` in this room, each with its checks and its planted fault."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from dataclasses import dataclass
from pathlib import Path

from cogitate.core.errors import InvalidInput
from cogitate.recipes import Card, card, cards

from .claim import Check, Fault

_FILE = re.compile(r"(\d\d)_[a-z0-9_]+")


@dataclass(frozen=True)
class ClaimFile:
    """The claims of one paper."""

    id: str
    checks: tuple[Check, ...]
    fault: Fault

    @property
    def card(self) -> Card:
        """The paper."""
        return card(self.id)


@functools.cache
def names() -> dict[str, str]:
    """Paper ids to the names of their modules, without importing them."""
    here = [info.name for info in pkgutil.iter_modules([str(Path(__file__).parent)])]
    return {name[:2]: name for name in sorted(here) if _FILE.fullmatch(name)}


def claim_file(id: str) -> ClaimFile | None:
    """The claims of a paper; `None` where none are written yet.

    Raises:
        InvalidInput: where a file is malformed: a name used twice, a fault that breaks no claim of it.
    """
    known = names()
    if id not in known:
        return None
    module = importlib.import_module(f"cogitate.claims.{known[id]}")
    found = ClaimFile(id, tuple(module.CHECKS), module.FAULT)
    said = [check.name for check in found.checks]
    if len(set(said)) != len(said):
        raise InvalidInput(f"claims of paper {id}: a name occurs twice")
    unknown = [name for name in found.fault.breaks if name not in said]
    if unknown:
        raise InvalidInput(f"claims of paper {id}: the fault breaks {unknown[0]!r}, which is none")
    return found


def asked(names_of_papers: list[str]) -> list[Card]:
    """The papers of ids, slugs or recipes, or `all`; in the order of their ids.

    Raises:
        InvalidInput: for an unknown one.
    """
    if "all" in names_of_papers:
        return list(cards())
    found = {one.id: one for one in map(card, names_of_papers)}
    return [found[id] for id in sorted(found)]
