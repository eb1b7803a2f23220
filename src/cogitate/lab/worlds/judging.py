"""The judge and the critic of the chain world: they read solutions and write verdicts in words."""

from __future__ import annotations

import re
from math import fsum
from typing import Final

from cogitate.core.prompt import Prompt
from cogitate.core.requests import Generate

from .chain import Chain, ChainWorld, draw
from .policy import first_error
from .solution import STEP, Place, read_on
from .verifiers import whole_score

ANSWER: Final = re.compile(r"\[\[answer ([^\]\n]{0,60})\]\]\n(.*?)\n\[\[end of answer", re.DOTALL)
_SCALE: Final = re.compile(r"whole number from (\d{1,4})\D{1,40}(\d{1,4})")
_RANKING: Final = re.compile(r"Ranking: \d|numbers? 1 to \d")


def judged(world: ChainWorld, chain: Chain, request: Generate) -> str:
    """A mark for one answer, or a ranking of several, in the form that the judge's prompts ask for.

    The impression of an answer is binormal with `judge_auc`; the answer that stands first gains
    `position_bias`. An answer is told from another by its text alone, so both orders of a pair may be asked.
    """
    asked = whole(request.prompt)
    answers = [found[2] for found in ANSWER.finditer(asked)]
    if not answers:
        return "There is no answer to judge here."
    seen = [whole_score(world, chain, text) for text in answers]
    if len(answers) > 1 or _RANKING.search(asked[-1500:]):
        seen[0] += world.position_bias
        order = sorted(range(len(seen)), key=lambda i: (-seen[i], i))
        return f"They were compared.\nRanking: {' > '.join(str(i + 1) for i in order)}"
    scale = _SCALE.search(asked[-1500:])
    low, high = (int(scale[1]), int(scale[2])) if scale else (1, 10)
    share = min(max(0.5 + seen[0] / 6, 0.0), 1.0)
    return f"It was read with care.\nScore: {low + round(share * (high - low))}"


def criticised(world: ChainWorld, chain: Chain, request: Generate) -> str:
    """A critique of the last solution in the prompt: which step is the first wrong one, if any.

    A wrong solution has its first error named with chance `critic_recall`. A right one is blamed as often as
    makes `critic_precision` true at the policy's own rate of errors on this problem, as far as that can be.
    """
    asked = whole(request.prompt)
    found = list(STEP.finditer(asked))
    if not found:
        return "There is no step to look at."
    start = max(i for i, step in enumerate(found) if int(step[1]) == 1 or i == 0)
    text = asked[found[start].start() :]
    wrong = first_error(chain, "\n\n".join(text.split("\n\n")))
    address = f"critic|{world.seed}|{request.seed}|{chain.question}|{text[:4000]}"
    named: int | None = None
    if wrong is not None:
        named = wrong if draw(address) < world.critic_recall else None
    elif draw(address) < false_alarms(world, chain):
        named = 1 + int(draw(f"{address}|where") * max(1, read_on(chain, Place(), text).done))
    if named is None:
        return "Every step was checked. No step is wrong."
    return f"Step {named} is wrong: its value does not follow from the one before it."


def flawless(world: ChainWorld, chain: Chain) -> float:
    """The chance that a sample has no error at any step, a repaired one included: critics look at steps."""
    chances = [world.step_chance(chain.difficulty, world.thinking_gain(w)) for w in world.thoughts]
    alive = 1 - world.dead / world.ways
    return alive * fsum(chance ** len(chain.operations) for chance in chances) / len(chances)


def false_alarms(world: ChainWorld, chain: Chain) -> float:
    """How often a right solution must be blamed for the critic to have its precision.

    >>> false_alarms(ChainWorld(critic_precision=1.0), Chain(0, 0.0, 1, (("add", 2),)))
    0.0
    """
    errors = 1 - flawless(world, chain)
    precision = max(world.critic_precision, 1e-9)
    if errors >= 1:
        return 0.0
    return min(1.0, world.critic_recall * errors * (1 - precision) / (precision * (1 - errors)))


def whole(prompt: Prompt) -> str:
    """All that a prompt says."""
    return "\n".join(m.content for m in prompt.messages) or prompt.text
