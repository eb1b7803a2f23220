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
from cogitate.rules.selection import softmax

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
    owed: float = 0.0
    """Its log-weight from weighings since the last draw."""


@dataclass
class _Run(Generic[S]):
    """What one run has so far. Mutable on purpose: it lives for one run."""

    live: list[_Particle[S]] = field(default_factory=list["_Particle[S]"])
    """The population, finished particles and copies among it."""
    gone: list[_Particle[S]] = field(default_factory=list["_Particle[S]"])
    """What left the population: finished and not drawn again, or its next step was lost."""
    lost: list[Lost] = field(default_factory=list[Lost])
    nodes: int = 0

    @property
    def ended(self) -> bool:
        """Whether something was refused: what is asked next would be refused too."""
        return bool(ending([lost.cause for lost in self.lost], empty=False))


@dataclass(frozen=True)
class Particles:
    """Advance a population step by step, and draw it anew in proportion to how good it looks.

    All particles take a step and are scored; then the stage that holds at this depth decides who goes
    on: `Resample` draws with repetition, any `Selection` keeps the best. Where no stage holds, nobody goes
    and nothing is scored before the end. Finished particles stay in the population with the weight of
    their last score, and take no more steps. A particle without a score weighs nothing beside scored
    ones; where none has a score, no weight changes. A particle that is lost to a failure makes room for
    copies of others.

    The population may be a schedule: many particles while they are cheap and hard to tell apart, few
    later. The i-th particle of the beginning is the i-th sample, and with equal scores and systematic
    resampling, or without stages, it is plain sampling. The ranking holds every finished particle once; those in
    the last population have the features `copies` and `weight`, their share of it.

    >>> Particles(population=8, depth=16)
    Particles(population=8, depth=16, stages=(Until(depth=1000000, keep=Resample(potential='value', temperature=1.0, method='systematic', below=1.0)),), scale='as_is', rank='score')

    Reference:
        @misc{puri2025probabilistic, title={A Probabilistic Inference Approach to Inference-Time Scaling of
          LLMs using Particle-Based Monte Carlo Methods}, author={Puri, Isha and others}, year={2025},
          eprint={2502.01618}}
    Deviates: resamples systematically by default; the final choice is by score unless `rank` says otherwise.
    """

    population: int | Schedule = 8
    depth: int = 16
    stages: tuple[Until, ...] = (Until(keep=Resample()),)
    """Who goes on, by depth; beyond the last stage everyone does."""
    scale: Literal["as_is", "log_odds"] = "as_is"
    """`log_odds` for scores that are probabilities, as the reference has it; others count as no score."""
    rank: Literal["score", "copies"] = "score"
    """Whether the best is the best-scored, or the one with most weight in the last population."""

    def __post_init__(self) -> None:
        check_count("population", self.population)
        check_count("depth", self.depth)
        ends = [stage.depth for stage in self.stages]
        if any(a >= b for a, b in itertools.pairwise(ends)):
            raise InvalidInput(f"the stages end at {ends}; each must end after the one before")

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        asked, waiting, size = 0, 0, at(self.population, 0)
        for depth in range(self.depth):
            waiting += size
            if self._stage(depth) is not None:
                asked, waiting, size = asked + waiting, 0, at(self.population, depth + 1)
        # where no stage holds, a line is scored once, at its end
        return asked + min(waiting, size)

    async def __call__(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        run: _Run[S] = _Run()
        count = at(self.population, 0)
        begun = await gather(*(_begun(process, task, seed, i) for i in range(count)))
        _sort(run, begun)
        for depth in range(self.depth):
            if (depth and run.ended) or all(process.done(p.state) for p in run.live):
                break
            await self._advanced(process, depth, run)
            keep = self._stage(depth)
            if keep is not None:
                await self._scored(scorer, task, run, _waiting(run))
                if run.live and not run.ended:
                    await self._drawn(process, keep, seed, depth, run)
        last = [i for i in _waiting(run) if process.done(run.live[i].state)]
        await self._scored(scorer, task, run, last)
        return self._ranking(process, run)

    async def _advanced(self, process: Process[S], depth: int, run: _Run[S]) -> None:
        """One step for each unfinished particle, in its place: order must not depend on who is finished."""
        moving = _moving(process, run.live)
        found = await gather(
            *(_stepped(process, run.live[place], depth, copy) for place, copy in moving)
        )
        moved = dict(zip((place for place, _ in moving), found, strict=True))
        if depth:  # what was paid before is kept
            run.gone += [run.live[place] for place, one in moved.items() if isinstance(one, Lost)]
        run.nodes += sum(not isinstance(one, Lost) for one in found)
        _sort(run, [moved.get(place, p) for place, p in enumerate(run.live)])

    async def _scored(
        self, scorer: Scorer[S], task: Task, run: _Run[S], places: Sequence[int]
    ) -> None:
        """Score the particles at these places."""
        asked = [run.live[place] for place in places]
        scores = await judged(scorer, task, [p.state for p in asked], [p.id for p in asked])
        for place, p, score in zip(places, asked, scores, strict=True):
            trace = self._trace(p.trace, score)
            run.live[place] = replace(p, score=score, trace=trace)
        refused = [s for s in scores if isinstance(s, Unscored) and ending([s.cause], empty=False)]
        run.lost += [Lost("", s.cause, s.reason) for s in refused[:1]]

    def _trace(self, past: Trace | None, score: Score | Unscored) -> Trace | None:
        value = self._weighable(score)
        if value is None:
            return past
        return Trace.first(value) if past is None else past.then(value)

    def _weighable(self, score: Score | Unscored) -> float | None:
        if isinstance(score, Unscored):
            return None
        if self.scale == "as_is":
            return score.value
        return log_odds(score.value) if 0 <= score.value <= 1 else None

    async def _drawn(
        self, process: Process[S], keep: Selection, seed: Seed, depth: int, run: _Run[S]
    ) -> None:
        """The next population."""
        chooser, size = seed.at("select", depth), at(self.population, depth + 1)
        if isinstance(keep, Resample):
            chosen = self._resampled(keep, size, chooser, run)
        else:
            shown = [Candidate(p, traced(p.score, p.trace), p.id, p.parent) for p in run.live]
            chosen = [c.state for c in keep(shown, size, chooser)]
        ids = dict.fromkeys(p.id for p in chosen)
        await note("kept", ids=[p.id for p in chosen], depth=depth)
        dropped = dict.fromkeys(p.id for p in run.live if p.id not in ids)
        await note("pruned", ids=list(dropped), depth=depth)
        run.gone += [p for p in run.live if p.id not in ids and process.done(p.state)]
        run.live = chosen

    def _resampled(self, keep: Resample, size: int, seed: Seed, run: _Run[S]) -> list[_Particle[S]]:
        """Weigh everyone, and draw where it is time to."""
        shown = [Candidate(p, self._shown(p, run), p.id) for p in run.live]
        weights = keep.log_weights(shown, [p.owed for p in run.live])
        weighed = [
            replace(p, owed=weight, trace=p.trace and p.trace.weighed())
            if isinstance(c.score, Score)
            else replace(p, owed=weight)
            for p, c, weight in zip(run.live, shown, weights, strict=True)
        ]
        drawn = keep.drawn(weights, size, seed)
        return weighed if drawn is None else [replace(weighed[i], owed=0.0) for i in drawn]

    def _shown(self, p: _Particle[S], run: _Run[S]) -> Score | Unscored:
        """The score and the past, as they are weighed."""
        if isinstance(p.score, Unscored) or self._weighable(p.score) is not None:
            return traced(p.score, p.trace)
        reason = f"the score {p.score.value:g} is no probability: give scale='as_is'"
        if not any(lost.cause == "form" for lost in run.lost):  # said once
            run.lost.append(Lost("", "form", reason))
        return Unscored(reason, "form")

    def _stage(self, depth: int) -> Selection | None:
        return next((stage.keep for stage in self.stages if depth < stage.depth), None)

    def _ranking(self, process: Process[S], run: _Run[S]) -> Ranking[S]:
        copies = Counter(p.id for p in run.live)
        weights: dict[str, float] = {}
        for p, weight in zip(run.live, softmax([p.owed for p in run.live]), strict=True):
            weights[p.id] = weights.get(p.id, 0.0) + weight
        once = {p.id: p for p in (*run.live, *run.gone)}
        items = [
            Candidate(
                p.state, _placed(p.score, copies[p.id], weights.get(p.id, 0.0)), p.id, p.parent
            )
            for p in once.values()
        ]
        finished = [c for c in items if process.done(c.state)]
        partial = [c for c in items if not process.done(c.state)]
        order = list(ranked(finished).items)
        if self.rank == "copies":
            order.sort(key=lambda c: -weights.get(c.id, 0.0))
        said = [f"{len(finished)} finished and {len(partial)} unfinished of {run.nodes} nodes"]
        if run.lost:
            said.append(f"{len(run.lost)} lost ({run.lost[0].reason})")
        stopped = ending([lost.cause for lost in run.lost], empty=not items)
        return Ranking((*order, *ranked(partial).items), stopped, "; ".join(said))


_NOT_YET: Final = Unscored("it was not asked about while it was unfinished", "abstained")


async def _begun(process: Process[S], task: Task, seed: Seed, index: int) -> _Particle[S] | Lost:
    """The beginning of sample `index`; publishes `expanded` only where it is its end too."""
    id, line = str(index), seed.at("sample", index)
    try:
        state = await process.start(task, line.at("start"))
    except (OutOfBudget, Failed) as error:
        return await lose(id, error)
    if process.done(state):
        await note("expanded", id=id, parent=None, depth=0, done=True)
    return _Particle(state, id, line, _NOT_YET)


async def _stepped(
    process: Process[S], parent: _Particle[S], depth: int, copy: int
) -> _Particle[S] | Lost:
    """One more step; publishes `expanded` or `lost`. The first step makes the particle that began."""
    id = f"{parent.id}.{copy}" if depth else parent.id
    above = parent.id if depth else None
    line = parent.line if copy == 0 else parent.line.at("branch", depth, copy)
    try:
        state = await process.step(parent.state, line.at("step", depth))
    except (OutOfBudget, Failed) as error:
        return await lose(id, error)
    await note("expanded", id=id, parent=above, depth=depth + 1, done=process.done(state))
    return _Particle(state, id, line, _NOT_YET, above, parent.trace, parent.owed)


def _sort(run: _Run[S], found: Sequence[_Particle[S] | Lost]) -> None:
    """The population that is left, and what was lost."""
    run.live = [p for p in found if not isinstance(p, Lost)]
    run.lost += [p for p in found if isinstance(p, Lost)]


def _waiting(run: _Run[S]) -> list[int]:
    """The places of those that no one has judged yet."""
    return [place for place, p in enumerate(run.live) if p.score is _NOT_YET]


def _moving(process: Process[S], live: Sequence[_Particle[S]]) -> list[tuple[int, int]]:
    """The places of the unfinished, each with its number among the copies of its particle."""
    copies: Counter[str] = Counter()
    found: list[tuple[int, int]] = []
    for number, p in enumerate(live):
        if not process.done(p.state):
            found.append((number, copies[p.id]))
            copies[p.id] += 1
    return found


def _placed(score: Score | Unscored, copies: int, weight: float) -> Score | Unscored:
    if isinstance(score, Unscored) or not copies:
        return score
    placed = {"copies": (float(copies),), "weight": (weight,)}
    return replace(score, features={**score.features, **placed})
