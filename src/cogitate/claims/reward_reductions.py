"""Paper 12: reductions, aggregations and votes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cogitate.core.candidates import Artifact, Candidate, Ranking, Score, Unscored, ranked
from cogitate.core.flow import gather
from cogitate.core.protocols import Process, Scorer, Strategy
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.drive import run
from cogitate.engines.grading import Grader
from cogitate.lab.worlds import chains, preset, right_chance
from cogitate.processes import Answer, Reasoning
from cogitate.rules import aggregate, level
from cogitate.scorers import STEP_VOTES, step_vote
from cogitate.search import BeamSearch, BestOf, Lookahead, Solve

from .claim import Observed, Setting, exact
from .reward_strategies import PRM, VOTE, beam, best_of_n, diverse, one
from .trials import Constant, Trial, shown, trial, tried


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
