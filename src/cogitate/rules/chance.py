"""The one place of this room that turns a seed into a generator."""

from __future__ import annotations

import functools
import math
import random  # noqa: TID251  (rules take an integer seed, and core's Seed is not theirs to import)
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

_AT_ONCE = 1 << 22
"""Random numbers that are held at a time."""
_HELD = 1 << 25
"""Bytes of the resamples that are kept for the next metric over as many questions."""


def generator(seed: int) -> random.Random:
    """A fresh generator of this seed."""
    return random.Random(seed)


def subset(size: int, k: int, draw: random.Random) -> tuple[int, ...]:
    """A uniformly random subset of `k` of the first `size` indices, in random order."""
    return tuple(draw.sample(range(size), k))


def resample(values: Sequence[float], draw: random.Random) -> list[float]:
    """As many values, drawn with replacement."""
    return draw.choices(values, k=len(values))


def resampled_means(columns: Sequence[Sequence[float]], seed: int, draws: int) -> list[list[float]]:
    """For each column its means over `draws` resamples of the rows; all columns see the same resamples.

    Where numpy is there it does the work, on the same random numbers: the means are equal but for rounding.

    >>> resampled_means([[1.0, 1.0], [2.0, 2.0]], seed=0, draws=2)
    [[1.0, 1.0], [2.0, 2.0]]
    """
    size = len(columns[0])
    if any(len(column) != size for column in columns):
        raise ValueError("columns of different lengths were to be resampled; give a value a row")
    numpy = numpy_or_none()
    if numpy is None:
        draw = generator(seed)
        rows = range(size)
        chosen = (draw.choices(rows, k=size) for _ in range(draws))
        means = [[math.fsum(c[i] for i in rows) / size for c in columns] for rows in chosen]
        return [list(column) for column in zip(*means, strict=True)]
    held = [numpy.array(column, dtype=float) for column in columns]
    # not `@`: the threads of a BLAS fight over busy cores, and may add in another order the next time
    parts = [
        [numpy.einsum("ij,j->i", counts, column) / size for column in held]
        for counts in _counts(size, seed, draws)
    ]
    return [numpy.concatenate(part).tolist() for part in zip(*parts, strict=True)]


def flipped_sums(values: Sequence[float], seed: int, draws: int) -> list[float]:
    """Sums of the values with their signs thrown at random, `draws` times."""
    numpy = numpy_or_none()
    if numpy is None:
        toss = generator(seed).random
        return [math.fsum(v if toss() < 0.5 else -v for v in values) for _ in range(draws)]
    held, found = numpy.array(values, dtype=float), list[float]()
    state = _like_python(seed)
    each = max(1, _AT_ONCE // len(values))
    for start in range(0, draws, each):
        positive = state.random_sample((min(each, draws - start), len(values))) < 0.5
        found += (2 * numpy.einsum("ij,j->i", positive, held) - held.sum()).tolist()
    return found


def shuffles(size: int, seed: int, draws: int) -> list[list[int]]:
    """`draws` random orders of `size` indices; the same with numpy and without."""
    numpy = numpy_or_none()
    if numpy is None:
        toss = generator(seed).random
        orders = ([toss() for _ in range(size)] for _ in range(draws))
        return [sorted(range(size), key=keys.__getitem__) for keys in orders]
    keys = _like_python(seed).random_sample((draws, size))
    return keys.argsort(axis=1, kind="stable").tolist()


def _counts(size: int, seed: int, draws: int) -> Iterable[Any]:
    """How often each resample holds each row: matrices of resamples by rows."""
    return _held_counts(size, seed, draws) if size * draws <= _HELD else _new(size, seed, draws)


def _new(size: int, seed: int, draws: int) -> Iterator[Any]:
    numpy = numpy_or_none()
    state = _like_python(seed)
    each = max(1, _AT_ONCE // size)
    for start in range(0, draws, each):
        rows = min(each, draws - start)
        # the arithmetic of random.choices, so that the same rows are drawn
        chosen = (state.random_sample((rows, size)) * float(size)).astype(numpy.int64)
        chosen += size * numpy.arange(rows)[:, None]
        counts = numpy.bincount(chosen.ravel(), minlength=rows * size).reshape(rows, size)
        yield numpy.minimum(counts, 255).astype(numpy.uint8)  # more than 255 of one row: never


@functools.lru_cache(maxsize=2)
def _held_counts(size: int, seed: int, draws: int) -> tuple[Any, ...]:
    return tuple(_new(size, seed, draws))


def _like_python(seed: int) -> Any:
    """Numpy's generator in the state of Python's: both are the same Mersenne twister."""
    numpy = numpy_or_none()
    inner = generator(seed).getstate()[1]
    state = numpy.random.RandomState()
    state.set_state(("MT19937", numpy.array(inner[:-1], dtype=numpy.uint32), inner[-1]))
    return state


@functools.cache
def numpy_or_none() -> Any:
    """Numpy where it is installed; everything here is right without it, only slower."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy
