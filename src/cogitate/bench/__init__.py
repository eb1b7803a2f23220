"""Benchmarks: questions from files, and recordings of what models say to them."""

from __future__ import annotations

from .questions import Asked, read_questions
from .recording import Recording, record

__all__ = ["Asked", "Recording", "read_questions", "record"]
