"""How engines without weights write: pieces for tokens, exact stops, prompts measured once."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any

from cogitate.core.errors import Failed
from cogitate.core.needs import NOTHING, Need, lacking
from cogitate.core.prompt import Continuation, Prompt, Text, Tokens
from cogitate.core.requests import Completion, Finish, Generate, Request, TokenInfo
from cogitate.core.seeds import Seed
from cogitate.core.task import Message
from cogitate.core.until import GIVEN_UP, Watching

_PIECES = re.compile(r"\n+|[^\S\n]*[^\s]{1,8}|[^\S\n]+")
_SIZES_KEPT = 65_536

Doubt = tuple[int, float]
"""From which character on, and which share of a sure model's certainty is gone from there, 0 to 1."""
CERTAIN: Doubt = (0, 0.0)


def pieces(text: str) -> list[str]:
    r"""The text as the tokens of a pretended tokeniser; joined, they are the text.

    >>> pieces("So 2 + 2 = 4.\n\n#### 4")
    ['So', ' 2', ' +', ' 2', ' =', ' 4.', '\n\n', '####', ' 4']
    """
    return _PIECES.findall(text)


@lru_cache(maxsize=8192)
def piece_id(piece: str) -> int:
    """The id of a piece in a pretended vocabulary of 50,000."""
    raw = piece.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "big") % 50_000


class PromptSizes:
    """Tokens of prompts at four bytes each, measured once a part however long the chain."""

    # Mutable on purpose: a bounded memory of digests already measured.

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def __call__(self, prompt: Prompt) -> int:
        known = self._known
        if prompt.digest in known:
            return known[prompt.digest]
        if len(known) > _SIZES_KEPT:
            known.clear()
        fresh: list[Prompt] = []
        total = 0
        for node in prompt.chain():
            if node.digest in known:
                total = known[node.digest]
                break
            fresh.append(node)
        for node in reversed(fresh):
            total += _part_tokens(node)
            known[node.digest] = total
        return total


def _part_tokens(node: Prompt) -> int:
    match node.part:
        case Message():
            return 4 + estimated_tokens(node.part.content)
        case Tokens():
            return len(node.part.ids)
        case Continuation():
            return len(node.part.ids) or estimated_tokens(node.part.text)
        case Text():
            return estimated_tokens(node.part.text)


def estimated_tokens(text: str) -> int:
    """Four bytes to a token, rounded up."""
    return (len(text.encode("utf-8", "surrogatepass")) + 3) // 4


def wait_s(latency_s: float, request: Request[Any], seed: int = 0) -> float:
    """How long a pretended engine takes: log-normal around `latency_s`, the same at every call."""
    return latency_s * math.exp(min(3.0, Seed(seed, ("wait", request.key())).rng().gauss(0, 1)))


def cut(
    request: Generate,
    text: str,
    finish: Finish = "eos",
    doubt: Doubt = CERTAIN,
    served: Collection[Need] = NOTHING,
) -> Completion:
    """The text as this request allows it: ended at a stop string, a predicate or the cap.

    The stop string that ends first wins and is kept. What is returned is always a prefix of `text`.

    Args:
        request: what was asked.
        text: what would be said without any limit.
        finish: how that would end.
        doubt: where the pretended model begins to doubt its words, and how much.
        served: the needs that the engine serves.

    Raises:
        Failed: where the request needs something else, or a predicate reads more likely tokens than it asks for.
    """
    if refusal := lacking(request, served):
        raise Failed(refusal, "unsupported")
    watching, chances = Watching(request.until), _Chances(request, doubt)
    written: list[str] = []
    so_far, stopped = "", ""
    for piece in pieces(text):
        if len(written) == request.max_tokens:
            finish = "limit"
            break
        before = len(so_far)
        so_far += piece
        written.append(piece)
        end, stopped = _first_stop(so_far, before, request.stop)
        if stopped:
            so_far, finish = so_far[:end], "stop"
            written[-1] = so_far[before:]
            break
        if watching and (ended := watching(so_far, chances.at(written))):
            finish, stopped = ended, GIVEN_UP if ended == "limit" else ""
            break
    return _completion(request, written, so_far, finish, stopped, doubt)


def _first_stop(text: str, before: int, stops: Sequence[str]) -> tuple[int, str]:
    """Where the first stop string ends that ends after `before`, and which it is."""
    found: list[tuple[int, str]] = []
    for stop in stops:
        at = text.find(stop, max(0, before - len(stop) + 1)) if stop else -1
        if at >= 0:
            found.append((at + len(stop), stop))
    return min(found, default=(0, ""))


class _Chances:
    """The pretended probabilities of the pieces of one text, made in order."""

    # Mutable on purpose: it draws. From prompt and seed alone, so that a cut text has a prefix of
    # the full one's.

    def __init__(self, request: Generate, doubt: Doubt) -> None:
        self._request = request
        self._count, self._doubt, self._size, self._made = request.logprobs, doubt, 0, 0

    @cached_property
    def _rng(self):  # a generator is dear, and most requests ask for no log-probabilities
        return Seed(self._request.seed, ("logprobs", self._request.prompt.digest)).rng()

    def next(self, piece: str) -> tuple[float, tuple[TokenInfo, ...]]:
        """The log-probability of the next piece, and its likeliest rivals with it."""
        start, loss = self._doubt
        draw = self._rng.random() * (1.0 - loss if self._size >= start else 1.0)
        self._size += len(piece)
        self._made += 1
        return _alternatives(piece, draw, self._count)

    def at(self, written: Sequence[str]) -> Iterator[tuple[float, ...]]:
        """The log-probabilities of the likeliest tokens for each piece that is new."""
        while self._made < len(written):
            yield tuple(info.logprob for info in self.next(written[self._made])[1])


def _completion(
    request: Generate, written: list[str], text: str, finish: Finish, stopped: str, doubt: Doubt
) -> Completion:
    logprobs: tuple[float, ...] = ()
    top: tuple[tuple[TokenInfo, ...], ...] = ()
    if request.logprobs >= 0:
        chances = _Chances(request, doubt)
        alternatives = [chances.next(piece) for piece in written]
        logprobs = tuple(chosen for chosen, _ in alternatives)
        top = tuple(likely for _, likely in alternatives) if request.logprobs else ()
    return Completion(
        text=text,
        finish=finish,
        stopped_by=stopped,
        tokens=len(written),
        ids=tuple(piece_id(piece) for piece in written),
        logprobs=logprobs,
        top=top,
        words=tuple(written) if logprobs else (),
    )


def _alternatives(piece: str, draw: float, count: int) -> tuple[float, tuple[TokenInfo, ...]]:
    """The log-probability of a piece and its `count` likeliest rivals, whose chances sum below 1."""
    chance = 0.25 + 0.74 * draw
    likely = [TokenInfo(piece, math.log(chance))]
    rest = 1.0 - chance
    for number in range(1, count):
        rest /= 2
        likely.append(TokenInfo(f"{piece}~{number}", math.log(rest)))
    likely.sort(key=lambda info: -info.logprob)
    return math.log(chance), tuple(likely)
