"""The one place of this room that turns a seed into a generator."""

from __future__ import annotations

import random  # noqa: TID251  (rules take an integer seed, and core's Seed is not theirs to import)
from collections.abc import Sequence


def generator(seed: int) -> random.Random:
    """A fresh generator of this seed."""
    return random.Random(seed)


def subset(size: int, k: int, draw: random.Random) -> tuple[int, ...]:
    """A uniformly random subset of `k` of the first `size` indices, in random order."""
    return tuple(draw.sample(range(size), k))


def resample(values: Sequence[float], draw: random.Random) -> list[float]:
    """As many values, drawn with replacement."""
    return draw.choices(values, k=len(values))
