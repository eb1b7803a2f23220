"""The policy of the chain world: what it writes next, from what was asked and written so far."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Final

from cogitate.core.errors import Failed
from cogitate.core.prompt import Continuation, Prompt
from cogitate.core.requests import Completion, Generate
from cogitate.engines.writing import CERTAIN, Doubt, cut

from .chain import Chain, ChainWorld, draw, read_chain
from .solution import (
    CLOSED,
    FINAL,
    FLOURISH,
    IDLE,
    OPENED,
    OPENERS,
    SEPARATOR,
    Place,
    is_dead,
    read_on,
    step_text,
)

_KEPT: Final = 131_072
_NAMED: Final = re.compile(r"(?i)\bstep (\d{1,3})\b")
_PLAN: Final = re.compile(r"(?m)^Plan:")
_EXAMPLE: Final = re.compile(r"(?m)^Example\b")
_MUSING: Final = ("what", "if", "it", "were", "done", "the", "other", "way")
_THOUGHT: Final = re.compile(r"<think>(.*?)(?:</think>|\Z)", re.DOTALL)


START: Final = Place()


@dataclass(frozen=True, slots=True)
class Situation:
    """What a prompt means: the problem, how far its solution is, and what helps or hurts."""

    chain: Chain
    place: Place = START
    boost: float = 0.0
    """Log-odds added to every step."""
    copies: bool = False
    """Whether a right earlier attempt is before its eyes."""
    words: int = 0
    """Words of its own thinking."""
    thinks: bool = False
    """Whether that is still open."""
    cued: bool = False
    """Whether the last word begs it to go on thinking."""

    def heard(self, text: str) -> Situation:
        """After more of the begun turn: its thinking is counted, its solution read."""
        place, words, thinks = self.place, self.words, self.thinks
        ends_in_cue = text.rstrip(" ,:\n").endswith(("Wait", "wait"))
        while text:
            if thinks:
                thought, closed, text = text.partition(CLOSED)
                words, thinks = words + len(thought.split()), not closed
            else:
                said, opened, text = text.partition(OPENED)
                place, thinks = read_on(self.chain, place, said), bool(opened)
        return replace(self, place=place, words=words, thinks=thinks, cued=thinks and ends_in_cue)


class Policy:
    """Writes solutions; a pure function of the request."""

    # Mutable on purpose: it remembers where prompts are, so that a chain of steps is read once.

    def __init__(self, world: ChainWorld) -> None:
        self._world = world
        self._known: dict[str, Situation] = {}

    def situation(self, prompt: Prompt) -> Situation:
        """Where the solution in a prompt is.

        Raises:
            Failed: for a prompt without a problem of the world.
        """
        known = self._known
        if prompt.digest in known:
            return known[prompt.digest]
        if len(known) > _KEPT:
            known.clear()
        parts: list[str] = []
        node = prompt
        while isinstance(node.part, Continuation) and node.parent is not None:
            parts.append(node.part.text)
            node = node.parent
            if node.digest in known:
                break
        found = known[node.digest] if node.digest in known else self._asked(node)
        for text in reversed(parts):
            found = found.heard(text)
        known[prompt.digest] = found
        return found

    def write(self, request: Generate) -> Completion:
        """What a request is answered with.

        Raises:
            Failed: for a prompt without a problem of the world, or a constraint.
        """
        if request.constraint is not None:
            raise Failed("the simulated policy cannot enforce a constraint", "unsupported")
        at = self.situation(request.prompt)
        drawn = request.seed if request.sampling.temperature > 0 else 0
        address = f"{drawn}|{request.prompt.digest}|{request.sampling.temperature}"
        # Beyond the first stop nothing is seen, so nothing is written.
        once = SEPARATOR in request.stop
        text, doubt = self._text(at, address, once=once)
        return cut(request, text, doubt=doubt)

    def _text(self, at: Situation, address: str, *, once: bool) -> tuple[str, Doubt]:
        world, chain, place = self._world, at.chain, at.place
        if place.ended:
            return "", CERTAIN
        thought, words = self._thought(at, address)
        at = replace(at, words=at.words + words)
        if thought and once:
            return thought, CERTAIN
        lines: list[str] = []
        size, doubtful = len(thought), -1
        while place.done < len(chain.operations):
            if lines and once:
                return "".join(lines) + SEPARATOR, _doubt(world, doubtful)
            before, place = place, self._step(at, place, f"{address}|{place.done}")
            if doubtful < 0 and (place.offset or is_dead(world, place)):
                doubtful = size
            line = (SEPARATOR if lines else "") + self._line(chain, before, place, address)
            lines.append(line)
            size += len(line)
        if lines and once:
            return "".join(lines) + SEPARATOR, _doubt(world, doubtful)
        start = SEPARATOR if lines else ""
        lines.append(f"{start}#### {chain.answer + place.offset}")
        return "".join([thought, *lines]), _doubt(world, doubtful)

    def _thought(self, at: Situation, address: str) -> tuple[str, int]:
        """What it thinks before it solves, or goes on to think, and of how many words; closed in the end."""
        world = self._world
        fresh = at.place == START and not at.words
        if not at.thinks and not (world.thinking_words and fresh):
            return "", 0
        lengths = world.thoughts if world.thinking_words else (world.thinking_best // 2,)
        length = lengths[int(draw(f"{address}|thinks") * len(lengths))]
        # A cue to go on is heeded, however long it thought.
        left = max(length - at.words, length // 2 if at.cued else 0)
        lines = [
            " ".join(["Wait" if start else "Hmm", *_MUSING[: min(8, left - start - 1)]]) + ".\n"
            for start in range(0, left, 9)
        ]
        begun = (" " if at.cued else "") if at.thinks else f"{OPENED}\n"
        return begun + "".join(lines) + CLOSED + SEPARATOR, max(0, left)

    def _chance(self, at: Situation, number: int) -> float:
        """The chance that a step of a right solution stays right.

        With a right attempt in sight it is copied, and broken with chance `broken` in all, at any of its steps
        alike: whether the steps are asked for one by one or all at once.
        """
        world, steps = self._world, len(at.chain.operations)
        if not at.copies:
            boost = at.boost + world.thinking_gain(at.words)
            return world.step_chance(at.chain.difficulty, boost)
        return 1 - world.broken / (steps - world.broken * (number - 1))

    def _step(self, at: Situation, place: Place, address: str) -> Place:
        """Where the solution is after one more step."""
        world, chain, number = self._world, at.chain, place.done + 1
        way = place.way
        if number == 1 and way is None and world.ways > 1:
            way = int(draw(f"{address}|way") * (world.ways - (world.dead if at.copies else 0)))
        right = draw(f"{address}|right") < self._chance(at, number)
        offset = place.offset
        if offset == 0:
            offset = 0 if right else self._error(chain, address)
        elif right and not at.copies and draw(f"{address}|repair") < world.repair:
            offset = 0
        after = Place(number, offset, way)
        if number == len(chain.operations) and is_dead(world, after) and way is not None:
            after = replace(after, offset=chain.dead_end(world, way))
        return after

    def _error(self, chain: Chain, address: str) -> int:
        world = self._world
        lure = chain.attractor(world)
        if draw(f"{address}|lured") < world.attractor:
            return lure
        # Every other shift up to `scatter` is alike: 2 * scatter - 1 of them, neither 0 nor the lure.
        size = world.scatter
        place = int(draw(f"{address}|scattered") * (2 * size - 1))
        place += place >= (lure + size if lure < 0 else lure + size - 1)
        return place - size if place < size else place - size + 1

    def _line(self, chain: Chain, before: Place, after: Place, address: str) -> str:
        world, values, number = self._world, chain.values, after.done
        opener, extras = "", ""
        if world.wordings > 1:
            opener = OPENERS[int(draw(f"{address}|{number}|worded") * world.wordings)]
        if (
            world.flourish
            and after.offset
            and draw(f"{address}|{number}|flourish") < world.flourish
        ):
            extras += FLOURISH
        if world.padding:
            extras += IDLE * int(draw(f"{address}|{number}|idle") * (world.padding + 1))
        return step_text(
            world,
            chain,
            number,
            values[number - 1] + before.offset,
            values[number] + after.offset,
            after.way,
            opener,
            extras,
        )

    def _asked(self, prompt: Prompt) -> Situation:
        """What the messages say: the problem, earlier attempts, and what helps."""
        world = self._world
        texts = [(m.role, m.content) for m in prompt.messages] or [("user", prompt.text)]
        chain, first = None, 0
        for number, (role, text) in enumerate(texts):
            found = read_chain(text) if role == "user" else None
            if found is not None and found != chain:
                chain, first = found, number
        if chain is None:
            raise Failed(
                "the simulated world knows only its own problems, such as "
                f"{_EXAMPLE_QUESTION!r}; ask one of them",
                "unserved",
            )
        boost, copies = self._earlier(chain, texts[first:])
        told = "\n".join(text for role, text in texts if role != "assistant")
        boost += world.plan if _PLAN.search(told) else 0.0
        boost += world.examples * math.log2(1 + len(_EXAMPLE.findall(told)))
        boost += sum(_thinking(world, text) for _, text in texts)
        return Situation(chain, Place(), boost, copies)

    def _earlier(self, chain: Chain, texts: list[tuple[str, str]]) -> tuple[float, bool]:
        """What earlier attempts are worth, and whether the last one is right."""
        attempts = [
            read_on(chain, Place(), text) for _, text in texts if FINAL.search(text) is not None
        ]
        if not attempts:
            return 0.0, False
        if attempts[-1].offset == 0:
            return 0.0, True
        boost = self._world.revision
        role, said = texts[-1]
        named = _NAMED.search(said) if role == "user" else None
        attempt = next(text for _, text in reversed(texts) if FINAL.search(text) is not None)
        if named is not None and int(named[1]) == first_error(chain, attempt):
            boost += self._world.feedback
        return boost, False


_EXAMPLE_QUESTION: Final = Chain(0, 0.0, 120, (("add", 7), ("take away", 30))).question


def first_error(chain: Chain, text: str) -> int | None:
    """Number of the first wrong step, from 1; the last one's number plus 1 for the result itself."""
    place = Place()
    for number, piece in enumerate(text.split(SEPARATOR), start=1):
        place = read_on(chain, place, piece)
        if place.offset:
            return place.done if not place.ended else number
    return None


def _doubt(world: ChainWorld, start: int) -> Doubt:
    return (start, world.doubt) if start >= 0 and world.doubt else CERTAIN


def _thinking(world: ChainWorld, text: str) -> float:
    """What the thinking in a message is worth."""
    if not world.thinking or OPENED not in text:
        return 0.0
    return world.thinking_gain(sum(len(found.split()) for found in _THOUGHT.findall(text)))
