from __future__ import annotations

import pytest
from successions import TASK, Counting, OneMax, engine

from cogitate.core.candidates import Candidate, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.requests import Call, Generate
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.processes import Answer
from cogitate.scorers import Majority, Weighted
from cogitate.search import BestOf, SequentialRevision, Solve
from cogitate.testing import Scripted, Simulated, simulated_tasks

NUMBER = Task.of("2 + 2?", kind="number")


def solved(search, *, scorer=None, serve=None, seed=0, process=None, **driven):
    strategy = Solve(process or OneMax(), scorer or Counting(), search)
    return run(strategy(TASK, Seed(seed)), serve or engine(), **driven)


@pytest.mark.parametrize("select", ["all", "chains"])
@pytest.mark.parametrize("chains", [1, 5])
def test_chains_of_one_are_best_of_n(chains, select):
    for scorer in (Counting, Majority):
        want = solved(BestOf(chains), scorer=scorer())
        got = solved(SequentialRevision(1, chains, select=select), scorer=scorer())
        assert got.value == want.value
        assert got.usage == want.usage


@pytest.mark.parametrize(("n", "chains"), [(1, 1), (4, 1), (1, 6), (3, 4)])
def test_cost_is_chains_times_n(n, chains):
    search, serve, scorer = SequentialRevision(n, chains), engine(), Counting()
    ranking = solved(search, scorer=scorer, serve=serve).value
    made = [r.args[0] for r in serve.requests if isinstance(r, Call)]
    assert (made.count("start"), made.count("revise")) == (chains, chains * (n - 1))
    assert sum(scorer.batches) == n * chains == search.states() == len(ranking.items)


def test_parents_are_what_was_revised():
    ranking = solved(SequentialRevision(3, 2)).value
    assert {c.id: c.parent for c in ranking.items} == {
        "0": None, "0.1": "0", "0.2": "0.1", "1": None, "1.1": "1", "1.2": "1.1",
    }  # fmt: skip
    values = [c.value for c in ranking.items]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("context", [1, 3, 8])
def test_a_prompt_holds_exactly_the_last_attempts(context):
    serve = Scripted([f"#### {n}" for n in range(6)])
    strategy = Solve(Answer(), Counting(), SequentialRevision(6, context=context))
    run(strategy(NUMBER, Seed(0)), serve)
    asked = [r for r in serve.requests if isinstance(r, Generate)]
    assert len(asked) == 6
    for number, request in enumerate(asked):
        shown = [m.content for m in request.prompt.messages if m.role == "assistant"]
        assert shown == [f"#### {n}" for n in range(max(0, number - context), number)]


def by_text(scores):
    """Answers of known scores; each chain's texts are scripted in order of requests."""
    return Counting(lambda text: scores[text])


def scripted_chains(chains, scorer, select):
    """Two waves of requests or more: the first answers of all chains, then their revisions."""
    n = len(chains[0])
    lines = [f"#### {chain[k]}" for k in range(n) for chain in chains]
    strategy = Solve(Answer(), scorer, SequentialRevision(n, len(chains), select=select))
    return run(strategy(NUMBER, Seed(0)), Scripted(lines)).value


def test_a_vote_within_chains_may_differ_from_the_flat_one():
    chains = [[7, 7, 7], [4, 4, 5], [4, 6, 4]]
    flat = scripted_chains(chains, Majority(), "all")
    assert flat.best.state.answer == "4"  # 4 : 3 : 1 : 1
    assert len(flat.items) == 9
    chosen = scripted_chains(chains, Majority(), "chains")
    assert [c.state.answer for c in chosen.items] == ["4", "4", "7"]
    chains = [[7, 7, 4], [7, 7, 4], [4, 4, 4]]
    assert scripted_chains(chains, Majority(), "all").best.state.answer == "4"
    assert scripted_chains(chains, Majority(), "chains").best.state.answer == "7"


def test_the_weighted_vote_of_the_paper():
    """Within a chain the answer of the highest sum, and of it the highest scored; then the same across."""
    scores = {"#### 7": 0.9, "#### 4": 0.5, "####  4": 0.6, "#### 5": 0.7}
    chains = [["4", "7", " 4"], ["5", "4", "5"], ["4", " 4", "7"]]
    weighted = Weighted(by_text(scores), normalise="none")
    ranking = scripted_chains(chains, weighted, "chains")
    # Chain sums: 4 -> 1.1 over 7 -> 0.9; 5 -> 1.4; 4 -> 1.1. Across: 4 -> 0.6 + 0.6 over 5 -> 0.7.
    assert [c.state.text for c in ranking.items] == ["####  4", "####  4", "#### 5"]
    assert ranking.best.id == "0.2"


def test_a_scorer_of_single_states_is_not_asked_again():
    scorer = Counting()
    search = SequentialRevision(3, 4, select="chains")
    chosen = solved(search, scorer=scorer).value
    assert sum(scorer.batches) == 12
    assert search.states() == 16
    assert len(chosen.items) == 4
    assert chosen.best == solved(SequentialRevision(3, 4)).value.best


def test_a_lost_revision_loses_one_answer_only():
    whole = len(_asked(engine()))
    for at in range(whole):
        seen = iter(range(100))
        serve = engine(lambda r, at=at, seen=seen: Failed("down") if next(seen) == at else None)
        ranking = solved(SequentialRevision(4, 2), serve=serve).value
        lost = 4 if at < 2 else 1
        assert len(ranking.items) == 8 - lost
        assert ranking.stopped == ""
        known = {c.id for c in ranking.items}
        assert all(c.parent is None or c.parent in known for c in ranking.items)


def _asked(serve):
    solved(SequentialRevision(4, 2), serve=serve)
    return [r for r in serve.requests if isinstance(r, Call)]


def test_every_cut_of_the_budget_keeps_what_was_paid_for():
    for calls in range(9):
        done = run(
            Solve(OneMax(), Counting(), SequentialRevision(4, 2))(TASK, Seed(0)),
            engine(),
            budget=Budget(calls=calls),
        )
        assert done.usage.calls == calls
        assert len(done.value.items) == calls
        assert done.value.stopped == ("budget" if calls < 8 else "")
        assert done.idle


def test_chains_go_on_independently():
    events = []
    solved(SequentialRevision(3, 2), listen=events.append)
    noted = [e for e in events if type(e).__name__ == "Noted" and e.kind == "expanded"]
    assert [(e.data["id"], e.data["parent"]) for e in noted][:2] == [("0", None), ("1", None)]


def test_revisions_help_a_simulated_policy_no_more_than_samples_do():
    """It has no skill of correcting itself: a chain and as many samples are alike, and both work."""
    right = {"chain": 0, "samples": 0}
    for number, (task, gold) in enumerate(simulated_tasks(30)):
        for name, search in (("chain", SequentialRevision(8)), ("samples", BestOf(8))):
            strategy = Solve(Answer(), Majority(), search)
            found = run(strategy(task, Seed(number)), Simulated(skill=0.55)).value
            right[name] += found.best.state.answer == gold
    assert min(right.values()) >= 12


def test_a_process_that_cannot_revise_is_refused_at_the_start():
    class Rigid(OneMax):
        revise = None

    serve = engine()
    with pytest.raises(InvalidInput, match="Rigid cannot revise"):
        solved(SequentialRevision(2), process=Rigid(), serve=serve)
    assert serve.requests == []


@pytest.mark.parametrize("wrong", [{"n": 0}, {"chains": 0}, {"context": 0}, {"select": "some"}])
def test_senseless_numbers_are_refused(wrong):
    with pytest.raises(InvalidInput, match="asked for"):
        SequentialRevision(**wrong)


def test_unscored_answers_are_kept():
    async def dead(task, states):
        raise Failed("no verifier")

    for select in ("all", "chains"):
        ranking = solved(SequentialRevision(2, 2, select=select), scorer=dead).value
        assert ranking.items
        assert all(
            isinstance(c, Candidate) and isinstance(c.score, Unscored) for c in ranking.items
        )
        assert not any(isinstance(c.score, Score) for c in ranking.items)
