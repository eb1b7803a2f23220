"""Every other provider (Anthropic, Gemini, Bedrock and their like), through the library LiteLLM."""

from __future__ import annotations

from .engine import LiteLLM

__all__ = ["LiteLLM"]
