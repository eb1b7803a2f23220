"""What a solution of the chain world says: how it is written, and how it is read back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .chain import WAYS, Chain, ChainWorld

FLOURISH: Final = " Clearly and beyond any doubt."
IDLE: Final = " Nothing else happens here."
SEPARATOR: Final = "\n\n"

OPENERS: Final = (
    "",
    "now ",
    "so ",
    "then ",
    "next ",
    "here ",
    "well ",
    "thus ",
    "again ",
    "still ",
    "once ",
    "from it ",
)
"""Ways of beginning a step that mean the same, so that equal thoughts are not equal texts."""

STEP: Final = re.compile(r"Step (\d{1,3}): [^\n]*?= (-?\d{1,12})\.")
_WAY: Final = re.compile(r"By (\w{1,20})\.")
OPENED: Final = "<think>"
CLOSED: Final = "</think>"
FINAL: Final = re.compile(r"####[ \t]*(-?\d{1,12})(?!\d)")


@dataclass(frozen=True, slots=True)
class Place:
    """How far a solution has come."""

    done: int = 0
    """Steps written."""
    offset: int = 0
    """How far its value is from the true one; 0 while it is right."""
    way: int | None = None
    """Which way of solving it named."""
    ended: bool = False
    """Whether it states its result."""
    tail: str = ""
    """What was begun and is no whole step yet."""


def read_on(chain: Chain, place: Place, text: str) -> Place:
    """Where a solution is after more of its text.

    >>> chain = Chain(0, 0.0, 10, (("add", 5),))
    >>> read_on(chain, Place(), "Step 1: 10 + 5 = 16.").offset
    1
    """
    whole = place.tail + text
    done, offset, way, end = place.done, place.offset, place.way, 0
    for found in STEP.finditer(whole):
        number, end = int(found[1]), found.end()
        if 1 <= number <= len(chain.operations):
            done, offset = number, int(found[2]) - chain.values[number]
    if way is None:
        named = _WAY.search(whole)
        way = WAYS.index(named[1]) if named is not None and named[1] in WAYS else None
    final = FINAL.search(whole, end)
    if final is not None:
        offset = int(final[1]) - chain.answer
    return Place(done, offset, way, place.ended or final is not None, whole[end:][-200:])


def is_dead(world: ChainWorld, place: Place) -> bool:
    """Whether the way that was named cannot succeed: the last ones of the list."""
    return place.way is not None and world.ways - world.dead <= place.way < world.ways


def step_text(world: ChainWorld, chain: Chain, number: int, before: int, after: int, way: int | None, opener: str, extras: str) -> str:  # fmt: skip
    """One step, from 1; `before` and `after` are the values it states."""
    deed, by = chain.operations[number - 1]
    sign = "+" if deed == "add" else "-"
    # At every step, because embeddings may be of the newest one alone.
    named = f"By {WAYS[way]}. " if way is not None and world.ways > 1 else ""
    return f"{named}Step {number}: {opener}{before} {sign} {by} = {after}.{extras}"
