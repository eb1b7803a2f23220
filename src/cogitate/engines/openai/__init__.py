"""Servers that speak OpenAI's protocol: vLLM, SGLang, llama.cpp, Ollama, OpenAI and their like."""

from __future__ import annotations

from .capabilities import DIALECTS, Capabilities, Dialect, assumed
from .client import Timeouts
from .engine import OpenAICompatible
from .prompts import Template, chatml
from .secret import Secret
from .tally import Price

__all__ = [
    "DIALECTS",
    "Capabilities",
    "Dialect",
    "OpenAICompatible",
    "Price",
    "Secret",
    "Template",
    "Timeouts",
    "assumed",
    "chatml",
]
