"""How many tokens of key-value cache a tree of steps needs, where branches share what they have in common."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

Nodes = Mapping[Hashable, tuple[Hashable | None, int, int]]
"""Node to its parent (`None` for a child of the root), its depth from 1, and the tokens of its own step."""


def prefix_tokens(nodes: Nodes, prompt: int = 0) -> tuple[int, ...]:
    """Unique-prefix tokens at each depth: those of its nodes and, once each, of their ancestors and the prompt.

    Nodes that are pruned afterwards were there when their depth was generated, and count.

    >>> prefix_tokens({"a": (None, 1, 10), "b": (None, 1, 10), "aa": ("a", 2, 5), "ab": ("a", 2, 5)})
    (20, 20)
    >>> prefix_tokens({"a": (None, 1, 10)}, prompt=7)
    (17,)

    Raises:
        KeyError: where a parent is missing.
    """
    deepest = max((depth for _, depth, _ in nodes.values()), default=0)
    needed = [prompt] * deepest
    counted: list[set[Hashable]] = [set() for _ in range(deepest)]
    for node, (_, depth, _) in nodes.items():
        at: Hashable | None = node
        while at is not None and at not in counted[depth - 1]:
            counted[depth - 1].add(at)
            parent, _, tokens = nodes[at]
            needed[depth - 1] += tokens
            at = parent
    return tuple(needed)
