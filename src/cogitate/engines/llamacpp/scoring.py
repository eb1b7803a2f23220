"""What llama.cpp's server does not offer by name: exact log-probabilities of given tokens.

The server refuses to echo a prompt with log-probabilities. But the probabilities it reports are
those before grammar and sampling; so a grammar that allows exactly the given tokens makes it walk
them and report each one's true log-probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cogitate.core.errors import Failed
from cogitate.core.requests import Constraint, Likelihood, Loglikelihood, TokenInfo

from .constraints import MARK, forced, probe_of
from .prompts import Ids, Post, Prompts

CERTAIN: Final = 1000.0
"""A bias no logit withstands; the probabilities reported are those before it."""
WIDE: Final = 1024
EVERY: Final = 1 << 18
"""More tokens than any vocabulary has."""
LABELS_SEEN: Final = 64
"""Labels outside so many likeliest tokens are scored one by one."""


@dataclass(frozen=True, slots=True)
class Walked:
    """What the model thinks of given tokens after a prompt."""

    ids: Ids
    logprobs: tuple[float, ...]
    top: tuple[tuple[TokenInfo, ...], ...]
    tokens_in: int
    """Prompt tokens and given tokens."""
    cached: int


async def forced_tokens(post: Post, prompt: Ids, ids: Ids, top: int = 0) -> Walked:
    """Exact log-probabilities of `ids` after `prompt`, with the `top` likeliest at each place.

    Raises:
        Failed: when the server did not walk exactly these tokens.
    """
    body = {**_walk(prompt, len(ids), max(1, top)), "grammar": forced(ids)}
    try:
        walked = _read(await post("/completion", body), top)
    except Failed as error:
        if error.kind != "crashed":
            raise
        # its grammars cannot pass through tokens that hold a part of a character
        walked = await _step_by_step(post, prompt, ids, top)
    if walked.ids != ids:
        raise Failed("llama.cpp did not follow the tokens it was given", "malformed")
    return walked


async def _step_by_step(post: Post, prompt: Ids, ids: Ids, top: int) -> Walked:
    """One call a token: forced to say something whole, it reports the parts of characters too."""
    whole = int((await post("/tokenize", {"content": "\n"}))["tokens"][0])
    logprobs: list[float] = []
    rows: list[tuple[TokenInfo, ...]] = []
    cached = 0
    for place, token in enumerate(ids):
        body = _walk(prompt + ids[:place], 1, 0)
        for width in (WIDE, EVERY):
            asked = {**body, "n_probs": width, "logit_bias": [[whole, CERTAIN]]}
            answer = await post("/completion", asked)
            entry = answer["completion_probabilities"][0]
            found = [x for x in entry["top_logprobs"] if x["id"] == token]
            if not place and width == WIDE:
                cached = int(answer["timings"]["cache_n"])
            if found:
                logprobs.append(float(found[0]["logprob"]))
                rows.append(_alternatives(entry)[:top])
                break
        else:
            raise Failed("llama.cpp did not report the token that was asked for", "malformed")
    return Walked(
        ids, tuple(logprobs), tuple(rows) if top > 0 else (), len(prompt) + len(ids), cached
    )


def _read(answer: Any, top: int) -> Walked:
    entries: list[dict[str, Any]] = answer["completion_probabilities"]
    return Walked(
        tuple(int(entry["id"]) for entry in entries),
        tuple(float(entry["logprob"]) for entry in entries),
        tuple(_alternatives(entry)[:top] for entry in entries) if top > 0 else (),
        int(answer["tokens_evaluated"]) + len(entries),
        int(answer["timings"]["cache_n"]),
    )


async def likelihoods(
    post: Post, prompts: Prompts, prompt: Ids, request: Loglikelihood
) -> tuple[tuple[Likelihood, ...], int, int]:
    """One likelihood per continuation, the tokens it took and how many of them were cached."""
    given = [await prompts.tokenise(post, text) for text in request.continuations]
    known: dict[int, float] = {}
    tokens_in = cached = 0
    if request.labels:
        given = [ids[:1] for ids in given]
        known, tokens_in, cached = await _likeliest(post, prompt)
    found: list[Likelihood] = []
    for ids in given:  # one after the other: each finds the prompt in the slot of the one before
        if not ids:
            found.append(Likelihood(0.0, 0))
        elif request.labels and ids[0] in known:
            found.append(Likelihood(known[ids[0]], 1))
        else:
            walked = await forced_tokens(post, prompt, ids)
            tokens_in, cached = tokens_in + walked.tokens_in, cached + walked.cached
            found.append(Likelihood(sum(walked.logprobs), len(ids)))
    return tuple(found), tokens_in, cached


async def _likeliest(post: Post, prompt: Ids) -> tuple[dict[int, float], int, int]:
    answer = await post("/completion", _walk(prompt, 1, LABELS_SEEN))
    entries: list[dict[str, Any]] = answer.get("completion_probabilities", [])
    known = {
        int(other["id"]): float(other["logprob"])
        for entry in entries[:1]
        for other in entry["top_logprobs"]
    }
    return known, int(answer["tokens_evaluated"]), int(answer["timings"]["cache_n"])


async def is_enforced(post: Post, prompts: Prompts, constraint: Constraint) -> bool:
    """Whether llama.cpp compiles the constraint; it would ignore one that it cannot compile."""
    probe = probe_of(constraint)
    if not probe:
        return True
    start = await prompts.tokenise(post, "\n", first=True)
    answer = await post("/completion", {**_walk(start, len(MARK), 1), "grammar": probe})
    said = str(answer["content"])
    return bool(said) and (said.startswith(MARK) or MARK.startswith(said))


def _walk(prompt: Ids, tokens: int, top: int) -> dict[str, Any]:
    return {
        "prompt": list(prompt),
        "n_predict": tokens,
        "n_probs": top,
        "samplers": ["temperature"],
        "temperature": 0.0,
        "return_tokens": True,
    }


def _alternatives(entry: dict[str, Any]) -> tuple[TokenInfo, ...]:
    return tuple(
        TokenInfo(str(other["token"]), float(other["logprob"])) for other in entry["top_logprobs"]
    )
