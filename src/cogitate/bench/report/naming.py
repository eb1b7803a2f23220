"""Short names for lines: what their specs differ in, so that they fit at the end of a curve."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from cogitate.core.usage import Budget

_VARIED: Final = re.compile(r"\b\w+=\{\w+\}(?:, )?")
_NAMED: Final = re.compile(r"\b(?:scorer|judge|process|search)=")
_EMPTY: Final = re.compile(r"\(\)")
_LONGEST: Final = 60
_UNITS: Final = {"tokens_out": "tokens out", "tokens_in": "tokens in", "bytes_moved": "bytes"}


def short_names(lines: Iterable[str]) -> dict[str, str]:
    """Lines to names that are as short as they may be and still differ.

    >>> short_names(["best_of(n={n}, scorer=prm())", "best_of(n={n}, scorer=majority())", "greedy()"])
    {'best_of(n={n}, scorer=prm())': 'best_of(prm)', 'best_of(n={n}, scorer=majority())': 'best_of(majority)', 'greedy()': 'greedy'}
    """
    known = list(dict.fromkeys(lines))
    found = {line: line for line in known}
    for step in (_without_varied, _without_labels, _without_brackets):
        shorter = {line: step(name) for line, name in found.items()}
        taken = list(shorter.values())
        found = {
            line: name if taken.count(name) == 1 and name else found[line]
            for line, name in shorter.items()
        }
    return found


def _without_varied(name: str) -> str:
    return _VARIED.sub("", name).replace(", )", ")")


def _without_labels(name: str) -> str:
    return _NAMED.sub("", name)


def _without_brackets(name: str) -> str:
    return _EMPTY.sub("", name)


def bounds(budget: Budget, *, short: bool = False) -> str:
    """A budget in words; empty where it bounds nothing.

    >>> bounds(Budget(tokens_out=4096)), bounds(Budget(calls=8), short=True)
    ('at most 4,096 tokens out', '≤ 8 calls')
    """
    held = [f"{amount:,.10g} {_UNITS.get(unit, unit)}" for unit, amount in budget.bounds()]
    return f"{'≤' if short else 'at most'} {', '.join(held)}" if held else ""


def listed(words: Sequence[str], most: int = 6) -> str:
    """Words in a sentence.

    >>> listed(["a", "b", "c"]), listed(["a", "b", "c"], 2)
    ('a, b and c', 'a, b and 1 more')
    """
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def several(count: int, one: str, more: str = "") -> str:
    """A number of things.

    >>> several(1, "seed"), several(1000, "question")
    ('1 seed', '1,000 questions')
    """
    return f"{count:,} {one if count == 1 else more or one + 's'}"
