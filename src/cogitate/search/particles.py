"""Particle filtering: a population that is drawn anew, again and again, where the scores are high."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Generic, Literal, TypeVar

from cogitate.core.candidates import Candidate, Ranking, Score, Unscored, ranked
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.flow import gather, note
from cogitate.core.protocols import Process, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.rules.potentials import Trace

from .rollout import Lost, ending, judged, lose
from .schedules import Schedule, at, check_count
from .select import Selection
from .stages import Resample, Until, log_odds, traced

S = TypeVar("S")


@dataclass(frozen=True)
class _Particle(Generic[S]):
    """A line of the population; its seed goes on for the first copy."""

    state: S
    id: str
    line: Seed
    score: Score | Unscored
    parent: str | None = None
    trace: Trace | None = None
    """`None` until it has a score."""


@dataclass
class _Run(Generic[S]):
    """What one run has so far. Mutable on purpose: it lives for one run."""

    live: list[_Particle[S]] = field(default_factory=list["_Particle[S]"])
    """The population, finished particles and copies among it."""
    gone: list[_Particle[S]] = field(default_factory=list["_Particle[S]"])
    """What left the population: finished and not drawn again, or its next step was lost."""
    lost: list[Lost] = field(default_factory=list[Lost])
    nodes: int = 0


@dataclass(frozen=True)
class Particles:
    """Advance a population step by step, and draw it anew in proportion to how good it looks.

    All particles take a step and are scored; then the stage that holds at this depth decides who goes
    on: `Resample` draws with repetition, any `Selection` keeps the best. Finished particles stay in the population
    with the weight of their last score, and take no more steps. A particle without a score weighs
    nothing beside scored ones; where none has a score, all weigh the same. A particle that is
    lost to a failure makes room for copies of others.

    The population may be a schedule: many particles while they are cheap and hard to tell apart, few
    later. With equal scores and systematic resampling it is plain sampling; the i-th particle of the beginning is the
    i-th sample. The ranking holds every finished particle once; those in the last population have the
    feature `copies`.

    >>> Particles(population=8, depth=16)
    Particles(population=8, depth=16, stages=(Until(depth=1000000, keep=Resample(potential='value', temperature=1.0, method='systematic', below=1.0)),), scale='as_is', rank='score')

    Reference:
        @misc{puri2025probabilistic, title={A Probabilistic Inference Approach to Inference-Time Scaling of
          LLMs using Particle-Based Monte Carlo Methods}, author={Puri, Isha and others}, year={2025},
          eprint={2502.01618}}
    Deviates: particles start from one shared root; the final choice is by score unless `rank` says otherwise.
    """

    population: int | Schedule = 8
    depth: int = 16
    stages: tuple[Until, ...] = (Until(keep=Resample()),)
    """Who goes on, by depth; beyond the last stage everyone does."""
    scale: Literal["as_is", "log_odds"] = "as_is"
    """`log_odds` for scores that are probabilities, as the reference has it."""
    rank: Literal["score", "copies"] = "score"
    """Whether the best is the best-scored, or the one with most copies in the last population."""

    def __post_init__(self) -> None:
        check_count("population", self.population)
        check_count("depth", self.depth)
        ends = [stage.depth for stage in self.stages]
        if any(a >= b for a, b in itertools.pairwise(ends)):
            raise InvalidInput(f"the stages end at {ends}; each must end after the one before")

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        return sum(at(self.population, d) for d in range(self.depth))

    async def __call__(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        run: _Run[S] = _Run()
        try:
            root = await process.start(task, seed.at("sample", 0, "start"))
        except (OutOfBudget, Failed) as error:
            run.lost.append(await lose("root", error))
            return self._ranking(process, run)
        if process.done(root):
            [score] = await judged(scorer, task, [root], ["root"])
            return ranked([Candidate(root, score, "root")])
        lines = (seed.at("sample", i) for i in range(at(self.population, 0)))
        run.live = [_Particle(root, "", line, _NOT_YET) for line in lines]
        for depth in range(self.depth):
            if depth and all(process.done(p.state) for p in run.live):
                break
            if not await self._advanced(process, scorer, task, depth, run):
                break
            await self._drawn(process, seed, depth, run)
        return self._ranking(process, run)

    async def _advanced(
        self, process: Process[S], scorer: Scorer[S], task: Task, depth: int, run: _Run[S]
    ) -> bool:
        """Step and score the unfinished; whether the run goes on."""
        moving = _moving(process, run.live)
        steps = [_stepped(process, run.live[at_], depth, copy) for at_, copy in moving]
        found = await gather(*steps)
        fresh = [p for p in found if not isinstance(p, Lost)]
        run.nodes += len(fresh)
        run.lost += [p for p in found if isinstance(p, Lost)]
        scores = await judged(scorer, task, [p.state for p in fresh], [p.id for p in fresh])
        scored = [
            replace(p, score=score, trace=self._trace(p.trace, score))
            for p, score in zip(fresh, scores, strict=True)
        ]
        refused = [s for s in scores if isinstance(s, Unscored) and ending([s.cause], empty=False)]
        run.lost += [Lost("", s.cause, s.reason) for s in refused[:1]]
        moved = dict(zip((at_ for at_, _ in moving), found, strict=True))
        fine = iter(scored)
        after: list[_Particle[S]] = []
        for number, p in enumerate(run.live):  # in place: order must not depend on who is finished
            if number not in moved:
                after.append(p)
            elif not isinstance(moved[number], Lost):
                after.append(next(fine))
            elif p.id:
                run.gone.append(p)  # its step was lost, and what was paid before is kept
        run.live = after
        return bool(after) and not ending([lost.cause for lost in run.lost], empty=False)

    def _trace(self, past: Trace | None, score: Score | Unscored) -> Trace | None:
        if isinstance(score, Unscored):
            return past
        value = log_odds(score.value) if self.scale == "log_odds" else score.value
        return Trace.first(value) if past is None else past.then(value)

    async def _drawn(self, process: Process[S], seed: Seed, depth: int, run: _Run[S]) -> None:
        """The next population."""
        keep = self._stage(depth)
        if keep is None:
            return
        shown = [Candidate(p, traced(p.score, p.trace), str(i)) for i, p in enumerate(run.live)]
        kept = list(keep(shown, at(self.population, depth + 1), seed.at("select", depth)))
        chosen = [c.state for c in kept]
        ids = {p.id for p in chosen}
        await note("kept", ids=[p.id for p in chosen], depth=depth)
        dropped = dict.fromkeys(p.id for p in run.live if p.id not in ids)
        await note("pruned", ids=list(dropped), depth=depth)
        run.gone += [p for p in run.live if p.id not in ids and process.done(p.state)]
        if [c.id for c in kept] != [c.id for c in shown]:  # else no one was drawn: weights go on
            chosen = [
                replace(p, trace=None if p.trace is None else p.trace.resampled()) for p in chosen
            ]
        run.live = chosen

    def _stage(self, depth: int) -> Selection | None:
        return next((stage.keep for stage in self.stages if depth < stage.depth), None)

    def _ranking(self, process: Process[S], run: _Run[S]) -> Ranking[S]:
        copies = Counter(p.id for p in run.live)
        once = {p.id: p for p in (*run.live, *run.gone) if p.id}
        items = [
            Candidate(p.state, _with_copies(p.score, copies[p.id]), p.id, p.parent)
            for p in once.values()
        ]
        finished = [c for c in items if process.done(c.state)]
        partial = [c for c in items if not process.done(c.state)]
        order = list(ranked(finished).items)
        if self.rank == "copies":
            order.sort(key=lambda c: -copies[c.id])
        said = [f"{len(finished)} finished and {len(partial)} unfinished of {run.nodes} nodes"]
        if run.lost:
            said.append(f"{len(run.lost)} lost ({run.lost[0].reason})")
        stopped = ending([lost.cause for lost in run.lost], empty=not items)
        return Ranking((*order, *ranked(partial).items), stopped, "; ".join(said))


_NOT_YET: Final = Unscored("it has taken no step yet", "abstained")


async def _stepped(
    process: Process[S], parent: _Particle[S], depth: int, copy: int
) -> _Particle[S] | Lost:
    """One more step; publishes `expanded` or `lost`."""
    id = f"{parent.id}.{copy}" if parent.id else str(copy)
    line = parent.line if copy == 0 or not parent.id else parent.line.at("branch", depth, copy)
    try:
        state = await process.step(parent.state, line.at("step", depth))
    except (OutOfBudget, Failed) as error:
        return await lose(id, error)
    done = process.done(state)
    await note("expanded", id=id, parent=parent.id or None, depth=depth + 1, done=done)
    return _Particle(state, id, line, _NOT_YET, parent.id or None, parent.trace)


def _moving(process: Process[S], live: Sequence[_Particle[S]]) -> list[tuple[int, int]]:
    """The places of the unfinished, each with its number among the copies of its particle."""
    copies: Counter[str] = Counter()
    found: list[tuple[int, int]] = []
    for number, p in enumerate(live):
        if not p.id or not process.done(p.state):
            found.append((number, copies[p.id]))
            copies[p.id] += 1
    return found


def _with_copies(score: Score | Unscored, copies: int) -> Score | Unscored:
    if isinstance(score, Unscored) or not copies:
        return score
    return replace(score, features={**score.features, "copies": (float(copies),)})
