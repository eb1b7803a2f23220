"""Stepwise generative processes: what a search can start, step, branch, and render."""

from __future__ import annotations

from .answer import Answer, Draft
from .asking import instruction_for, prompt_files, prompt_of, split_steps
from .presets import DEFAULT_SAMPLING, PRESETS, WORD_PROBLEM_STEPS, WORD_PROBLEMS, Preset
from .reasoning import Boundaries, Chain, Reasoning
from .recalled import Hintable, Memory, Recalled
from .states import restore
from .tool_use import Move, Talk, Tool, ToolUse

__all__ = [
    "DEFAULT_SAMPLING",
    "PRESETS",
    "WORD_PROBLEMS",
    "WORD_PROBLEM_STEPS",
    "Answer",
    "Boundaries",
    "Chain",
    "Draft",
    "Hintable",
    "Memory",
    "Move",
    "Preset",
    "Reasoning",
    "Recalled",
    "Talk",
    "Tool",
    "ToolUse",
    "instruction_for",
    "prompt_files",
    "prompt_of",
    "restore",
    "split_steps",
]
