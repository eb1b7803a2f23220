"""A world against its closed forms: what formulas expect, and what simulation shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final

from cogitate.core.prompt import Prompt
from cogitate.core.requests import Generate
from cogitate.core.task import Message
from cogitate.rules import Interval, expected_majority, wilson

from .chain import Chain, ChainWorld, apart, chains
from .closed_forms import (
    answer_chances,
    best_of_gaussian,
    coverage,
    majority_of,
    right_chance,
)
from .judging import false_alarms, flawless
from .model import ChainModel
from .policy import first_error
from .solution import FINAL, SEPARATOR, Place, read_on
from .verifiers import step_scores, whole_score

_NORMAL: Final = NormalDist()
_PADDED: Final = 6
"""Idle sentences that tell equal solutions apart, so that each has noise of its own."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One number of a world."""

    name: str
    expected: float
    """By closed form."""
    seen: Interval
    """In simulation."""

    @property
    def agrees(self) -> bool:
        """Whether the closed form lies in the interval."""
        return self.expected in self.seen


@dataclass(frozen=True, slots=True)
class Drawn:
    """Samples of one problem."""

    chain: Chain
    texts: tuple[str, ...]

    @property
    def answers(self) -> list[int]:
        """What each states as its result."""
        return [int(FINAL.findall(text)[-1]) for text in self.texts]

    @property
    def right(self) -> list[bool]:
        """Whether it is the true one."""
        return [answer == self.chain.answer for answer in self.answers]


def drawn(
    world: ChainWorld, problems: int, samples: int, *, seed: int = 0, ask: Callable[[Chain], Prompt] | None = None
) -> list[Drawn]:  # fmt: skip
    """Whole solutions of the first problems of a world, by its policy alone.

    Args:
        world: of chains.
        problems: how many.
        samples: of each.
        seed: of problems and samples.
        ask: makes the prompt; by default the bare question.
    """
    model = ChainModel(world)
    found: list[Drawn] = []
    for chain in chains(world, problems, seed):
        prompt = ask(chain) if ask else Prompt.chat(*chain.task.messages)
        texts = tuple(
            model.write(Generate(prompt, seed=seed * 1_000_003 + i)).text for i in range(samples)
        )
        found.append(Drawn(chain, texts))
    return found


def validated(
    world: ChainWorld, problems: int = 60, samples: int = 40, *, seed: int = 0, confidence: float = 0.95
) -> tuple[Compared, ...]:  # fmt: skip
    """The numbers of a world that have closed forms, each with what a simulation shows.

    Chances differ between problems, so intervals that take all samples for one binomial are a little wide.

    >>> from .presets import preset
    >>> all(one.agrees for one in validated(preset("medium"), 20, 20, confidence=0.999))
    True
    """
    found = drawn(world, problems, samples, seed=seed)
    padded = replace(world, padding=_PADDED)
    many = drawn(padded, problems, samples, seed=seed)

    def share(name: str, expected: float, hits: Sequence[bool]) -> Compared:
        return Compared(name, expected, wilson(sum(hits), len(hits), confidence))

    return (
        *(share(*one) for one in _of_samples(world, found)),
        *(share(*one) for one in _of_sets(world, found)),
        *(share(*one) for one in _of_verifiers(padded, many)),
        *(share(*one) for one in _of_critics(world, found)),
    )


Hits = tuple[str, float, list[bool]]


def _of_samples(world: ChainWorld, found: Sequence[Drawn]) -> Iterator[Hits]:
    """The distribution of one sample's answer."""
    chances = [answer_chances(world, one.chain) for one in found]
    kinds = [[_kind(world, one.chain, text) for text in one.texts] for one in found]
    for name, told in (
        ("right", "pass@1"),
        ("attractor", "answer is the attractor"),
        ("scattered", "answer is scattered"),
        ("dead", "answer of a dead way"),
    ):
        expected = math.fsum(c[name] for c in chances) / len(chances)
        if expected > 0 or name == "right":
            yield told, expected, [kind == name for row in kinds for kind in row]


def _kind(world: ChainWorld, chain: Chain, text: str) -> str:
    place = read_on(chain, Place(), text)
    if place.offset == 0:
        return "right"
    if place.offset == chain.attractor(world):
        return "attractor"
    return "dead" if abs(place.offset) > world.scatter else "scattered"


def _of_sets(world: ChainWorld, found: Sequence[Drawn]) -> Iterator[Hits]:
    """What comes of several samples; each set is of samples that no other set has."""
    size = 5
    sets = [
        (one, range(start, start + size))
        for one in found
        for start in range(0, len(one.texts) - size + 1, size)
    ]
    count = len(found)
    expected = math.fsum(coverage(right_chance(world, one.chain), size) for one in found) / count
    yield f"pass@{size}", expected, [any(one.right[i] for i in held) for one, held in sets]
    expected = math.fsum(expected_vote_share(world, one.chain, size) for one in found) / count
    hits: list[bool] = []
    for number, (one, held) in enumerate(sets):
        right = [one.right[i] for i in held]
        chance = expected_majority([one.answers[i] for i in held], right, size, tie="first").value
        # A tie falls as often as it may: by turns, so that half of the halves are hits.
        hits.append(chance > (number % 12 + 0.5) / 12)
    yield f"majority of {size}", expected, hits


def expected_vote_share(world: ChainWorld, chain: Chain, samples: int) -> float:
    """The chance that a majority of so many samples is right, ties falling alike on all that are tied.

    >>> from .presets import preset
    >>> world = preset("null")
    >>> round(expected_vote_share(world, chains(world, 1)[0], 5), 2)
    0.5
    """
    chances = answer_chances(world, chain)
    others = 2 * world.scatter - 1
    classes = [chances["right"], chances["attractor"]]
    classes += [chances["scattered"] / others] * others if chances["scattered"] else []
    classes += [chances["dead"] / world.dead] * world.dead if world.dead else []
    return majority_of(classes, samples)


def _of_verifiers(world: ChainWorld, found: Sequence[Drawn]) -> Iterator[Hits]:
    """Scores of whole solutions that no other solution equals, without the world's faults; and its judge."""
    plain = replace(world, exploit=0.0, length_bias=0.0)
    alive = [
        (one.chain, [t for t, r in zip(one.texts, one.right, strict=True) if r],
         [t for t, r in zip(one.texts, one.right, strict=True) if not r])
        for one in found
    ]  # fmt: skip
    pairs = [
        (chain, right, wrong)
        for chain, rights, wrongs in alive
        for right, wrong in zip(rights, wrongs, strict=False)
    ]
    if world.verifier in ("noisy", "outcome") and not world.dead:
        scores = [
            (last_score(plain, chain, right), last_score(plain, chain, wrong))
            for chain, right, wrong in pairs
        ]
        # A tie is half a hit: every other one.
        hits = [a > b or (a == b and i % 2 == 0) for i, (a, b) in enumerate(scores)]
        yield "AUC of the verifier", world.auc, hits
        yield from _best_of(plain, found)
    yield (
        "AUC of the judge",
        world.judge_auc,
        [
            whole_score(world, chain, right) > whole_score(world, chain, wrong)
            for chain, right, wrong in pairs
        ],
    )


def _best_of(world: ChainWorld, found: Sequence[Drawn]) -> Iterator[Hits]:
    size = 8
    chances = [best_of_gaussian(right_chance(world, o.chain), world.auc, size, 401) for o in found]
    hits: list[bool] = []
    for one in found:
        scores = [last_score(world, one.chain, text) for text in one.texts]
        for start in range(0, len(scores) - size + 1, size):
            held = range(start, start + size)
            hits.append(one.right[max(held, key=lambda i: scores[i])])
    yield f"best of {size} by score", math.fsum(chances) / len(chances), hits


def last_score(world: ChainWorld, chain: Chain, text: str) -> float:
    """The verifier's score of a solution's last step."""
    return step_scores(world, chain, "", text.split(SEPARATOR))[-1]


def _of_critics(world: ChainWorld, found: Sequence[Drawn]) -> Iterator[Hits]:
    """A critic that reads each solution once."""
    model = ChainModel(world)
    named: list[bool] = []
    caught: list[bool] = []
    for one in found:
        for number, text in enumerate(one.texts):
            asked = Prompt.chat(Message("user", f"{one.chain.question}\n\n{text}"))
            said = model.write(Generate(asked, seed=number, role="critic")).text
            wrong = first_error(one.chain, text)
            blamed = int(said.split()[1]) if said.startswith("Step") else None
            if wrong is not None:
                caught.append(blamed == wrong)
            if blamed is not None:
                named.append(blamed == wrong)
    yield "recall of the critic", world.critic_recall, caught
    if named and world.critic_recall:
        yield "precision of the critic", _precision(world, [one.chain for one in found]), named


def _precision(world: ChainWorld, problems: Sequence[Chain]) -> float:
    """What the critic's precision comes to; where errors are common, right solutions are too few to blame."""
    caught = alarms = 0.0
    for chain in problems:
        clean = flawless(world, chain)
        caught += world.critic_recall * (1 - clean)
        alarms += false_alarms(world, chain) * clean
    return caught / (caught + alarms)


def preference(world: ChainWorld) -> tuple[float, float]:
    """The chances that a judge prefers the right answer of a pair where it stands first, and second.

    >>> preference(ChainWorld(judge_auc=0.8, position_bias=0.0))
    (0.8, 0.8)
    """
    distance = apart(world.judge_auc)
    first, second = (
        _NORMAL.cdf((distance + sign * world.position_bias) / math.sqrt(2)) for sign in (1, -1)
    )
    return round(first, 12), round(second, 12)
