"""Paper 12, reward-aware compute-optimal scaling: the verifier decides whether search pays."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cogitate.core.candidates import Artifact, Candidate, Ranking, Score, Unscored, ranked
from cogitate.core.flow import gather
from cogitate.core.protocols import Process, Scorer, Strategy
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.drive import run
from cogitate.engines.grading import Grader
from cogitate.lab.worlds import ChainWorld, chains, preset, right_chance
from cogitate.processes import Answer, Reasoning
from cogitate.rules import Interval, aggregate, bootstrap, level
from cogitate.scorers import STEP_VOTES, Majority, ProcessReward, step_vote
from cogitate.search import BeamSearch, BestOf, DiverseTreeSearch, Lookahead, Solve

from .claim import Fault, Observed, Setting, exact, planned, statistical
from .trials import Constant, Trial, lead, shown, trial, tried, world_of

PRM: Final = ProcessReward()
VOTE: Final = step_vote("prm_last_vote", PRM)


def best_of_n(n: int, rule: str = "prm_last_vote") -> Strategy:
    """Best-of-N under one of the seven rules."""
    return Solve(Answer(), step_vote(rule, PRM), BestOf(n))


def beam(n: int, branch: int = 4) -> Strategy:
    """Beam search with n candidates a depth; equal siblings count once, and n / branch are left."""
    return Solve(Reasoning(), PRM, BeamSearch(width=n // branch, branch=branch), VOTE)


def diverse(n: int, branch: int = 4) -> Strategy:
    """Diverse verifier tree search with n / branch trees, whose answers are pooled and voted on."""
    return Solve(Reasoning(), PRM, DiverseTreeSearch(trees=n // branch, branch=branch), VOTE)


def vote(n: int) -> Strategy:
    """Majority over n samples."""
    return Solve(Answer(), Majority(), BestOf(n))


def one() -> Strategy:
    """One chain of thought."""
    return Solve(Reasoning(), PRM, BestOf(1))


def _texts(found: Trial) -> list[list[str]]:
    return [sorted(c.state.text for c in ranking.items) for ranking in found.rankings]


@exact(
    "sampling does not depend on the verifier, search does",
    "BoN output set is identical for any PRM (same seed); beam and DVTS outputs change",
    items=(1,),
)
def reward_aware(setting: Setting) -> Observed:
    """On two presets that differ in the verifier alone; few texts are to be had, so some sets agree by chance."""
    count = setting.size(60, 20)
    told: dict[str, int] = {}
    for name, strategy in (("best-of-16", best_of_n(16)), ("beam", beam(4)), ("DVTS", diverse(16))):
        first, second = (
            _texts(trial(strategy, preset(p), count)) for p in ("medium", "misleading_verifier")
        )
        told[name] = sum(a != b for a, b in zip(first, second, strict=True))
    return Observed(
        told["best-of-16"] == 0 and min(told["beam"], told["DVTS"]) > count / 4,
        f"problems of {count} with other candidates under another verifier: {told}",
        n=count,
    )


@exact(
    "with N = M = 1 every method is one chain",
    "N = M = 1 for every method reduces to one sampled chain",
    items=(2,),
)
def one_chain(setting: Setting) -> Observed:
    world, count = preset("medium"), setting.size(60, 20)
    plain = _texts(trial(one(), world, count))
    methods: dict[str, Strategy] = {
        "beam": beam(1, 1),
        "DVTS": diverse(1, 1),
        "lookahead": Solve(Reasoning(), PRM, Lookahead(BeamSearch(1, 1), 1), VOTE),
        "every rule": Solve(Reasoning(), step_vote("prm_min_max", PRM), BestOf(1)),
    }
    differ = {
        name: sum(a != b for a, b in zip(_texts(trial(s, world, count)), plain, strict=True))
        for name, s in methods.items()
    }
    return Observed(not any(differ.values()), f"of {count} problems differ: {differ}", n=count)


class _Greedy:
    """Of M next steps the best goes on: the search written out once more, for comparison."""

    def __init__(self, branch: int, first: int = 0) -> None:
        self._branch, self._first = branch, first

    async def __call__(
        self, process: Process[Any], scorer: Scorer[Any], task: Task, seed: Seed
    ) -> Ranking[Any]:
        state, line, depth = await process.start(task, seed), seed, 0
        while not process.done(state):
            lines = [line.at("sample", self._first + i) for i in range(self._branch)]
            if depth:
                lines = [line, *(line.at("branch", depth, i) for i in range(1, self._branch))]
            found = await gather(*(process.step(state, one.at("step", depth)) for one in lines))
            scores = await scorer(task, found)
            values = [s.value if isinstance(s, Score) else -math.inf for s in scores]
            best = max(range(len(found)), key=values.__getitem__)
            state, line, depth = found[best], lines[best], depth + 1
        return ranked([Candidate(state, (await scorer(task, [state]))[0])])


@exact(
    "with N = M beam, DVTS and greedy step-wise best-of-M are one",
    "beam with N=M equals DVTS with N=M equals greedy step-wise best-of-M",
    items=(2,),
)
def greedy(setting: Setting) -> Observed:
    world, count = preset("medium"), setting.size(60, 20)
    written: Strategy = Solve(Reasoning(), PRM, _Greedy(4), VOTE)
    found = [
        _texts(t)
        for t in (
            trial(beam(4), world, count),
            trial(diverse(4), world, count),
            tried(written, world, chains(world, count)),
        )
    ]
    differ = [sum(a != b for a, b in zip(found[0], other, strict=True)) for other in found[1:]]
    return Observed(
        differ == [0, 0],
        f"of {count} problems DVTS differs from beam on {differ[0]}, the plain loop on {differ[1]}",
        n=count,
    )


class _Apart:
    """Such searches beside each other, each on samples of its own."""

    def __init__(self, trees: int, branch: int) -> None:
        self._searches = [_Greedy(branch, tree * branch) for tree in range(trees)]

    async def __call__(
        self, process: Process[Any], scorer: Scorer[Any], task: Task, seed: Seed
    ) -> Ranking[Any]:
        found = [await search(process, scorer, task, seed) for search in self._searches]
        return ranked([candidate for one in found for candidate in one.items])


@exact(
    "DVTS is independent beams of M, pooled",
    "DVTS(N) = N/M independent beam(M,M) runs: equality under shared seeds",
    items=(3,),
)
def independent(setting: Setting) -> Observed:
    world, count = preset("medium"), setting.size(60, 20)
    whole = trial(diverse(16), world, count)
    apart = tried(Solve(Reasoning(), PRM, _Apart(4, 4), VOTE), world, chains(world, count))
    differ = sum(a != b for a, b in zip(_texts(whole), _texts(apart), strict=True))
    differ += sum(a != b for a, b in zip(whole.answers, apart.answers, strict=True))
    same = whole.roles["policy"].tokens_out == apart.roles["policy"].tokens_out
    return Observed(
        differ == 0 and same,
        f"{differ} differences in {count} problems; equal cost: {same}",
        n=count,
    )


@exact(
    "a constant verifier says nothing",
    "constant PRM: PRM-Vote equals majority; PRM-Max returns the first",
    items=(4,),
)
def constant(setting: Setting) -> Observed:
    world, count = preset("medium"), setting.size(100, 30)
    problems, blind = chains(world, count), Constant(0.5)

    def answers(rule: str) -> tuple[str | None, ...]:
        return tried(best_of_n(8, rule), world, problems, verifier=blind).answers

    samples = tried(Solve(Answer(), PRM, BestOf(8)), world, problems, verifier=blind)
    firsts = tuple(
        next(c.state.answer for c in sorted(r.items, key=lambda c: int(c.id)) if c.state.answer)
        for r in samples.rankings
    )
    plain = answers("majority_vote")
    wrong = dict.fromkeys(STEP_VOTES, 0)
    for rule in STEP_VOTES:
        wanted = firsts if rule.endswith("max") else plain
        wrong[rule] = sum(a != b for a, b in zip(answers(rule), wanted, strict=True))
    return Observed(
        not any(wrong.values()),
        f"of {count} problems decided otherwise, by rule: {wrong}",
        n=count,
    )


@exact(
    "a constant verifier prunes at random",
    "constant PRM: beam equals random pruning",
    items=(4,),
)
def prunes_at_random(setting: Setting) -> Observed:
    """What is left is as good as one sample: its accuracy lies at the closed form of pass@1."""
    world, count = preset("medium"), setting.size(800, 200)
    problems = chains(world, count)
    plain = Solve(Reasoning(), PRM, BeamSearch(4, 4, distinct=False))
    found = tried(plain, world, problems, verifier=Constant(0.5)).accuracy
    wanted = math.fsum(right_chance(world, p) for p in problems) / count
    return Observed(
        wanted in found,
        f"beam {shown(found)}, pass@1 in closed form {wanted:.3f}",
        (found.low, found.high),
        count,
        (0,),
    )


def _comparison(
    setting: Setting,
    better: Strategy,
    worse: Strategy,
    said: str,
    sizes: tuple[int, int] = (150, 80),
) -> Observed:
    """Holds where the first is more often right than the second beyond doubt."""
    world, count, seeds = world_of(setting), setting.size(*sizes), (0, 1)
    first, second = trial(better, world, count, seeds), trial(worse, world, count, seeds)
    found = lead(first, second)
    return Observed(
        found.low > 0,
        f"{said}: {first.accuracy.value:.3f} and {second.accuracy.value:.3f}, lead {shown(found)}",
        (found.low, found.high),
        len(first.right),
        seeds,
    )


@statistical(
    "with an oracle search beats sampling",
    "oracle PRM (true reachability): beam ≥ BoN at equal N",
    items=(5,),
    preset="perfect_verifier",
    null="null",
    rejects="best-of-N is at least as good as beam search at N = 4",
    region=({"skill": 1.0}, {"skill": 3.0}, {"repair": 0.3}),
)
def oracle(setting: Setting) -> Observed:
    return _comparison(setting, beam(4), best_of_n(4), "N = 4, beam and best-of-N")


@statistical(
    "a misleading verifier turns the order round",
    "with an inverted PRM beam falls below BoN and below majority",
    items=(5,),
    preset="misleading_verifier",
    null="perfect_verifier",
    rejects="beam search is at least as good as best-of-N or as majority at N = 16",
    region=({"auc": 0.2}, {"auc": 0.5}, {"auc": 0.7}, {"auc": 0.9}, {"auc": 0.99}),
)
def misled(setting: Setting) -> Observed:
    pair = [
        _comparison(setting, rival, beam(16), f"N = 16, {name} and beam", (60, 40))
        for name, rival in (("best-of-N", best_of_n(16)), ("majority", vote(16)))
    ]
    least = min(pair, key=lambda seen: seen.interval or (0.0, 0.0))
    text = "; ".join(seen.text for seen in pair)
    return Observed(all(seen.holds for seen in pair), text, least.interval, least.n, least.seeds)


@statistical(
    "a verifier that likes length turns the order round",
    "with a length-biased PRM beam falls below BoN and below majority",
    items=(5,),
    preset="wordy",
    null="perfect_verifier",
    rejects="beam search is at least as good as majority at N = 16",
    region=({"length_bias": 5.0}, {"auc": 0.6}, {"length_bias": -3.0}),
)
def wordy(setting: Setting) -> Observed:
    return _comparison(setting, vote(16), beam(16), "N = 16, majority and beam", (60, 40))


@exact(
    "step scores are reduced as published",
    "min ≤ avg for every trajectory; last depends only on the final step; hand cases incl. empty list",
    items=(6,),
)
def reductions(setting: Setting) -> Observed:
    wrong, cases = 0, setting.size(4000, 1000)
    for case in range(cases):
        rng = Seed(12).at("steps", case).rng()
        steps = [rng.random() for _ in range(rng.randint(1, 12))]
        wrong += aggregate(steps, "min") > aggregate(steps, "mean")
        other = [*(rng.random() for _ in range(rng.randint(0, 9))), steps[-1]]
        wrong += aggregate(steps, "last") != aggregate(other, "last")
    hand = [aggregate([0.5, 0.25, 0.75], rule) for rule in ("min", "last", "mean")]
    empty = [aggregate([], rule) for rule in ("min", "last", "mean")]
    return Observed(
        not wrong and hand == [0.25, 0.75, 0.5] and empty == [-1.0] * 3,
        f"{wrong} violations in {cases} trajectories; of 0.5, 0.25, 0.75: {hand}; of none: {empty}",
        n=cases,
    )


@exact(
    "ties go to the first, and answers that cannot be read are left out before",
    "tie-breaks as listed; unparsable answers removed before voting",
    items=(7,),
)
def ties(setting: Setting) -> Observed:
    """The scorers against a slow reading of the paper's rules, on random pools with many ties."""
    wrong, cases, task = 0, setting.size(1000, 300), Task.of("?", kind="number")
    for case in range(cases):
        rng = Seed(12).at("ties", case).rng()
        labels = [rng.choice(["0", "1", "2", None]) for _ in range(rng.randint(1, 8))]
        scores = tuple(rng.choice([0.25, 0.5, 1.0]) for _ in labels)
        read = [(a, s) for a, s in zip(labels, scores, strict=True) if a is not None]
        order = list(dict.fromkeys(a for a, _ in read))
        sums = {a: sum(s for b, s in read if b == a) for a in order}
        counts = {a: sum(b == a for b, _ in read) for a in order}
        wanted = (
            max(order, key=lambda a: counts[a], default=None),
            max(order, key=lambda a: sums[a], default=None),
            max(read, key=lambda one: one[1], default=(None, 0.0))[0],
        )
        states = [Artifact(f"{i}", a, "number") for i, a in enumerate(labels)]
        for rule, answer in zip(
            ("majority_vote", "prm_last_vote", "prm_last_max"), wanted, strict=True
        ):
            given = step_vote(rule, _Given(scores))
            seen = run(given(task, states), Grader(symbolic=False)).value
            best = ranked(map(Candidate, states, seen)).best
            wrong += (best.state.answer if isinstance(best.score, Score) else None) != answer
    return Observed(not wrong, f"{wrong} of {3 * cases} votes decided otherwise", n=3 * cases)


@dataclass(frozen=True)
class _Given:
    """A verifier whose scores are laid down."""

    scores: tuple[float, ...]

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        return [Score(value, (value,)) for value in self.scores]


@exact(
    "difficulty is absolute, with stated sides",
    "hard < 0.1 ≤ medium < 0.5 ≤ easy",
    items=(8,),
)
def thresholds(setting: Setting) -> Observed:
    cases = (0.0, math.nextafter(0.1, 0.0), 0.1, math.nextafter(0.5, 0.0), 0.5, 1.0)
    found = [level(chance) for chance in cases]
    wanted = ["hard", "hard", "medium", "medium", "easy", "easy"]
    return Observed(found == wanted, f"at 0, below 0.1, 0.1, below 0.5, 0.5 and 1: {found}", n=6)


RUNGS: Final = 3
"""The ladder of difficulty is a ladder of skill the other way round: only their difference counts."""


def _rungs(
    strategy: Strategy, world: ChainWorld, count: int, seeds: tuple[int, ...]
) -> list[Trial]:
    """A trial cut into rungs, the most able policy last; where all are alike, cut at random."""
    whole = trial(strategy, world, count, seeds)
    low, high = world.difficulty
    if low == high:
        return [whole.part(range(i, len(whole.problems), RUNGS)) for i in range(RUNGS)]
    cuts = [high - i * (high - low) / RUNGS for i in range(RUNGS + 1)]
    return [
        whole.where(below, above if i else above + 1.0)
        for i, (above, below) in enumerate(itertools.pairwise(cuts))
    ]


def _gain(method: Trial, plain: Trial) -> float:
    """The relative gain over one chain."""
    return sum(method.right) / max(1, sum(plain.right)) - 1


@statistical(
    "the abler the policy the less is gained",
    "relative gain of TTS over CoT decreases with skill",
    items=(10,),
    preset="ladder",
    null="null",
    rejects="the relative gain on the lowest rung is no higher than on the highest",
    region=({"auc": 0.6}, {"auc": 0.95}, {"attractor": 0.0}),
)
def gain_falls(setting: Setting) -> Observed:
    """The best of the three methods on each rung, against one chain."""
    world, count, seeds = world_of(setting), setting.size(150, 60), (0, 1)
    plain = _rungs(one(), world, count, seeds)
    made = [_rungs(s, world, count, seeds) for s in (beam(16), diverse(16), best_of_n(16))]
    gains = [max(_gain(m[i], plain[i]) for m in made) for i in range(RUNGS)]
    best = max(made, key=lambda m: sum(m[0].right))
    found = _difference(best, plain)
    falling = all(a > b for a, b in itertools.pairwise(gains))
    return Observed(
        falling and found.low > 0,
        f"relative gain from the lowest rung to the highest: {', '.join(f'{g:.2f}' for g in gains)}; lowest "
        f"less highest {shown(found)}",
        (found.low, found.high),
        sum(len(t.right) for t in plain),
        seeds,
    )


def _difference(method: list[Trial], plain: list[Trial]) -> Interval:
    """The gain on the lowest rung less that on the highest, with a bootstrap over problems of both."""
    ends = [list(zip(method[i].right, plain[i].right, strict=True)) for i in (0, RUNGS - 1)]
    size = min(len(end) for end in ends)
    pairs = [(ends[0][i], ends[1][i]) for i in range(size)]

    def apart(indices: Any) -> float:
        drawn = [pairs[int(i)] for i in indices]
        gains = [
            sum(p[k][0] for p in drawn) / max(1, sum(p[k][1] for p in drawn)) - 1 for k in (0, 1)
        ]
        return gains[0] - gains[1]

    return bootstrap([float(i) for i in range(size)], 0, draws=1000, statistic=apart)


@statistical(
    "search suits weak policies, sampling able ones",
    "the best method moves from search to BoN with skill",
    items=(10,),
    preset="ladder",
    null="null",
    rejects="search is no better than best-of-N on the lowest rung, or beam no worse on the highest two",
    region=({"auc": 0.6}, {"auc": 0.95}, {"attractor": 0.0}),
)
def method_moves(setting: Setting) -> Observed:
    world, count, seeds = world_of(setting), setting.size(150, 60), (0, 1)
    beams, trees, samples = (
        _rungs(s, world, count, seeds) for s in (beam(16), diverse(16), best_of_n(16))
    )
    low = lead(trees[0], samples[0])
    high = lead(samples[1] + samples[2], beams[1] + beams[2])
    told = "; ".join(
        f"{name} " + " ".join(f"{t.accuracy.value:.3f}" for t in found)
        for name, found in (("beam", beams), ("DVTS", trees), ("best-of-N", samples))
    )
    return Observed(
        low.low > 0 and high.low > 0,
        f"accuracy from the lowest rung to the highest, N = 16: {told}; DVTS over best-of-N at the bottom "
        f"{shown(low)}, best-of-N over beam above {shown(high)}",
        (low.low, low.high),
        len(samples[0].right),
        seeds,
    )


@statistical(
    "beam is best for the weakest policies",
    "the best method moves from beam to DVTS to BoN",
    items=(10,),
    preset="ladder",
    null="null",
    rejects="DVTS or best-of-N is at least as good as beam on the lowest rung",
    region=({"auc": 0.95}, {"attractor": 0.0}),
)
def beam_first(setting: Setting) -> Observed:
    world, count, seeds = world_of(setting), setting.size(150, 60), (0, 1)
    beams, trees, samples = (
        _rungs(s, world, count, seeds)[0] for s in (beam(16), diverse(16), best_of_n(16))
    )
    found = min((lead(beams, rival) for rival in (trees, samples)), key=lambda i: i.low)
    return Observed(
        found.low > 0,
        f"lowest rung, N = 16: beam {beams.accuracy.value:.3f}, DVTS {trees.accuracy.value:.3f}, best-of-N "
        f"{samples.accuracy.value:.3f}; smaller lead of beam {shown(found)}",
        (found.low, found.high),
        len(beams.right),
        seeds,
    )


CHECKS: Final = (
    reward_aware,
    one_chain,
    greedy,
    independent,
    constant,
    prunes_at_random,
    oracle,
    misled,
    wordy,
    reductions,
    ties,
    thresholds,
    planned(
        "a selector is never worse than the best fixed strategy where it was chosen",
        "table-driven; a learned selector must never be worse on its training fold than the best fixed one",
        "comes with the compute-optimal policy",
        items=(9,),
        kind="exact",
    ),
    gain_falls,
    method_moves,
    beam_first,
)

FAULT: Final = Fault(
    file="search/diverse.py",
    was="first=i * width\n",
    now="first=0\n",
    breaks=("DVTS is independent beams of M, pooled",),
)
