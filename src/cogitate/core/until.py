"""Frozen predicates on the output so far; stopping mid-generation is data, not a callback.

Most read the text. `ConfidenceBelow` reads what the model thought of its tokens, so it is evaluated
by a `Watch` that is fed token by token; engines evaluate both kinds through `Watching`.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from .errors import InvalidInput

GIVEN_UP: Final = "confidence"
"""`Completion.stopped_by` of an output that a predicate on its tokens gave up: it has no answer."""


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


class Watch(Protocol):
    """A predicate on tokens while it is evaluated; mutable, one for each output."""

    def add(self, likeliest: Sequence[float]) -> bool:
        """Take the log-probabilities of the next position's likeliest tokens; whether it holds now."""
        ...


@dataclass(frozen=True, slots=True)
class ConfidenceBelow:
    """Give the output up once the confidence of its last `window` tokens falls below a threshold.

    A token's confidence is minus the mean log-probability of the `top` likeliest tokens at its place, and
    the window's is the mean over its tokens; it holds only once the window is full. Places of which no
    likely token is known do not count. What is given up is cut, not finished: the engine says `limit`, with
    `GIVEN_UP` as what stopped it. Needs `logprobs` of at least `top` in the request.

    >>> watch = ConfidenceBelow(1.0, window=2, top=1).watch()
    >>> [watch.add([-surprise]) for surprise in (0.5, 1.0, 2.0, 0.1, 0.2)]
    [False, True, False, False, True]
    """

    threshold: float
    window: int = 64
    top: int = 5

    def __post_init__(self) -> None:
        if self.window < 1 or self.top < 1 or not math.isfinite(self.threshold):
            raise InvalidInput(
                f"a threshold of {self.threshold}, a window of {self.window} and the {self.top} likeliest "
                "tokens were asked for; give a finite number, and at least 1 of both others"
            )
        # 1 and 1.0 are equal but print differently, and equal requests must have equal digests.
        object.__setattr__(self, "threshold", float(self.threshold))

    def watch(self) -> Watch:
        """A fresh evaluation, for one output."""
        return _Window(self)


class _Window:
    """The mean confidence of the last tokens: a running sum, made anew once a window, lest it drift."""

    # Mutable on purpose: it slides. The same sums as `rules.confidence.group_means`.

    def __init__(self, predicate: ConfidenceBelow) -> None:
        self._predicate = predicate
        self._held: deque[float] = deque()
        self._sum = 0.0
        self._seen = 0

    def add(self, likeliest: Sequence[float]) -> bool:
        held, window = self._held, self._predicate.window
        logs = heapq.nlargest(self._predicate.top, filter(math.isfinite, likeliest))
        if logs:
            value = -math.fsum(logs) / len(logs)
            held.append(value)
            self._seen += 1
            self._sum += value - (held.popleft() if len(held) > window else 0.0)
            if self._seen % window == 0:
                self._sum = math.fsum(held)
        return len(held) == window and self._sum / window < self._predicate.threshold


Until = Contains | Matches | ConfidenceBelow | Repeats
"""Repeats stands last: it needs no field, so it would be read from the fields of any other."""


class Watching:
    """The predicates of one request while its output grows; engines make one for each output.

    >>> watching = Watching((Contains("####"), ConfidenceBelow(1.0, window=1, top=1)))
    >>> watching("so", [[-2.0]]), watching("so ####"), watching("so", [[-0.5]])
    (None, 'until', 'limit')
    """

    # Mutable on purpose: it follows one output.

    def __init__(self, until: tuple[Until, ...]) -> None:
        self._texts = [p for p in until if not isinstance(p, ConfidenceBelow)]
        self._tokens = [p.watch() for p in until if isinstance(p, ConfidenceBelow)]

    def __bool__(self) -> bool:
        return bool(self._texts or self._tokens)

    def __call__(
        self, text: str, tokens: Iterable[Sequence[float]] = ()
    ) -> Literal["until", "limit"] | None:
        """How the output ends now, if it does.

        Args:
            text: all of it so far.
            tokens: the log-probabilities of the likeliest tokens at each place that is new.
        """
        if any(holds(text) for holds in self._texts):
            return "until"
        if self._tokens:
            for likeliest in tokens:
                if any(watch.add(likeliest) for watch in self._tokens):
                    return "limit"
        return None


def tokens_read(until: tuple[Until, ...]) -> int:
    """How many of the likeliest tokens at each place the predicates read; 0 where they read text alone.

    >>> tokens_read((Contains("####"), ConfidenceBelow(1.0, top=5)))
    5
    """
    return max((p.top for p in until if isinstance(p, ConfidenceBelow)), default=0)


def unwatched(until: tuple[Until, ...], logprobs: int) -> str:
    """Why predicates cannot be evaluated in a request that asks for so few log-probabilities, if so.

    An engine refuses it with this sentence, as `unsupported`.

    >>> unwatched((ConfidenceBelow(1.0, top=5),), logprobs=5)
    ''
    """
    read = tokens_read(until)
    if read <= max(0, logprobs):
        return ""
    return (
        f"a predicate reads the {read} likeliest tokens, but the request asks for logprobs={logprobs}; "
        f"ask for {read}"
    )
