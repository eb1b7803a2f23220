"""Adaptive branching: at every node, draw whether a new child or an old one is worth more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar, cast

from cogitate.core.candidates import Candidate, Critique, Ranking, Score, Unscored, ranked
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.flow import gather, note
from cogitate.core.protocols import Process, Revisable, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.core.templates import template
from cogitate.rules.bandits import (
    UNSEEN,
    Belief,
    Moments,
    NormalBelief,
    Span,
    wider_or_deeper,
)

from ._tree_growth import Sprout, completed, concluded, placed, stepped, stops, tell_tree
from .rollout import Lost, Rollout, judged, lose, rollout
from .schedules import check_count

S = TypeVar("S")


class _Place(Generic[S]):
    """A node with the payments of its three kinds of arms."""

    # Mutable on purpose: it counts for one run. Slots: there are as many as the search has states.
    __slots__ = (
        "belief",
        "believed",
        "below",
        "children",
        "deeper",
        "open",
        "parent",
        "score",
        "sprout",
        "tried",
        "wider",
    )

    def __init__(
        self, sprout: Sprout[S] | None, parent: _Place[S] | None, score: Score | Unscored
    ) -> None:
        self.sprout, self.parent, self.score = sprout, parent, score
        self.children: list[_Place[S]] = []
        self.open = True
        """Whether it may have children."""
        self.tried = 0
        self.wider = Moments()
        """What its children scored when they were made."""
        self.deeper = Moments()
        """What came from below its children."""
        self.below = Moments()
        """What it scored itself, and all that came from below it."""
        self.belief: Belief | None = None
        """The posterior of `below`, while nothing new is told and the range stays."""
        self.believed: Span | None = None

    def arm(self, prior: Belief, span: Span) -> Belief:
        """What is believed of going into this node."""
        if self.belief is None or self.believed is not span:
            self.belief, self.believed = prior.after(self.below.within(span)), span
        return self.belief

    def paid(self, value: float) -> None:
        """A new child of this node scored so much: tell every arm on the way to the root."""
        self.wider = self.wider.and_one(value)
        node = self
        while node.parent is not None:
            node.below, node.belief = node.below.and_one(value), None
            node.parent.deeper = node.parent.deeper.and_one(value)
            node = node.parent


@dataclass
class _Run(Generic[S]):
    """One search under way. Mutable on purpose: it lives for one run."""

    process: Process[S]
    scorer: Scorer[S]
    task: Task
    seed: Seed
    root: _Place[S]
    span: Span
    """The range of the scores; the same object while it does not change."""
    places: list[_Place[S]] = field(default_factory=list["_Place[S]"])
    lost: list[Lost] = field(default_factory=list[Lost])
    ends: list[Candidate[S]] = field(default_factory=list["Candidate[S]"])
    """A line that was taken to its end when all was done."""
    stopped: bool = False


@dataclass(frozen=True)
class AdaptiveBranching:
    """Wider or deeper, by Thompson sampling: no branching factor is given beforehand.

    Each iteration makes one new state. From the root down, a mean is drawn for the arm "a new child of
    this node" and one for the arm "go into an old child", from their posteriors; where the old ones win,
    the child is drawn by its own posterior. A new child's score is told to the first arm of its parent,
    to its own, and on the way up to the second arm and to the child that was gone into. Posteriors are
    exact and closed: see `NormalBelief` and `BetaBelief`.

    With `grow="revise"` children of the root are whole answers, and those of an answer its revisions by
    the critique of its score, for processes that can revise. With `grow="step"` a child is one step more
    of a stepwise process, and the scorer sees partial states: as a step seldom scores better than the
    one before, such trees are wide.

    Scores are brought between 0 and 1 by `bounds`, or by the range seen so far. An equal sibling is no
    new node, but its score counts once more. With `together` above 1 so many are drawn from the same
    posteriors and run at once, in waves: the answer is the same under every driver.

    Publishes `expanded`, `scored`, `lost`, and at the end `tree`.

    Reference:
        @article{inoue2025wider, title={Wider or Deeper? Scaling LLM Inference-Time Compute with Adaptive
        Branching Tree Search}, author={Inoue, Yuichi and Misaki, Kou and Imajuku, Yuki and Kuroki, So and
        Nakamura, Taishi and Akiba, Takuya}, journal={arXiv preprint arXiv:2503.04412}, year={2025}}
    Deviates: the variant with node aggregation (AB-MCTS-A) for one model; scores of any range.

    >>> AdaptiveBranching(iterations=16, grow="step")
    AdaptiveBranching(iterations=16, grow='step', depth=16, prior=NormalBelief(center=0.0, weight=1.0, degrees=1.0, scale=0.1), bounds=None, together=1, distinct=True, finish=True)
    """

    iterations: int = 64
    """States to make."""
    grow: Literal["step", "revise"] = "revise"
    depth: int = 16
    prior: Belief = NormalBelief()  # noqa: RUF009  (frozen, so it may be shared)
    """What every arm is believed to pay at first, between 0 and 1."""
    bounds: tuple[float, float] | None = None
    """The range of the scorer; `None` for what was seen so far."""
    together: int = 1
    distinct: bool = True
    """Leave out siblings with equal states."""
    finish: bool = True
    """Where no line has ended after all iterations, take the best to its end: there is an answer."""

    def __post_init__(self) -> None:
        check_count("iterations", self.iterations)
        check_count("depth", self.depth)
        check_count("together", self.together)
        if self.bounds is not None and not -math.inf < self.bounds[0] < self.bounds[1] < math.inf:
            raise InvalidInput(
                f"bounds={self.bounds} were asked for; give two numbers, the first below the second"
            )
        if not _is_proper(self.prior):
            raise InvalidInput(
                f"the prior {self.prior} was asked for; all of it but a center must lie above 0"
            )

    def states(self) -> int:
        """How many states the scorer will be asked about at most."""
        return self.iterations + (self.finish and self.grow == "step")

    async def __call__(
        self, process: Process[S], scorer: Scorer[S], task: Task, seed: Seed
    ) -> Ranking[S]:
        if self.grow == "revise" and not isinstance(process, Revisable):
            raise InvalidInput(
                f'grow="revise" was asked for, but {type(process).__name__} cannot revise; take a process '
                'that can, such as answer(), or grow="step"'
            )
        begun: Sprout[S] | None = None
        if self.grow == "step":
            try:
                state = await process.start(task, seed.at("sample", 0, "start"))
            except (OutOfBudget, Failed) as error:
                return concluded([], [], [await lose("root", error)], 0)
            if process.done(state):
                [score] = await judged(scorer, task, [state], ["root"])
                return concluded([Candidate(state, score, "root")], [], [], 0)
            begun = Sprout(state, "", seed, 0, done=False)
        root = _Place(begun, None, Unscored("it is the root"))
        span = UNSEEN if self.bounds is None else Span(*self.bounds)
        run = _Run(process, scorer, task, seed, root, span)
        await self._grown(run)
        if self.finish and self.grow == "step" and not run.stopped:
            await _finish(run)
        rows = ((_id(place), place.below) for place in run.places)
        await tell_tree((id, seen.times, seen.mean if seen.times else None) for id, seen in rows)
        return _ranking(run)

    async def _grown(self, run: _Run[S]) -> None:
        made = 0
        while made < self.iterations and not run.stopped:
            asked: list[tuple[_Place[S], int]] = []
            for i in range(made, min(made + self.together, self.iterations)):
                place = self._drawn(run, run.seed.at("choose", i))
                asked.append((place, place.tried))
                place.tried += 1
            made += len(asked)
            found = await gather(*(self._child(run, place, j) for place, j in asked))
            new: list[tuple[_Place[S], Sprout[S]]] = []
            lost: list[Lost] = []
            for (place, _), kid in zip(asked, found, strict=True):
                if isinstance(kid, Lost):
                    lost.append(kid)
                elif isinstance(kid, Sprout):
                    new.append((place, kid))
                else:
                    lost.append(_cut(run, kid))
            run.lost += lost
            run.stopped = stops(await self._settled(run, new), lost)

    def _drawn(self, run: _Run[S], seed: Seed) -> _Place[S]:
        """The node that gets the next child."""
        prior, span, place, level = self.prior, run.span, run.root, 0
        while old := [child for child in place.children if child.open]:
            wider = prior.after(place.wider.within(span))
            deeper = prior.after(place.deeper.within(span))
            arms = [child.arm(prior, span) for child in old]
            chosen = wider_or_deeper(wider, deeper, arms, seed.at(level).int())
            if chosen is None:
                break
            place, level = old[chosen], level + 1
        return place

    async def _child(
        self, run: _Run[S], place: _Place[S], index: int
    ) -> Sprout[S] | Rollout[S] | Lost:
        """A new child; a `Rollout` is a sample that was cut."""
        above = place.sprout
        if above is None:
            sample = await rollout(run.process, run.task, run.seed, index)
            if isinstance(sample, Lost) or sample.cut is not None:
                return sample
            return Sprout(sample.state, sample.id, run.seed.at("sample", index), 1, done=True)
        if self.grow == "step":
            return await stepped(run.process, above.state, above.id, above.line, above.depth, index)
        return await _revised(run.process, above, place.score, index)

    async def _settled(
        self, run: _Run[S], new: Sequence[tuple[_Place[S], Sprout[S]]]
    ) -> Sequence[Score | Unscored]:
        """Score the new states, add them to the tree, and tell every arm; returns what is news."""
        fresh: list[tuple[_Place[S], Sprout[S]]] = []
        twins: list[int | _Place[S]] = []
        for place, kid in new:
            twins.append(self._twin(place, kid, fresh))
            if twins[-1] == len(fresh):
                fresh.append((place, kid))
        scores = await judged(
            run.scorer, run.task, [kid.state for _, kid in fresh], [kid.id for _, kid in fresh]
        )
        for (place, kid), score in zip(fresh, scores, strict=True):
            self._add(run, place, kid, score)
        news = [scores[t] if isinstance(t, int) else t.score for t in twins]
        for (place, _), score in zip(new, news, strict=True):
            if isinstance(score, Score):
                place.paid(score.value)
        return news

    def _twin(
        self, place: _Place[S], kid: Sprout[S], fresh: Sequence[tuple[_Place[S], Sprout[S]]]
    ) -> int | _Place[S]:
        """The sibling that has the same state, as a place or among the new; else its own number."""
        if not self.distinct:
            return len(fresh)
        for child in place.children:
            if child.sprout is not None and child.sprout.state == kid.state:
                return child
        for number, (parent, other) in enumerate(fresh):
            if parent is place and other.state == kid.state:
                return number
        return len(fresh)

    def _add(self, run: _Run[S], place: _Place[S], kid: Sprout[S], score: Score | Unscored) -> None:
        child = _Place(kid, place, score)
        child.open = kid.depth < self.depth and (self.grow == "revise" or not kid.done)
        if isinstance(score, Score):
            child.below = child.below.and_one(score.value)
            if self.bounds is None:
                run.span = run.span.including(score.value)
        place.children.append(child)
        run.places.append(child)


def _is_proper(prior: Belief) -> bool:
    if isinstance(prior, NormalBelief):
        known = (prior.weight, prior.degrees, prior.scale)
        return all(0 < x < math.inf for x in known) and math.isfinite(prior.center)
    return all(0 < x < math.inf for x in (prior.successes, prior.failures))


def _cut(run: _Run[S], sample: Rollout[S]) -> Lost:
    """Keep what a sample has that was cut; nothing grows from it."""
    cut = sample.cut or Lost(sample.id, "failed", "it is unfinished")
    sprout = Sprout(sample.state, sample.id, run.seed, 1, done=False)
    unscored = Unscored(f"it is unfinished: {cut.reason}", cut.cause)
    run.places.append(_Place(sprout, run.root, unscored))
    return cut


async def _revised(
    process: Process[S], above: Sprout[S], score: Score | Unscored, index: int
) -> Sprout[S] | Lost:
    """A revision of a whole answer; publishes `expanded` or `lost`."""
    id, line = placed(above.id, above.line, above.depth, index)
    critique = score.critique if isinstance(score, Score) else None
    told = critique or Critique(template("search", "improve").template)
    here, steps = line.at("revise", above.depth), 0
    try:
        state = await cast(Revisable[S], process).revise(above.state, told, here)
        while not process.done(state):
            state = await process.step(state, here.at("step", steps))
            steps += 1
    except (OutOfBudget, Failed) as error:
        return await lose(id, error)
    await note("expanded", id=id, parent=above.id, depth=above.depth + 1, done=True)
    return Sprout(state, id, line, above.depth + 1, done=True)


async def _finish(run: _Run[S]) -> None:
    leaves = [
        (place.sprout, place.score.value if isinstance(place.score, Score) else -math.inf)
        for place in run.places
        if place.sprout is not None and not place.children
    ]
    if not leaves or any(place.sprout is not None and place.sprout.done for place in run.places):
        return
    end = await completed(run.process, run.scorer, run.task, leaves)
    if isinstance(end, Lost):
        run.lost.append(end)
    else:
        run.ends.append(end)


def _id(place: _Place[S]) -> str:
    return place.sprout.id if place.sprout is not None else ""


def _ranking(run: _Run[S]) -> Ranking[S]:
    finished = list(run.ends)
    taken = {end.parent for end in run.ends}
    partial: list[Candidate[S]] = []
    for place in run.places:
        sprout = place.sprout
        if sprout is None:
            continue
        parent = _id(place.parent) or None if place.parent is not None else None
        candidate = Candidate(sprout.state, place.score, sprout.id, parent)
        if sprout.done:
            finished.append(candidate)
        elif not place.children and sprout.id not in taken:
            partial.append(candidate)
    return concluded(ranked(finished).items, partial, run.lost, len(run.places))
