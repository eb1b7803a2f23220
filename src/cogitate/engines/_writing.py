"""How engines without weights write: pieces for tokens, exact stops, prompts measured once."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from cogitate.core.prompt import Continuation, Prompt, Text, Tokens
from cogitate.core.requests import Completion, Finish, Generate, Request, TokenInfo
from cogitate.core.seeds import Seed
from cogitate.core.task import Message

_PIECES = re.compile(r"\n+|[^\S\n]*[^\s]{1,8}|[^\S\n]+")
_SIZES_KEPT = 65_536


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


def cut(request: Generate, text: str, finish: Finish = "eos") -> Completion:
    """The text as this request allows it: ended at a stop string, a predicate or the cap.

    The stop string that ends first wins and is kept. What is returned is always a prefix of `text`.
    """
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
        if any(predicate(so_far) for predicate in request.until):
            finish = "until"
            break
    return _completion(request, written, so_far, finish, stopped)


def _first_stop(text: str, before: int, stops: Sequence[str]) -> tuple[int, str]:
    """Where the first stop string ends that ends after `before`, and which it is."""
    found: list[tuple[int, str]] = []
    for stop in stops:
        at = text.find(stop, max(0, before - len(stop) + 1)) if stop else -1
        if at >= 0:
            found.append((at + len(stop), stop))
    return min(found, default=(0, ""))


def _completion(
    request: Generate, written: list[str], text: str, finish: Finish, stopped: str
) -> Completion:
    logprobs: tuple[float, ...] = ()
    top: tuple[tuple[TokenInfo, ...], ...] = ()
    if request.logprobs >= 0:
        # From prompt and seed alone, so that a cut text has a prefix of the full one's.
        rng = Seed(request.seed, ("logprobs", request.prompt.digest)).rng()
        alternatives = [_alternatives(piece, rng.random(), request.logprobs) for piece in written]
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
