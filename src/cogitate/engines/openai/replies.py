"""The numbers in a reply of a reward model, checked before anybody believes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from cogitate.core.errors import Failed

from . import tally
from .formats import Reading

Row = tuple[float, ...]

NEAR_ONE = 0.02
"""How far half-precision probabilities may sum from one."""


def items(raw: Any, count: int, where: str) -> list[Mapping[str, Any]]:
    """The rows of a reply, in the order of what was asked, whatever order they came in.

    Raises:
        Failed: `malformed` where there are not exactly as many as were asked for.
    """
    listed: Any = raw
    if isinstance(raw, dict):
        fields = cast(dict[str, Any], raw)
        listed = fields.get("data") if "data" in fields else fields.get("results")
        if listed is None and "embedding" in fields:
            listed = [fields]  # SGLang's native form of one
    rows = cast(list[Any], listed) if isinstance(listed, list) else []
    found: dict[int, Mapping[str, Any]] = {}
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            continue
        held = cast(dict[str, Any], row)
        index = held.get("index", place)
        if isinstance(index, int) and 0 <= index < count:
            found.setdefault(index, held)
    if len(rows) != count or len(found) != count:
        raise malformed(where, f"answered {len(rows)} results for {count} texts")
    return [found[place] for place in range(count)]


def numbers(raw: Any, where: str) -> Row:
    """A list of finite numbers.

    Raises:
        Failed: `malformed` for anything else.
    """
    values = cast(list[Any], raw) if isinstance(raw, list) else []
    if not values or not all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values
    ):
        raise malformed(where, "answered something else than finite numbers")
    return tuple(float(v) for v in values)


def number(raw: Any, where: str) -> float:
    """One finite number, bare or alone in a list."""
    held = numbers(raw if isinstance(raw, list) else [raw], where)
    if len(held) != 1:
        raise malformed(where, f"answered {len(held)} numbers where one score was asked for")
    return held[0]


def rows(raw: Any, where: str) -> list[Row]:
    """A list of rows; bare numbers are rows of one."""
    listed = cast(list[Any], raw) if isinstance(raw, list) else []
    if not listed:
        raise malformed(where, "answered no rows; serve the model with its token-wise pooler")
    return [numbers(row if isinstance(row, list) else [row], where) for row in listed]


def scores(found: Sequence[Row], reading: Reading, index: int | None, where: str) -> Row:
    """One score a row.

    >>> scores([(0.25, 0.75)], "probability", 1, "x"), scores([(0.0,)], "sigmoid", None, "x")
    ((0.75,), (0.5,))

    Raises:
        Failed: `malformed` where the rows are not what the format says they are.
    """
    if reading in ("raw", "sigmoid"):
        wide = max(map(len, found), default=1)
        if wide != 1:
            raise malformed(
                where, f"answered {wide} classes where one score was asked for; name a class"
            )
        return tuple(row[0] if reading == "raw" else sigmoid(row[0]) for row in found)
    good = index or 0
    if any(len(row) < 2 or good >= len(row) for row in found):
        raise malformed(
            where, f"answered {min(map(len, found))} classes, among which class {good} is wanted"
        )
    likely = [all(0 <= p <= 1 for p in row) and abs(sum(row) - 1) < NEAR_ONE for row in found]
    if reading == "probability":
        if not all(likely):
            raise malformed(where, "answered class numbers that are no probabilities")
        return tuple(row[good] for row in found)
    if found and all(likely):
        raise malformed(where, "answered probabilities where logits were asked for")
    return tuple(softmax(row)[good] for row in found)


def softmax(row: Sequence[float]) -> Row:
    """Logits as probabilities.

    >>> softmax((0.0, 0.0))
    (0.5, 0.5)
    """
    most = max(row)
    shares = [math.exp(value - most) for value in row]
    return tuple(share / math.fsum(shares) for share in shares)


def sigmoid(value: float) -> float:
    """A logit as a probability, without overflow.

    >>> sigmoid(0.0), sigmoid(-1000.0)
    (0.5, 0.0)
    """
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    grown = math.exp(value)
    return grown / (1 + grown)


def counted(raw: Any) -> tally.Counted | None:
    """Prompt tokens of a reply, in OpenAI's names, in rerankers' and in SGLang's."""
    if (found := tally.counted(raw)) is not None:
        return found
    listed = cast(list[Any], raw) if isinstance(raw, list) else [raw]
    total = 0
    for row in listed:
        fields = cast(dict[str, Any], row) if isinstance(row, dict) else {}
        usage = fields.get("usage") or fields.get("meta_info")
        held = cast(dict[str, Any], usage) if isinstance(usage, dict) else {}
        tokens = held.get("prompt_tokens", held.get("total_tokens"))
        if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
            return None
        total += tokens
    return tally.Counted(total, 0) if listed and total < tally.MOST_TOKENS else None


def malformed(where: str, what: str) -> Failed:
    """The failure of a reply that cannot be believed."""
    return Failed(f"{where} {what}", "malformed")
