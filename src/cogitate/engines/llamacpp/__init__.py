"""llama.cpp in this process: GGUF models, continuous batching, siblings that share their prompt."""

from __future__ import annotations

from .engine import LlamaCpp

__all__ = ["LlamaCpp"]
