"""Which nodes of a grove are worth the room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .grove import Branch, Grove

CLIMB: Final = 64
"""Generations above a node that are looked at."""
_DEEPEST: Final = 24
"""Generations shown one by one; what is deeper is shown only where it is best, newest or chosen."""


def worth_showing(grove: Grove, most: int) -> list[Branch]:
    """At most so many nodes: all, or the chosen, the best and those with the first generations."""
    if grove.nodes <= most:
        return [node for node in grove.every() if _generation(node) <= _DEEPEST]
    picked: dict[int, Branch] = {}
    for node in (*grove.winners(), *grove.best()):
        _pick(picked, node, most)
    for node in _generations(grove):
        if len(picked) >= most:
            break
        picked[id(node)] = node
    return list(picked.values())


def worth_watching(grove: Grove, most: int) -> list[Branch]:
    """At most so many nodes: the chosen, and by turns the best and the newest, without a look at all."""
    picked: dict[int, Branch] = {}
    best, newest = grove.best(), grove.newest()
    for node in grove.winners()[: max(1, most // 4)]:
        _pick(picked, node, most)
    for place in range(max(len(best), len(newest))):
        for among in (best, newest):
            if place < len(among):
                _pick(picked, among[place], most)
        if len(picked) >= most:
            break
    return list(picked.values())


def _pick(picked: dict[int, Branch], node: Branch, most: int) -> None:
    """A node and those above it, while there is room; those in between that lack it are skipped over."""
    place: Branch | None = node
    for _ in range(CLIMB):
        if place is None or id(place) in picked or len(picked) >= most:
            return
        picked[id(place)] = place
        place = place.above


def _generations(grove: Grove) -> Iterator[Branch]:
    """Generation by generation, as deep as is shown."""
    now = [node for node in grove.every() if node.above is None]
    for _ in range(_DEEPEST + 1):
        yield from now
        now = [child for node in now for child in node.children]


def _generation(node: Branch) -> int:
    found = 0
    while node.above is not None and found <= _DEEPEST:
        node, found = node.above, found + 1
    return found
