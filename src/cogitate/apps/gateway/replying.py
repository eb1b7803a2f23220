"""Replies in the schema of OpenAI's API: every field that its clients read, from what a strategy found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cogitate.core.candidates import Artifact, Ranking
from cogitate.core.requests import Completion
from cogitate.core.usage import Usage

_ENDS: Final[Mapping[str, str]] = {"limit": "length"}


@dataclass(frozen=True)
class Said:
    """What all chunks and the whole reply to one request share."""

    id: str
    created: int
    model: str
    chat: bool

    @property
    def object(self) -> str:
        """The reply's type."""
        return "chat.completion" if self.chat else "text_completion"

    def whole(
        self, choices: Sequence[Artifact], usage: Usage, *, shows_logprobs: bool = False
    ) -> dict[str, Any]:
        """The reply to a request that is not streamed."""
        return {
            "id": self.id,
            "object": self.object,
            "created": self.created,
            "model": self.model,
            "choices": [
                self._choice(index, artifact, shows_logprobs)
                for index, artifact in enumerate(choices)
            ],
            "usage": usage_of(usage),
            "system_fingerprint": None,
        }

    def _choice(self, index: int, artifact: Artifact, shows_logprobs: bool) -> dict[str, Any]:
        logprobs = logprobs_of(artifact) if shows_logprobs else None
        end = finish_of(artifact)
        if not self.chat:
            return {
                "index": index,
                "text": artifact.text,
                "logprobs": None,
                "finish_reason": "stop" if end == "tool_calls" else end,
            }
        message: dict[str, Any] = {
            "role": "assistant",
            "content": artifact.text if artifact.text or not artifact.calls else None,
            "refusal": None,
        }
        if artifact.calls:
            message["tool_calls"] = calls_of(artifact)
        if reasoning := reasoning_of(artifact):
            message["reasoning_content"] = reasoning
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": end}

    # --------------------------------------------------------------------------- streams

    def opening(self, index: int) -> Iterator[dict[str, Any]]:
        """The chunk that says who speaks, with which each choice of a chat begins."""
        if self.chat:
            yield self._chunk(index, {"role": "assistant", "content": ""})

    def piece(self, index: int, text: str) -> dict[str, Any]:
        """A piece of the answer."""
        return self._chunk(index, {"content": text})

    def closing(
        self, index: int, artifact: Artifact, rest: str, *, shows_logprobs: bool = False
    ) -> Iterator[dict[str, Any]]:
        """What is left of one choice: its text, its calls, why it ended."""
        logprobs = logprobs_of(artifact) if shows_logprobs else None
        if rest or logprobs:
            yield self._chunk(index, {"content": rest}, logprobs=logprobs)
        end = finish_of(artifact)
        if artifact.calls and self.chat:
            calls = [{"index": at} | call for at, call in enumerate(calls_of(artifact))]
            yield self._chunk(index, {"tool_calls": calls})
        yield self._chunk(index, {}, "stop" if end == "tool_calls" and not self.chat else end)

    def total(self, usage: Usage) -> dict[str, Any]:
        """The last chunk, where the client asked what it cost."""
        return self._outer([]) | {"usage": usage_of(usage)}

    def _chunk(
        self, index: int, delta: dict[str, Any], end: str | None = None, logprobs: Any = None
    ) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": index}
        if self.chat:
            choice["delta"] = delta
        else:
            choice["text"] = delta.get("content", "")
        return self._outer([choice | {"logprobs": logprobs, "finish_reason": end}])

    def _outer(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "chat.completion.chunk" if self.chat else "text_completion",
            "created": self.created,
            "model": self.model,
            "choices": choices,
            "system_fingerprint": None,
        }


def event(value: Any) -> bytes:
    """A server-sent event; JSON holds no line break, so no text can end it early."""
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def comment(text: str) -> bytes:
    """A line that every reader of server-sent events skips."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return f": {plain}\n\n".encode("utf-8", "replace")


DONE: Final = b"data: [DONE]\n\n"


def usage_of(usage: Usage) -> dict[str, Any]:
    """What all calls cost together."""
    return {
        "prompt_tokens": usage.tokens_in,
        "completion_tokens": usage.tokens_out,
        "total_tokens": usage.tokens_in + usage.tokens_out,
        "prompt_tokens_details": {"cached_tokens": usage.tokens_cached},
        "completion_tokens_details": {"reasoning_tokens": usage.tokens_reasoning},
    }


def distinct(ranking: Ranking[Artifact], count: int) -> list[Artifact]:
    """The best candidates that say different things, and fewer where there are no more."""
    found: dict[tuple[str, str | None], Artifact] = {}
    for candidate in ranking.items:
        artifact = candidate.state
        # The ids of equal calls differ, and what they say is in the answer.
        key = (artifact.text, artifact.answer) if artifact.calls else (artifact.text, None)
        found.setdefault(key, artifact)
        if len(found) == count:
            break
    return list(found.values())


def finish_of(artifact: Artifact) -> str:
    """Why it ended, in the API's words."""
    if artifact.calls and artifact.complete:
        return "tool_calls"
    last = _last(artifact)
    if last is None:
        return "stop" if artifact.complete else "length"
    return _ENDS.get(last.finish, "stop" if artifact.complete else "length")


def calls_of(artifact: Artifact) -> list[dict[str, Any]]:
    """The tools it calls; nothing was executed."""
    return [
        {
            "id": call.id or f"call_{at}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for at, call in enumerate(artifact.calls)
    ]


def reasoning_of(artifact: Artifact) -> str:
    """Hidden reasoning that the server filed apart."""
    return "".join(completion.reasoning for completion in artifact.completions)


def logprobs_of(artifact: Artifact) -> dict[str, Any] | None:
    """The log-probabilities of its tokens; `None` where the engine did not say each with its text."""
    content: list[dict[str, Any]] = []
    for completion in artifact.completions:
        if len(completion.words) != len(completion.logprobs):
            return None
        for at, logprob in enumerate(completion.logprobs):
            top = completion.top[at] if at < len(completion.top) else ()
            content.append(
                _token(completion.words[at], logprob)
                | {"top_logprobs": [_token(info.token, info.logprob) for info in top]}
            )
    return {"content": content, "refusal": None} if content else None


def _token(text: str, logprob: float) -> dict[str, Any]:
    held = list(text.encode("utf-8", "surrogatepass"))
    return {"token": text, "logprob": max(logprob, -9999.0), "bytes": held}


def _last(artifact: Artifact) -> Completion | None:
    return artifact.completions[-1] if artifact.completions else None
