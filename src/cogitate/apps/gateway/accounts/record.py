"""The record of one request."""

from __future__ import annotations

from dataclasses import dataclass

from cogitate.core.usage import ZERO, Usage


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a request afterwards. Never the key, only its public id."""

    id: str
    at: float
    """When it ended."""
    key_id: str
    model: str
    strategy: str
    status: int
    usage: Usage = ZERO
    seconds: float = 0.0
    """Wall-clock."""
    prompt: str | None = None
    """JSON of what was asked, where prompts are kept."""
