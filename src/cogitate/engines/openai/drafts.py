"""Outputs while they arrive: cut at stop strings and predicates, then turned into completions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cogitate.core.requests import Completion, Finish, Generate, TokenInfo
from cogitate.core.until import GIVEN_UP, Watching

from .calls import Calls
from .pieces import End, Piece


@dataclass
class Draft:
    """One choice as it grows."""

    # Mutable on purpose: it collects what a stream says.
    request: Generate
    cuts: tuple[str, ...] = ()
    """Stop strings that the server does not report, so they are looked for here."""
    echoed: str = ""
    """The beginning that the server may say again."""
    text: str = ""
    reasoning: str = ""
    end: End | Finish = ""
    stopped_by: str = ""
    pieces: int = 0
    """Pieces of the stream, as a floor of the token count."""
    ids: list[int] = field(default_factory=list[int])
    words: list[str] = field(default_factory=list[str])
    logprobs: list[float] = field(default_factory=list[float])
    top: list[tuple[TokenInfo, ...]] = field(default_factory=list[tuple[TokenInfo, ...]])
    tokens: int | None = None
    seed: int | None = None
    cut: bool = False
    """Whether it was ended here rather than by the server."""
    seen: bool = False
    calls: Calls = field(default_factory=Calls)
    watching: Watching = field(init=False)

    def __post_init__(self) -> None:
        self.watching = Watching(self.request.until)

    def feed(self, piece: Piece) -> str:
        """Take one piece; returns the text to publish."""
        if self.end:
            return ""
        self.seen = True
        before = len(self.text)
        self._collect(piece)
        text = self._without_echo(piece)
        self.text += text
        if piece.end == "stop" and piece.trimmed_stop:
            self.text += piece.stopped_by
        self._cut(before, [[info.logprob for info in place] for place in piece.top])
        if not self.end and piece.end:
            self.end, self.stopped_by = piece.end, piece.stopped_by
        return self.text[before:]

    def _collect(self, piece: Piece) -> None:
        self.reasoning += piece.reasoning
        self.calls.feed(piece.calls)
        self.pieces += 1 if piece.text or piece.reasoning or piece.calls else 0
        self.ids += piece.ids
        self.words += piece.words
        self.logprobs += piece.logprobs
        self.top += piece.top
        if piece.tokens is not None:
            self.tokens = piece.tokens
        if piece.seed is not None:
            self.seed = piece.seed

    def _without_echo(self, piece: Piece) -> str:
        if not self.echoed:
            return piece.text
        self.echoed, held = "", self.echoed
        if piece.text.startswith(held):
            return piece.text[len(held) :]
        if held.startswith(piece.text) and not piece.end:
            self.echoed = held[len(piece.text) :]
            return ""
        return piece.text

    def _cut(self, before: int, likeliest: list[list[float]]) -> None:
        longest = max(map(len, self.cuts), default=1)
        start = max(0, before - longest + 1)
        hits = [(at, stop) for stop in self.cuts if (at := self.text.find(stop, start)) >= 0]
        if hits:
            at, stop = min(hits, key=lambda hit: hit[0])
            self.text = self.text[: at + len(stop)]
            self.end, self.stopped_by, self.cut = "stop", stop, True
            self._trim()
        elif (self.text[before:] or likeliest) and (ended := self.watching(self.text, likeliest)):
            self.end, self.stopped_by = ended, GIVEN_UP if ended == "limit" else ""
            self.cut = True

    def _trim(self) -> None:
        """Forget tokens past the cut; ids go where the cut falls inside a token or cannot be placed."""
        size, kept = 0, 0
        for word in self.words:
            if size >= len(self.text):
                break
            size += len(word)
            kept += 1
        whole = bool(self.words) and size == len(self.text) and len(self.ids) == len(self.words)
        self.ids = self.ids[:kept] if whole else []
        del self.words[kept:], self.logprobs[kept:], self.top[kept:]

    @property
    def written(self) -> str:
        """All that was generated: reasoning, text and calls."""
        return self.reasoning + self.text + self.calls.said

    def known_tokens(self) -> int | None:
        """Generated tokens, where the server said enough to count them."""
        if self.tokens is not None:
            return self.tokens
        if self.ids and not self.cut:
            return len(self.ids)
        if self.logprobs and not self.cut:
            return len(self.logprobs)
        return None

    def completion(self, ids: tuple[int, ...], tokens: int) -> Completion:
        """The finished output."""
        wanted = self.request.logprobs
        finish: Finish = "eos" if self.end in ("", "filtered", "aborted") else self.end
        return Completion(
            text=self.text,
            finish=finish,
            stopped_by=self.stopped_by,
            tokens=tokens,
            ids=ids,
            logprobs=tuple(self.logprobs) if wanted >= 0 else (),
            top=tuple(top[:wanted] for top in self.top) if wanted > 0 else (),
            reasoning=self.reasoning,
            calls=self.calls.made(self.request.key()) if self.calls else (),
            words=tuple(self.words) if wanted >= 0 else (),
        )


def drafts_for(group: Sequence[Generate], cuts: tuple[str, ...], echoed: str) -> list[Draft]:
    """One empty draft for each sibling."""
    return [Draft(request, cuts, echoed) for request in group]
