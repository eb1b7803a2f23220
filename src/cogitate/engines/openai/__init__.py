"""Servers that speak OpenAI's protocol: vLLM, SGLang, llama.cpp, Ollama, OpenAI and their like."""

from __future__ import annotations

from .capabilities import DIALECTS, Capabilities, Dialect, assumed
from .client import Timeouts
from .engine import OpenAICompatible
from .formats import FORMATS, Format, format_named
from .prompts import Template, chatml
from .rewards import RewardModel
from .secret import Secret
from .tally import Price

__all__ = [
    "DIALECTS",
    "FORMATS",
    "Capabilities",
    "Dialect",
    "Format",
    "OpenAICompatible",
    "Price",
    "RewardModel",
    "Secret",
    "Template",
    "Timeouts",
    "assumed",
    "chatml",
    "format_named",
]
