"""Answers while they grow: the chunks of a stream, gathered per sibling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cogitate.core.requests import Finish, Generate, TokenInfo
from cogitate.core.until import GIVEN_UP, Watching

Ids = tuple[int, ...]


@dataclass
class Draft:
    """One sibling's answer so far; mutable, because it grows by every token."""

    request: Generate
    text: str = ""
    ids: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    top: list[tuple[TokenInfo, ...]] = field(default_factory=list[tuple[TokenInfo, ...]])
    words: list[str] = field(default_factory=list[str])
    """The text of each token, beside its log-probability."""
    gaps: list[tuple[int, str, Ids, int]] = field(default_factory=list[tuple[int, str, Ids, int]])
    """Places where ids were swallowed: position, the piece of text, the ids that came, how many did not."""
    predicted: int = 0
    """Tokens generated, those past the end of the text included."""
    counted: int = 0
    """Tokens generated up to the end of the text."""
    evaluated: int = 0
    """Prompt tokens."""
    cached: int = 0
    """Prompt tokens found in the slot's cache."""
    finish: Finish | None = None
    stopped_by: str = ""
    swallowed: int = 0
    watching: Watching = field(init=False)

    def __post_init__(self) -> None:
        self.watching = Watching(self.request.until)

    def add(self, chunk: dict[str, Any]) -> str:
        """Take one chunk and return the new text."""
        self.predicted = int(chunk["tokens_predicted"])
        self.evaluated = int(chunk["tokens_evaluated"])
        self.cached = int(chunk.get("timings", {}).get("cache_n", self.cached))
        if self.finish is not None:
            return ""
        piece, known = str(chunk["content"]), len(self.top)
        self._take_ids(chunk, piece)
        self._take_logprobs(chunk)
        self.counted = self.predicted
        if chunk["stop"]:
            piece += self._end(chunk)
        self.text += piece
        if self.finish is None:
            fresh = [[info.logprob for info in place] for place in self.top[known:]]
            self.finish = self.watching(self.text, fresh)
            self.stopped_by = GIVEN_UP if self.finish == "limit" else ""
        return piece

    def _take_ids(self, chunk: dict[str, Any], piece: str) -> None:
        came: Ids = tuple(chunk.get("tokens", ()))
        missing = self.predicted - len(self.ids) - self.swallowed - len(came)
        if missing > 0 and not chunk["stop"]:
            # the server streams nothing while a character is incomplete, and forgets those ids
            self.gaps.append((len(self.ids), piece, came, missing))
            self.swallowed += missing
        self.ids.extend(came)

    def _take_logprobs(self, chunk: dict[str, Any]) -> None:
        for entry in chunk.get("completion_probabilities", ()):
            self.logprobs.append(float(entry["logprob"]))
            self.words.append(str(entry.get("token", "")))
            if self.request.logprobs > 0:
                self.top.append(
                    tuple(
                        TokenInfo(str(other["token"]), float(other["logprob"]))
                        for other in entry["top_logprobs"][: self.request.logprobs]
                    )
                )

    def _end(self, chunk: dict[str, Any]) -> str:
        match chunk["stop_type"]:
            case "word":
                self.finish, self.stopped_by = "stop", str(chunk["stopping_word"])
                return self.stopped_by  # the server cuts it off; the contract keeps it
            case "limit":
                self.finish = "limit"
            case _:
                self.finish = "eos"
                if self.ids and len(self.ids) + self.swallowed == self.predicted:
                    self.ids.pop()  # the end token is not part of the text
                    del self.logprobs[len(self.ids) + self.swallowed :]
                    del self.words[len(self.ids) + self.swallowed :]
                    del self.top[len(self.ids) + self.swallowed :]
        return ""
