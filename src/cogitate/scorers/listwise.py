"""A language model compares candidates in lists: blocks, each in several orders, up to a final."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.flow import gather
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Completion, Generate, Sampling
from cogitate.core.seeds import Seed
from cogitate.core.task import Message, Task
from cogitate.core.usage import Budget

from ._asking import last_match, mark_for, prompt_file, question_of, quoted
from .judge import CRITERIA, GREEDY

_FORM = re.compile(
    r"[*_#\s]*ranking[*_\s]*[:=][*_\s]*(\d+(?:\s*[>,]\s*\d+)*)[*_.\s]*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Standing:
    """How far a text came."""

    stage: int
    share: float
    """Share of the comparisons won in its last block."""
    compared: int


@dataclass(frozen=True)
class ListwiseJudge:
    """A judge model that ranks candidates against each other.

    Up to `block` candidates go into one prompt. More are cut into blocks, the better half of each goes on,
    and so forth until the rest fit into one final. Each block is ranked in `orders` orders, every
    second one the reverse of the one before, and the ranks are averaged, because judges prefer
    places. Candidates are laid out by their content, so the outcome does not depend on the order
    in which they came; equal texts are one entry.

    `Score.value` is the standing on [0, 1]: the stage reached plus the share of comparisons won in it,
    over the number of stages. A ranking that is not a permutation is asked for again at most
    `attempts` - 1 times. Where a whole block stays without one, its candidates keep the standing
    of the stage before, and are `Unscored` in the first. Features: `stage`, `compared`.

    >>> ListwiseJudge(block=4).reserve(4)
    Budget(tokens_out=512, calls=2)
    """

    criteria: str = CRITERIA
    block: int = 5
    orders: int = 2
    attempts: int = 2
    max_tokens: int = 256
    sampling: Sampling = GREEDY
    seed: int = 0
    role: str = "judge"

    def __post_init__(self) -> None:
        if self.block < 2:
            raise InvalidInput(
                f"blocks of {self.block} were asked for; a comparison needs at least 2"
            )
        if self.orders < 1 or self.attempts < 1 or self.max_tokens < 1:
            raise InvalidInput("orders, attempts and max_tokens of a judge must be at least 1")

    def reserve(self, states: int) -> Budget | None:
        """All blocks up to the final, each reply half as long as it may be, and one ceiling."""
        calls = 0
        while states > 1:
            sizes = [len(b) for b in _blocks(list(range(states)), self.block)]
            calls += self.orders * sum(size > 1 for size in sizes)
            states = 0 if len(sizes) == 1 else sum((size + 1) // 2 for size in sizes)
        return Budget(calls=calls, tokens_out=calls * self.max_tokens // 2 + self.max_tokens)

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        players = sorted({a.said for a in states})
        if len(players) == 1:
            return [Score(1.0, features={"stage": (0.0,), "compared": (0.0,)})] * len(states)
        standing: dict[str, _Standing] = {}
        dead: dict[str, Unscored] = {}
        stage = 0
        while len(players) > 1:
            order = Seed(self.seed).at("listwise", stage)
            shuffled = order.rng().sample(players, len(players))
            blocks = _blocks(shuffled, self.block)
            ranked = await gather(
                *(self._block(task, block, order.at(i)) for i, block in enumerate(blocks))
            )
            players = list[str]()
            for block, shares in zip(blocks, ranked, strict=True):
                if isinstance(shares, Unscored):
                    dead.update(dict.fromkeys(block, shares))
                    continue
                for text in block:
                    standing[text] = _Standing(stage, shares[text], len(block) - 1)
                best = sorted(block, key=lambda text, won=shares: (-won[text], text))
                players += best[: (len(block) + 1) // 2] if len(blocks) > 1 else []
            players.sort()
            stage += 1
        return [_score(a.said, standing, dead, stage) for a in states]

    async def _block(
        self, task: Task, block: Sequence[str], seed: Seed
    ) -> dict[str, float] | Unscored:
        """The share of comparisons that each text of the block won, over all orders."""
        if len(block) == 1:
            return {block[0]: 1.0}
        orders = [list(block) if i % 2 == 0 else list(block)[::-1] for i in range(self.orders)]
        for i in range(2, self.orders, 2):
            orders[i] = seed.at("order", i).rng().sample(list(block), len(block))
            if i + 1 < self.orders:
                orders[i + 1] = orders[i][::-1]
        found = await gather(*(self._ask(task, o, seed.at("ask", i)) for i, o in enumerate(orders)))
        rankings = [r for r in found if not isinstance(r, Unscored)]
        if not rankings:
            return next(r for r in found if isinstance(r, Unscored))
        below = len(block) - 1
        return {
            text: fsum((below - r.index(text)) / below for r in rankings) / len(rankings)
            for text in block
        }

    async def _ask(self, task: Task, shown: list[str], seed: Seed) -> list[str] | Unscored:
        """The texts from best to worst."""
        prompt = self._prompt(task, shown)
        example = " > ".join(str(i) for i in range(len(shown), 0, -1))
        again = prompt_file("listwise_judge_again").substitute(count=len(shown), example=example)
        try:
            for attempt in range(self.attempts):
                reply = await Generate(
                    prompt,
                    seed.at(attempt).int(),
                    max_tokens=self.max_tokens,
                    sampling=self.sampling,
                    role=self.role,
                )
                places = _read(reply, len(shown))
                if places is not None:
                    return [shown[i] for i in places]
                if reply.text.strip():
                    prompt = prompt.turn(Message("assistant", reply.text)).turn(
                        Message("user", again)
                    )
        except (Failed, OutOfBudget) as error:
            return Unscored.because(error)
        return Unscored(
            f"the judge gave no ranking in the form asked for, in {self.attempts} replies", "form"
        )

    def _prompt(self, task: Task, shown: list[str]) -> Prompt:
        question, texts = quoted(question_of(task)), [quoted(text) for text in shown]
        mark = mark_for(question, *texts)
        answers = "\n\n".join(
            f"[[answer {i} {mark}]]\n{text}\n[[end of answer {i} {mark}]]"
            for i, text in enumerate(texts, start=1)
        )
        text = prompt_file("listwise_judge").substitute(
            mark=mark,
            question=question,
            answers=answers,
            criteria=self.criteria,
            count=len(shown),
            example=" > ".join(str(i) for i in range(len(shown), 0, -1)),
        )
        return Prompt.chat(Message("user", text))


def _blocks(items: list[str] | list[int], size: int) -> list[list[str]]:
    """As few blocks as will do, of sizes that differ by at most one."""
    count = -(-len(items) // size)
    return [[str(x) for x in items[i::count]] for i in range(count)]


def _read(reply: Completion, count: int) -> list[int] | None:
    found = last_match(reply, _FORM)
    if found is None:
        return None
    places = [int(number[:9]) - 1 for number in re.findall(r"\d+", found[1])]
    return places if sorted(places) == list(range(count)) else None


def _score(
    text: str, standing: dict[str, _Standing], dead: dict[str, Unscored], stages: int
) -> Score | Unscored:
    found = standing.get(text)
    if found is None:
        return dead[text]
    value = (found.stage + found.share) / stages
    features = {"stage": (float(found.stage),), "compared": (float(found.compared),)}
    return Score(value, features=features)
