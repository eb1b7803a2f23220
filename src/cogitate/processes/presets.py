"""Named few-shot prompts, for small models that need to be shown the form."""

from __future__ import annotations

from dataclasses import dataclass

from cogitate.core.requests import Sampling

DEFAULT_SAMPLING = Sampling(temperature=0.7, top_p=0.95)
"""Warm enough for samples to differ."""

Examples = tuple[tuple[str, str], ...]
"""Worked examples: a question and its answer each, shown as chat turns."""


@dataclass(frozen=True, slots=True)
class Preset:
    """An instruction, worked examples, and the sampling they were measured with.

    >>> from cogitate.processes import Answer
    >>> preset = PRESETS["word_problems"]
    >>> solver = Answer(instruction=preset.instruction, examples=preset.examples)
    """

    instruction: str
    examples: Examples
    sampling: Sampling = DEFAULT_SAMPLING
    max_tokens: int = 80


WORD_PROBLEMS = Preset(
    instruction=(
        "You solve arithmetic word problems. Write the calculation, "
        "then the final line: #### <number>"
    ),
    examples=(
        (
            "Ann has 5 apples. Ben gives her 3 more. How many apples does she have?",
            "5 + 3 = 8\n#### 8",
        ),
        (
            "A shop has 4 boxes with 6 pens each. It sells 5. How many pens are left?",
            "4 * 6 = 24\n24 - 5 = 19\n#### 19",
        ),
    ),
)
"""The form in which the recorded pools of SmolLM2 on arithmetic word problems were drawn."""

WORD_PROBLEM_STEPS = Preset(
    instruction=(
        "You solve arithmetic word problems. Write one calculation a step with a blank line after it, "
        "then the final line: #### <number>"
    ),
    examples=tuple((asked, told.replace("\n", "\n\n")) for asked, told in WORD_PROBLEMS.examples),
)
"""The same examples for stepwise search: every line is a step of its own."""

PRESETS = {"word_problem_steps": WORD_PROBLEM_STEPS, "word_problems": WORD_PROBLEMS}
"""The presets by name."""
