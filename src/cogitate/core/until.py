"""Frozen predicates on the text so far; stopping mid-generation is data, not a callback."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contains:
    r"""Stop once the text contains this.

    >>> Contains("####")("so 4\n####")
    True
    """

    needle: str

    def __call__(self, text: str) -> bool:
        return self.needle in text


@dataclass(frozen=True, slots=True)
class Matches:
    """Stop once this regular expression matches somewhere in the text.

    The pattern runs on model output: keep it free of nested repeats.
    """

    pattern: str

    def __call__(self, text: str) -> bool:
        return re.search(self.pattern, text) is not None


@dataclass(frozen=True, slots=True)
class Repeats:
    """Stop once the text ends in `times` copies of the same piece of at most `period` characters.

    >>> Repeats(times=3, period=8)("no no no no ")
    True
    """

    times: int = 4
    period: int = 64

    def __call__(self, text: str) -> bool:
        for length in range(1, self.period + 1):
            if length * self.times > len(text):
                return False
            if text.endswith(text[len(text) - length :] * self.times):
                return True
        return False


Until = Contains | Matches | Repeats
