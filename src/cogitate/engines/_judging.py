"""What a pretended judge writes: the form that its prompt asks for."""

from __future__ import annotations

import re

from cogitate.core.prompt import Prompt
from cogitate.core.seeds import Seed

_FORM_LENGTH = 2000
_RANKING = re.compile(r"Ranking: (\d{1,4}(?: ?[>,] ?\d{1,4})*)|the form (\d{1,4}(?: ?> ?\d{1,4})+)")
_SCALE = re.compile(r"whole number from (\d{1,4})\D{1,40}(\d{1,4})")


def judgement(prompt: Prompt, seed: Seed) -> str:
    r"""A ranking of as many as the prompt's example ranks, or else a mark on the prompt's scale.

    >>> judgement(Prompt.raw("Write a whole number from 3 (bad) to 3 (good)."), Seed(0))
    'It was read with care.\nScore: 3'
    """
    asked = ([m.content for m in prompt.messages] or [prompt.text])[-1][-_FORM_LENGTH:]
    rng = seed.at("judgement").rng()
    examples = list(
        _RANKING.finditer(asked)
    )  # the last is the prompt's own: material stands above it
    if examples:
        numbers = re.findall(r"\d+", examples[-1][1] or examples[-1][2])
        rng.shuffle(numbers)
        return f"They were compared with care.\nRanking: {' > '.join(numbers)}"
    scale = _SCALE.search(asked)
    low, high = (int(scale[1]), int(scale[2])) if scale else (1, 10)
    return f"It was read with care.\nScore: {rng.randint(min(low, high), max(low, high))}"
