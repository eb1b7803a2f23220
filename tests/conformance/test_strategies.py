"""Every search on every process with every scorer: what all of them must keep.

A new search, process or scorer is one row. The default run takes each search with both processes and each
scorer at least once, with sampled prefixes and cuts; the full product with every prefix and cut is `slow`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from cogitate import _conformance as conformance
from cogitate.core.candidates import Score, Unscored
from cogitate.core.flow import gather
from cogitate.core.requests import Call
from cogitate.core.task import Task
from cogitate.core.usage import UNITS
from cogitate.processes import Answer, Boundaries, Reasoning, Recalled, Tool, ToolUse
from cogitate.scorers import (
    AllOf,
    AnyOf,
    Clustered,
    Clusters,
    Confidence,
    Ensemble,
    Entropy,
    Judge,
    KeepTop,
    ListwiseJudge,
    Majority,
    MeanLogprob,
    Medoid,
    OutcomeReward,
    Perplexity,
    ProcessReward,
    PTrue,
    ScoredVote,
    SelfCertainty,
    StepVote,
    ToolCallVote,
    Weighted,
)
from cogitate.search import (
    AdaptiveBranching,
    BalancedTreeSearch,
    BeamSearch,
    Below,
    BestAction,
    BestOf,
    ByAgreement,
    Cascade,
    ConfidentVote,
    DiverseTreeSearch,
    Escalate,
    Evolution,
    Fusion,
    KvAwareCover,
    Lookahead,
    MonteCarloTreeSearch,
    Particles,
    Refinement,
    Resample,
    Route,
    SampleUntilGood,
    SelfConsistency,
    SequentialRevision,
    Solve,
    SuccessiveHalving,
    Table,
    TopK,
    Truncation,
    Until,
    Vote,
)
from cogitate.testing import CHECKS, Case, FakeEngine, Rates


@dataclass(frozen=True)
class ByCall:
    """A verifier of the user's: one `Call` per candidate."""

    async def __call__(self, task: Task, states: Any) -> list[Score | Unscored]:
        async def one(text: str) -> Score | Unscored:
            return Score(float(len(await Call("length", (text,)))))

        return await gather(*(one(state.text) for state in states))


SEARCHES: dict[str, tuple[Any, int]] = {
    "best_of": (BestOf(6), 6),
    "self_consistency": (SelfConsistency(n=8), 3),
    "self_consistency_whole": (SelfConsistency(n=6, stop_early=False), 6),
    "beam_search": (BeamSearch(width=2, branch=3, depth=6), 4),
    "mcts": (MonteCarloTreeSearch(iterations=4, branch=3, depth=6, together=2), 3),
    "adaptive_branching": (AdaptiveBranching(9, "step", depth=6, together=3), 3),
    "confident_vote": (ConfidentVote(n=7, warmup=3, keep=0.7, window=4), 3),
    "dvts": (DiverseTreeSearch(trees=2, branch=3, depth=6), 6),
    "lookahead": (Lookahead(BeamSearch(width=2, branch=2, depth=5), steps=1), 4),
    "particles": (Particles(population=5, depth=6), 5),
    "until_good": (SampleUntilGood(at_most=6, good_enough=9.0, together=3), 3),
    "halving": (SuccessiveHalving(n=6, keep=0.5, depth=6), 6),
    "particles_in_stages": (
        Particles(
            population=Table((6, 4, 3)),
            depth=6,
            stages=(Until(1, keep=TopK()), Until(4, keep=Resample("diff", method="residual"))),
            rank="copies",
        ),
        6,
    ),
    "sequential_revision": (SequentialRevision(n=3, chains=2, context=2), 2),
    "hierarchical_revision": (SequentialRevision(n=2, chains=3, select="chains"), 3),
    "refinement": (Refinement(rounds=2, width=2, stop_unchanged=False), 2),
    "refinement_last": (Refinement(rounds=2, width=2, accept="last"), 2),
    "balanced": (BalancedTreeSearch(width=5, depth=6), 5),
    "kv_aware_cover": (BalancedTreeSearch(width=5, depth=6, retain=KvAwareCover()), 5),
    "pruned": (BalancedTreeSearch(width=5, depth=6, retain=KvAwareCover(1.0, 0.0)), 5),
    "evolution": (Evolution(Table((4, 3)), generations=2, elites=1), 4),
    "fusion": (Fusion(BestOf(4), show=2), 4),
    "fusion_of_a_beam": (Fusion(BeamSearch(width=2, branch=2, depth=5), final=True), 3),
    "evolution_ever": (
        Evolution(4, 2, 0, Truncation(2), strength=1.0, breed="ever", rank="last"),
        4,
    ),
}
PROCESSES: dict[str, Any] = {  # small caps, so that cuts of the budget fall inside the run
    "answer": Answer(logprobs=5, max_tokens=80),
    "reasoning": Reasoning(Boundaries(max_steps=8, max_step_tokens=24), logprobs=5),
}
SCORERS: dict[str, Any] = {
    "majority": Majority(),
    "mean_logprob": MeanLogprob(),
    "weighted": Weighted(MeanLogprob()),
    "self_certainty": SelfCertainty(),
    "prm": ProcessReward(),
    "step_vote": StepVote(ProcessReward(), "min", "vote"),
    "judge": Judge(max_tokens=48),
    "listwise_judge": ListwiseJudge(max_tokens=48),
    "p_true": PTrue(),
    "function": ByCall(),
    "orm": OutcomeReward(),
    "confidence": Confidence("bottom", window=8),
    "entropy": Entropy(over="highest"),
    "perplexity": Perplexity(),
    "keep_top": Weighted(KeepTop(Confidence("lowest", window=8), 0.5)),
    "medoid": Medoid(),
    "clusters": Clusters(0.4),
    "clustered": Clustered(ProcessReward()),
    "tool_calls": ToolCallVote(),
    "all_of": AllOf((ProcessReward("min"), PTrue()), marks=(0.1, 0.2)),
    "any_of": AnyOf((MeanLogprob(), Judge(max_tokens=48)), normalise="rank"),
    "ensemble": Ensemble((OutcomeReward(), Majority()), (2.0, 1.0), missing="leave_out"),
}
RATES = Rates(flops=2.0, bytes_moved=3.0, usd=1 / 1024)  # sums of these are exact in any order


def engine(**options: Any) -> FakeEngine:
    return FakeEngine(rates=RATES, **options)


def case(search: str, process: str, scorer: str) -> Case:
    found, together = SEARCHES[search]
    one_shot = process == "answer" and search == "beam_search"
    strategy = Solve(PROCESSES[process], SCORERS[scorer], found)
    name = f"{search} × {process} × {scorer}"
    return Case(name, strategy, together=3 if one_shot else together, engine=engine)


def rows() -> list[Case]:
    """Each search with both processes; scorers in turn, so that each occurs."""
    turn = itertools.cycle(SCORERS)
    found = [
        case(search, process, "majority")
        for search, process in itertools.product(SEARCHES, PROCESSES)
    ]
    for search in ("best_of", "beam_search"):
        for process in PROCESSES:
            found += [case(search, process, next(turn)) for _ in range(len(SCORERS) // 2)]
    as_they_come = MonteCarloTreeSearch(5, branch=2, depth=4, together=3, ordered=False)
    found.append(
        Case(
            "mcts as they come",
            Solve(PROCESSES["reasoning"], ProcessReward(), as_they_come),
            ordered=False,
            together=4,
            engine=engine,
        )
    )
    to_the_end = MonteCarloTreeSearch(3, branch=2, depth=4, to_the_end=True)
    for name, process, search in (
        ("mcts to the end", "reasoning", to_the_end),
        ("adaptive_branching of revisions", "answer", AdaptiveBranching(7, "revise", together=3)),
    ):
        strategy = Solve(PROCESSES[process], Judge(max_tokens=48), search)
        found.append(Case(name, strategy, together=2, engine=engine))
    inner = Solve(Answer(max_tokens=80), Majority(), BestOf(2))
    found.append(Case("vote of strategies", Vote(inner, 3), together=6, engine=engine))
    levels = (inner, Solve(PROCESSES["reasoning"], ProcessReward(), BestOf(3)))
    memory = Recalled(PROCESSES["reasoning"], at_least=-1.0, at_least_alike=0.5)
    found.append(
        Case(
            "recalled",
            Solve(memory, ProcessReward(), BeamSearch(width=2, branch=2, depth=4)),
            together=3,
            engine=engine,
        )
    )
    covering = Solve(
        PROCESSES["reasoning"],
        Clustered(ProcessReward(), 0.4),
        SEARCHES["kv_aware_cover"][0],
        ScoredVote(),
    )
    found.append(Case("ets", covering, together=5, engine=engine))
    arms = Route(ByAgreement(PROCESSES["answer"], (0.75,), samples=3), levels)
    talk = ToolUse((Tool("length", ("text",)),), turns=3, max_tokens=24)
    found += [
        Case("escalate", Escalate(levels, Below(9.0), (0.5,)), together=3, engine=engine),
        Case("cascade", Cascade(*levels, Below(9.0)), together=3, engine=engine),
        Case("route", arms, together=3, engine=engine),
        Case(
            "best action", Solve(talk, MeanLogprob(), BestAction(3, 3)), together=3, engine=engine
        ),
        Case(
            "best action that acts",  # the fake keeps to the schema, so every turn is a call
            Solve(replace(talk, constrained=True), ToolCallVote(), BestAction(3, 3)),
            together=3,
            engine=engine,
        ),
        Case(
            "until_good that stops",  # one at a time: what a cancelled sample cost depends on time
            Solve(PROCESSES["reasoning"], ProcessReward(), SampleUntilGood(6, 0.6, together=1)),
            engine=engine,
        ),
    ]
    return list({row.name: row for row in found}.values())


ROWS = rows()


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_sampled(row: Case, check: Callable[[Case], None]) -> None:
    check(row)


def test_every_row_of_the_tables_is_used() -> None:
    used = " ".join(row.name for row in ROWS)
    for name in (*SEARCHES, *PROCESSES, *SCORERS):
        assert name in used


@pytest.mark.parametrize("unit", [u for u in UNITS if u != "seconds"])
@pytest.mark.parametrize("search", ["best_of", "beam_search"])
def test_every_unit_of_a_budget_is_kept(search: str, unit: str) -> None:
    conformance.keeps_every_budget(case(search, "reasoning", "judge"), unit, most=6)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("search", SEARCHES)
def test_full_product(search: str, process: str, scorer: str) -> None:
    row = case(search, process, scorer)
    everything = 10_000
    conformance.same_answer_under_every_driver(row, rounds=5)
    conformance.resumes_from_every_prefix(row, most=everything)
    for unit in ("tokens_out", "calls"):
        conformance.keeps_every_budget(row, unit, most=60)
    conformance.batches_form(row)
    conformance.parents_exist(row)
    conformance.shares_no_state(row)
    conformance.survives_failures(row, most=everything)
    conformance.survives_bad_text(row)
    for texts in ("malformed", "empty", "truncated", "mixed"):
        bad = replace(
            row, engine=lambda texts=texts, **o: engine(**{"texts": texts, **o}), together=0
        )
        conformance.resumes_from_every_prefix(bad, most=40)
        conformance.keeps_every_budget(bad, "calls", most=20)  # empty text has no tokens to cut
        conformance.survives_failures(bad, most=40)
