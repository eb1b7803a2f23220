"""Paper 01: reductions, cost identities and formulas."""

from __future__ import annotations

import math
from typing import Any

from cogitate.core.candidates import Artifact, Candidate, Ranking
from cogitate.core.protocols import Strategy
from cogitate.core.requests import Generate, Request
from cogitate.core.seeds import Seed
from cogitate.lab.worlds import ChainWorld, chains, preset
from cogitate.processes import Answer, Reasoning
from cogitate.rules import (
    best_of,
    efficiency_factor,
    inference_multiplier,
    lifetime_flops,
    majority,
    quantile_bins,
    weighted,
)
from cogitate.scorers import Indifferent, Majority, Weighted
from cogitate.search import BestOf, SequentialRevision, Solve

from .claim import Observed, Setting, exact
from .optimal_strategies import PRM, WEIGHTED, ahead, beam, best_of_weighted, revisions
from .trials import trial, tried


@exact(
    "weighted best-of-N lies between majority and best-of-N",
    "weighted best-of-N with equal scores = majority; with one sample per answer = best-of-N",
    items=(1,),
)
def votes_reduce(setting: Setting) -> Observed:
    """By the rule on random pools, and through the whole stack on a preset."""
    wrong, cases = 0, setting.size(4000, 1000)
    for case in range(cases):
        rng = Seed(1).at("votes", case).rng()
        classes = [rng.choice([0, 0, 1, 2, 3, None]) for _ in range(rng.randint(1, 9))]
        # Halves add up without rounding, so that equal sums are equal.
        wrong += weighted(classes, [0.5] * len(classes)).winner != majority(classes).winner
        alone = rng.sample(range(9), rng.randint(1, 9))
        scores = [rng.random() for _ in alone]
        wrong += weighted(alone, scores).winner != best_of(alone, scores).winner
    world = preset("medium")
    count = setting.size(100, 30)
    equal = trial(Solve(Answer(), Weighted(Indifferent(0.5)), BestOf(8)), world, count)
    plain = trial(Solve(Answer(), Majority(), BestOf(8)), world, count)
    differ = sum(a != b for a, b in zip(equal.answers, plain.answers, strict=True))
    return Observed(
        not wrong and not differ,
        f"{wrong} of {2 * cases} votes and {differ} of {count} answers differ",
        n=2 * cases + count,
    )


@exact("unparsable answers never win", "unparsable answers never win", items=(1,))
def unparsable(setting: Setting) -> Observed:
    """A sample that was cut has no answer; however well it is scored, an answer is chosen where there is one."""
    short = Solve(Answer(max_tokens=100), WEIGHTED, BestOf(6))
    found = trial(short, preset("wordy"), setting.size(200, 60))
    none = sum(c.state.answer is None for r in found.rankings for c in r.items)
    some = [r for r in found.rankings if any(c.state.answer is not None for c in r.items)]
    wrong = sum(r.best.state.answer is None for r in some)
    wrong += weighted([None, 0], [9.0, 0.1]).winner != 0
    wrong += best_of([None, 0], [9.0, 0.1]).winner != 0
    mixed = sum(any(c.state.answer is None for c in r.items) for r in some)
    return Observed(
        wrong == 0 and mixed > 0,
        f"{none} samples without an answer in {len(found.rankings)} votes, {mixed} of them mixed; "
        f"{wrong} of them won against an answer",
        n=len(found.rankings),
    )


def _texts(found: Ranking[Artifact]) -> list[str]:
    return sorted(c.state.text for c in found.items)


@exact(
    "a beam that prunes nothing is independent samples, and N = M keeps one",
    "beam with M = 1 keeps all prefixes, equals N independent samples; N = M keeps one prefix",
    items=(2,),
)
def beam_reduces(setting: Setting) -> Observed:
    world, count = preset("medium"), setting.size(60, 20)
    all_kept = trial(beam(6, branch=1), world, count)
    samples = trial(Solve(Reasoning(), PRM, BestOf(6)), world, count)
    differ = sum(
        _texts(a) != _texts(b) for a, b in zip(all_kept.rankings, samples.rankings, strict=True)
    )
    one = trial(beam(4, branch=4), world, count)
    kept = {len(r.items) for r in one.rankings}
    return Observed(
        differ == 0 and kept == {1},
        f"with M = 1 {differ} of {count} problems end with other texts than 6 samples; with N = M = 4 "
        f"{kept} candidates are left",
        n=count,
    )


def _asked(strategy: Strategy, world: ChainWorld, count: int) -> list[Request[Any]]:
    asked: list[Request[Any]] = []
    _ = tried(strategy, world, chains(world, count), asked=asked)
    return asked


@exact(
    "lookahead of no steps is beam search", "lookahead k = 0 equals beam call for call", items=(2,)
)
def lookahead_reduces(setting: Setting) -> Observed:
    world, count = preset("medium"), setting.size(20, 5)
    first = [r.key() for r in _asked(ahead(8, 0), world, count)]
    second = [r.key() for r in _asked(beam(8), world, count)]
    further = len(_asked(ahead(8, 1), world, count))
    return Observed(
        first == second and further > len(second),
        f"{len(first)} and {len(second)} requests, equal in order: {first == second}; {further} with k = 1",
        n=count,
    )


@exact("searches cost what they say", "cost identities: N, N, N(k+1)", items=(3,))
def costs(setting: Setting) -> Observed:
    """In steps, on chains of one length: rollouts of lookahead end where the answer does, and only there."""
    world, count, n = preset("null"), setting.size(10, 3), 8
    depth = world.steps[0] + 1  # the last step states the result
    told: list[str] = []
    right = True
    searches: list[tuple[str, Strategy, int]] = [
        ("best-of-N", Solve(Reasoning(), WEIGHTED, BestOf(n)), n * depth),
        ("beam", beam(n), n * depth),
    ]
    for k in (1, 3):
        rolled = sum(min(k, depth - at) for at in range(1, depth + 1))
        searches.append((f"lookahead {k}", ahead(n, k), n * (depth + rolled)))
    for name, strategy, wanted in searches:
        steps = sum(isinstance(r, Generate) for r in _asked(strategy, world, count)) / count
        told.append(f"{name} {steps:g}")
        k = int(name[-1]) if name[-1].isdigit() else 0
        right = right and steps == wanted <= n * (k + 1) * depth
    return Observed(right, f"steps a problem of depth {depth}, N = {n}: {', '.join(told)}", n=count)


@exact("chains of revisions cost as many answers", "P·L = N", items=(3,))
def revision_costs(setting: Setting) -> Observed:
    world, count, n = preset("revising"), setting.size(20, 5), 16
    asked = [
        sum(isinstance(r, Generate) for r in _asked(revisions(n, p), world, count)) / count
        for p in (1, 2, 4, 8, 16)
    ]
    return Observed(set(asked) == {n}, f"answers by chains 1, 2, 4, 8, 16: {asked}", n=count)


@exact(
    "quantile bins are even and stable",
    "quantile bins: equal sizes ±1, order preserved, deterministic ties (by question id)",
    items=(6,),
)
def bins(setting: Setting) -> Observed:
    wrong, cases = 0, setting.size(500, 100)
    for case in range(cases):
        rng = Seed(6).at("bins", case).rng()
        chances = {f"q{i}": rng.randint(0, 8) / 8 for i in range(rng.randint(1, 60))}
        found = quantile_bins(chances)
        sizes = [list(found.values()).count(b) for b in range(1, 6)]
        wrong += max(sizes) - min(sizes) > 1
        order = sorted(chances, key=lambda id: (found[id], -chances[id], id))
        wrong += order != sorted(chances, key=lambda id: (-chances[id], id))
        shuffled = list(chances)
        rng.shuffle(shuffled)
        wrong += quantile_bins({id: chances[id] for id in shuffled}) != found
    return Observed(not wrong, f"{wrong} violations in {cases} sets with ties", n=cases)


@exact(
    "choosing within chains reduces to weighted best-of-N",
    "hierarchical selection with L = 1 equals weighted best-of-N over P; with P = 1 equals it over L",
    items=(9,),
)
def hierarchy(setting: Setting) -> Observed:
    """One answer a chain are plain samples; one chain is the same chain with all its answers pooled."""
    world, count, n = preset("revising"), setting.size(100, 30), 8
    pairs = (
        (revisions(n, n), best_of_weighted(n)),
        (revisions(n, 1), Solve(Answer(), WEIGHTED, SequentialRevision(n=n, chains=1))),
    )
    differ = [
        sum(
            _order(a) != _order(b)
            for a, b in zip(
                trial(first, world, count).rankings,
                trial(second, world, count).rankings,
                strict=True,
            )
        )
        for first, second in pairs
    ]
    split = trial(revisions(n, 2), world, count)
    ends = {len(r.items) for r in split.rankings}
    every = trial(Solve(Answer(), PRM, SequentialRevision(n=n // 2, chains=2)), world, count)
    wrong = sum(
        _texts(a) != sorted(_winners(b))
        for a, b in zip(split.rankings, every.rankings, strict=True)
    )
    return Observed(
        differ == [0, 0] and ends == {2} and wrong == 0,
        f"with L = 1 {differ[0]} and with P = 1 {differ[1]} of {count} rankings differ; with P = 2 there are "
        f"{ends} winners, {wrong} of them not the best of their chains",
        n=count,
    )


def _winners(found: Ranking[Artifact]) -> list[str]:
    """For each chain the best-scored text of the answer with the highest sum of scores, written out."""
    won: list[str] = []
    for chain in ("0", "1"):
        held = [c for c in found.items if c.id.split(".")[0] == chain]
        sums: dict[str | None, float] = {}
        for c in held:
            sums[c.state.answer] = sums.get(c.state.answer, 0.0) + c.value
        best = max(sums, key=lambda answer: sums[answer])
        won.append(
            max((c for c in held if c.state.answer == best), key=lambda c: c.value).state.text
        )
    return won


def _order(found: Ranking[Artifact]) -> list[tuple[str, float]]:
    def one(candidate: Candidate[Artifact]) -> tuple[str, float]:
        return candidate.state.text, candidate.value

    return [one(candidate) for candidate in found.items]


@exact(
    "inference is exchanged for size at the stated rate",
    "M=1 → 1; R→∞ → M; R→0 diverges as 3(M−1)/R; 6nD_pre+2n·k·D_inf = M(6nD_pre+2nD_inf)",
    items=(11,),
)
def exchange(setting: Setting) -> Observed:
    worst = 0.0
    for times in (1.0, 2.0, 14.0, 100.0):
        for ratio in (1e-9, 0.16, 0.79, 22.0, 1e9):
            more = inference_multiplier(times, 1.0, ratio)
            small = lifetime_flops(1.0, 1.0, more * ratio)
            worst = max(worst, abs(small / lifetime_flops(times, 1.0, ratio) - 1))
    limits = (
        inference_multiplier(1.0, 1.0, 0.5) == 1.0
        and math.isclose(inference_multiplier(14.0, 1.0, 1e12), 14.0)
        and math.isclose(inference_multiplier(14.0, 1.0, 1e-9) * 1e-9, 39.0, rel_tol=1e-6)
    )
    published = [round(inference_multiplier(14.0, 1.0, r), 1) for r in (0.16, 0.79, 22.0)]
    return Observed(
        worst < 1e-12 and limits and published == [257.8, 63.4, 15.8],
        f"largest imbalance {worst:.1e}; multipliers at M = 14: {published}",
        n=20,
    )


@exact(
    "an efficiency factor is read off the curves",
    "smallest N' with acc_opt(N') ≥ acc_BoN(N) → N/N' (interpolated)",
    items=(13,),
)
def efficiency(setting: Setting) -> Observed:
    base = [(2.0**k, 0.9 - 0.5 / (k + 1)) for k in range(9)]
    worst = 0.0
    for factor in (1.0, 2.0, 4.0, 5.5):
        moved = [(n / factor, a) for n, a in base]
        for n, accuracy in base:
            found = efficiency_factor(n, accuracy, moved)
            worst = max(worst, abs((found or 0.0) - factor))
    never = efficiency_factor(64, 0.95, base)
    return Observed(
        worst < 1e-9 and never is None,
        f"curves moved by a factor give it to within {worst:.0e}; what is never reached has none",
        n=4 * len(base),
    )
