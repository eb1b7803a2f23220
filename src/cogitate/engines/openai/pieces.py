"""What a reply or a piece of a stream says, in every server's shape, as one shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from cogitate.core.requests import TokenInfo

from .calls import CallPiece, read_calls
from .prompts import Route

End = Literal["", "eos", "stop", "limit", "filtered", "aborted"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of one choice: all of it in a plain reply, a little in a stream."""

    index: int = 0
    text: str = ""
    reasoning: str = ""
    end: End = ""
    """Why it ended; empty while it goes on."""
    stopped_by: str = ""
    trimmed_stop: bool = False
    """Whether the server took the stop string out of the text."""
    ids: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    """The text of each token, where log-probabilities are reported."""
    logprobs: tuple[float, ...] = ()
    top: tuple[tuple[TokenInfo, ...], ...] = ()
    top_ids: tuple[tuple[int, ...], ...] = ()
    """Ids beside `top`, where the server says them."""
    calls: tuple[CallPiece, ...] = ()
    tokens: int | None = None
    """Tokens generated so far, where said for each choice."""
    tokens_in: int | None = None
    cached: int | None = None
    seed: int | None = None


def read(route: Route, raw: Any) -> list[Piece]:
    """The choices in one JSON value of a reply; empty where there are none."""
    if route == "native":
        listed = cast(list[Any], raw) if isinstance(raw, list) else [raw]
        return [_native(cast(dict[str, Any], item)) for item in listed if isinstance(item, dict)]
    choices = _dict(raw).get("choices")
    if not isinstance(choices, list):
        return []
    listed = cast(list[Any], choices)
    return [_choice(cast(dict[str, Any], item)) for item in listed if isinstance(item, dict)]


def _choice(raw: Mapping[str, Any]) -> Piece:
    said = _dict(raw.get("message")) or _dict(raw.get("delta")) or raw
    text = said.get("content", said.get("text"))
    end, stopped_by = _end(raw)
    if _text(said.get("refusal")):
        end = "filtered"
    words, logprobs, top, top_ids = _logprobs(raw.get("logprobs"))
    return Piece(
        index=_int(raw.get("index")) or 0,
        text=_text(text),
        reasoning=next(
            (
                t
                for k in ("reasoning", "reasoning_content", "thinking")
                if (t := _text(said.get(k)))
            ),
            "",
        ),
        end=end,
        stopped_by=stopped_by,
        ids=_ids(raw.get("token_ids")) or _ids(raw.get("output_ids")),
        words=words,
        logprobs=logprobs,
        top=top,
        top_ids=top_ids,
        calls=read_calls(said.get("tool_calls")),
    )


def _end(raw: Mapping[str, Any]) -> tuple[End, str]:
    reason = raw.get("finish_reason")
    if reason is None:
        return "", ""
    if reason == "length":
        return "limit", ""
    if reason == "content_filter":
        return "filtered", ""
    if reason in ("abort", "error"):
        return "aborted", ""
    fired = raw.get("stop_reason", raw.get("matched_stop"))
    return ("stop", fired) if isinstance(fired, str) and fired else ("eos", "")


def _native(raw: Mapping[str, Any]) -> Piece:
    over = raw.get("stop") is True
    kind = raw.get("stop_type")
    word = _text(raw.get("stopping_word"))
    end: End = ""
    if over:
        end = "stop" if kind == "word" and word else "limit" if kind == "limit" else "eos"
    words, logprobs, top, top_ids = _logprobs({"content": raw.get("completion_probabilities")})
    return Piece(
        index=_int(raw.get("index")) or 0,
        text=_text(raw.get("content")),
        end=end,
        stopped_by=word if end == "stop" else "",
        trimmed_stop=end == "stop",
        ids=_ids(raw.get("tokens")),
        words=words,
        logprobs=logprobs,
        top=top,
        top_ids=top_ids,
        tokens=_int(raw.get("tokens_predicted")),
        tokens_in=_int(raw.get("tokens_evaluated")),
        cached=_int(_dict(raw.get("timings")).get("cache_n")),
        seed=_int(_dict(raw.get("generation_settings")).get("seed")),
    )


Logprobs = tuple[
    tuple[str, ...],
    tuple[float, ...],
    tuple[tuple[TokenInfo, ...], ...],
    tuple[tuple[int, ...], ...],
]


def _logprobs(raw: Any) -> Logprobs:
    """Log-probabilities in the shape of chat, or in the older one of completions."""
    fields = _dict(raw)
    content = fields.get("content")
    if isinstance(content, list):
        items = [_dict(item) for item in cast(list[Any], content)]
        tops = [[_dict(t) for t in _list(item.get("top_logprobs"))] for item in items]
        return (
            tuple(_text(item.get("token")) for item in items),
            tuple(_number(item.get("logprob")) for item in items),
            tuple(
                tuple(TokenInfo(_text(t.get("token")), _number(t.get("logprob"))) for t in top)
                for top in tops
            ),
            tuple(tuple(i for t in top if (i := _int(t.get("id"))) is not None) for top in tops),
        )
    words = tuple(_text(w) for w in _list(fields.get("tokens")))
    logprobs = tuple(_number(p) for p in _list(fields.get("token_logprobs")))
    older = [_dict(t) for t in _list(fields.get("top_logprobs"))]
    top = tuple(
        tuple(
            sorted(
                (TokenInfo(str(token), _number(p)) for token, p in alternatives.items()),
                key=lambda t: -t.logprob,
            )
        )
        for alternatives in older
    )
    return words, logprobs, top, ()


def _dict(raw: Any) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], raw) if isinstance(raw, dict) else {}


def _list(raw: Any) -> list[Any]:
    return cast(list[Any], raw) if isinstance(raw, list) else []


def _int(raw: Any) -> int | None:
    return raw if isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0 else None


def _number(raw: Any) -> float:
    return (
        float(raw) if isinstance(raw, int | float) and not isinstance(raw, bool) else float("-inf")
    )


def _ids(raw: Any) -> tuple[int, ...]:
    listed = _list(raw)
    return tuple(listed) if all(isinstance(i, int) for i in listed) else ()


def _text(raw: Any) -> str:
    if isinstance(raw, str):
        return raw
    return "".join(_text(_dict(part).get("text")) for part in _list(raw))
