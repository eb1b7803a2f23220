"""Refinement: score an answer, revise it by what the scorer says is wrong, and go on from the better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Generic, Literal, TypeVar

from cogitate.core.candidates import Ranking, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.flow import gather, note
from cogitate.core.protocols import Process, RevisableProcess, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task

from ._succession import Verdicts, cause, follow, judges_alone, refused, told
from .revision import LOOK_AGAIN, check_revisable
from .rollout import Lost, Rollout, rollout
from .schedules import check_count

S = TypeVar("S")

ACCEPT = ("better", "newest", "last")


@dataclass(eq=False)
class _Line(Generic[S]):
    """One line of answers, as far as it came."""

    # Mutable on purpose: where one run stands.
    seed: Seed
    samples: list[Rollout[S] | Lost] = field(default_factory=list["Rollout[S] | Lost"])
    parents: dict[str, str] = field(default_factory=dict[str, str])
    at: Rollout[S] | None = None
    """The answer that is revised next."""
    over: bool = False
    decided: bool = False
    """Whether it ended because its answer was good enough, or did not change."""


@dataclass(frozen=True)
class Refinement:
    """Revise each of `width` answers up to `rounds` times, by the critique that comes with its score.

    Scorers that give no critique still say which of two answers is better; the process is then told to
    look again. With `accept="better"` a revision takes the place of its answer only if its score is
    higher; with "newest" it always does, and the best ever is the answer; with "last" it always
    does, and each line's last answer alone is ranked. A line ends where its score reaches `good_enough`, or
    where a revision says the same again. Lines go on independently of each other, unless the scorer compares
    answers: then it is asked each round about all so far. `rounds` = 0 is exactly best-of-N.

    >>> Refinement(rounds=2, width=4, good_enough=0.9).states()
    12

    Reference:
        @article{xi2024enhancing,
          title={Enhancing LLM Reasoning via Critique Models with Test-Time and Training-Time Supervision},
          author={Xi, Zhiheng and others},
          journal={arXiv preprint arXiv:2411.16579},
          year={2024}
        }

    Deviates: one scorer gives both the critique and the score.
    """

    rounds: int = 3
    width: int = 1
    accept: Literal["better", "newest", "last"] = "better"
    good_enough: float | None = None
    """The score at which a line ends."""
    stop_unchanged: bool = True
    """End a line whose revision has the same answer, or the same text where there is none."""

    def __post_init__(self) -> None:
        check_count("width", self.width)
        if self.rounds < 0:
            raise InvalidInput(f"rounds={self.rounds} was asked for; it must be at least 0")
        if self.accept not in ACCEPT:
            raise InvalidInput(
                f"accept={self.accept!r} was asked for; it is one of {', '.join(ACCEPT)}"
            )
        if self.good_enough is not None and math.isnan(self.good_enough):
            raise InvalidInput("good_enough is not a number; give a score, or None")

    def states(self) -> int:
        """How many states the scorer will be asked about; one that compares is asked about some again."""
        return self.width * (self.rounds + 1)

    async def __call__(
        self, process: RevisableProcess[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        check_revisable(process)
        lines: list[_Line[S]] = [_Line(seed.at("sample", i)) for i in range(self.width)]
        alone = judges_alone(scorer)
        groups = [[i] for i in range(self.width)] if alone else [list(range(self.width))]
        runs = [Verdicts(scorer, task, alone) for _ in groups]
        await gather(
            *(
                self._refined(process, run, seed, {i: lines[i] for i in group})
                for run, group in zip(runs, groups, strict=True)
            )
        )
        scores = {id: score for run in runs for id, score in run.scores.items()}
        return await self._ranking(lines, scores)

    async def _refined(
        self, process: RevisableProcess[S], run: Verdicts[S], seed: Seed, lines: dict[int, _Line[S]]
    ) -> None:
        """All rounds of some lines, in step."""
        firsts = await gather(*(rollout(process, run.task, seed, i) for i in lines))
        await self._taken(process, run, list(lines.values()), firsts)
        for number in range(1, self.rounds + 1):
            going = {i: line for i, line in lines.items() if not line.over}
            later = await gather(
                *(self._revised(process, run, i, line, number) for i, line in going.items())
            )
            await self._taken(process, run, list(going.values()), later)

    async def _revised(
        self,
        process: RevisableProcess[S],
        run: Verdicts[S],
        index: int,
        line: _Line[S],
        number: int,
    ) -> Rollout[S] | Lost:
        now = line.at
        assert now is not None  # a line without an answer is over
        score, seed, id = run.scores[now.id], line.seed.at("revise", number), f"{index}.{number}"
        critique = score.critique if isinstance(score, Score) else None
        make = partial(process.revise, now.state, critique or LOOK_AGAIN, seed)
        line.parents[id] = now.id
        return await follow(process, make, seed, id, now.id)

    async def _taken(
        self,
        process: Process[S],
        run: Verdicts[S],
        lines: Sequence[_Line[S]],
        samples: Sequence[Rollout[S] | Lost],
    ) -> None:
        """Score the new answers of a round and move each line on, or end it."""
        await run.add([s for s in samples if isinstance(s, Rollout) and s.cut is None])
        for line, new in zip(lines, samples, strict=True):
            line.samples.append(new)
            if isinstance(new, Lost) or new.cut is not None:
                line.over = line.at is None or refused([cause(new)])
                continue
            old, score = line.at, run.scores[new.id]
            risen = old is None or _value(score) > _value(run.scores[old.id])
            if risen or self.accept != "better":
                line.at = new
            same = old is not None and self.stop_unchanged and await _same(process, old, new)
            reached = self.good_enough is not None and _value(score) >= self.good_enough
            line.decided = same or reached
            line.over = line.decided or (isinstance(score, Unscored) and refused([score.cause]))

    async def _ranking(
        self, lines: Sequence[_Line[S]], scores: dict[str, Score | Unscored]
    ) -> Ranking[S]:
        samples = [sample for line in lines for sample in line.samples]
        tried = len(samples)
        parents = {id: parent for line in lines for id, parent in line.parents.items()}
        if self.accept == "last" and self.rounds:
            last = {line.at.id for line in lines if line.at is not None}
            whole = [s.id for s in samples if isinstance(s, Rollout) and s.cut is None]
            await note("kept", ids=[id for id in whole if id in last], depth=self.rounds)
            await note("pruned", ids=[id for id in whole if id not in last], depth=self.rounds)
            samples = [s for s in samples if isinstance(s, Lost) or s.cut or s.id in last]
        given = [scores[s.id] for s in samples if isinstance(s, Rollout) and s.cut is None]
        ranking = told(samples, given, parents, asked=tried)
        early = self.rounds > 0 and all(line.decided for line in lines)
        return replace(ranking, stopped=ranking.stopped or ("decided" if early else ""))


def _value(score: Score | Unscored) -> float:
    return score.value if isinstance(score, Score) else float("-inf")


async def _same(process: Process[S], old: Rollout[S], new: Rollout[S]) -> bool:
    """Whether two answers say the same; what cannot be seen counts as a change."""
    try:
        one, two = await gather(process.render(old.state), process.render(new.state))
    except (OutOfBudget, Failed):
        return False
    if one.answer is not None or two.answer is not None:
        return one.answer == two.answer
    return one.text == two.text and one.blob == two.blob
