import sys

import pytest

from cogitate.core.candidates import Candidate, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.drive import run
from cogitate.processes import Reasoning
from cogitate.scorers import Majority, ProcessReward, ScoredVote, Weighted
from cogitate.search import BalancedTreeSearch, BestOf, KeepAll, KvAwareCover, Solve
from cogitate.testing import FakeEngine, Simulated, simulated_tasks

TASK = Task.of("2 + 2?", kind="number")


class Counting:
    """A process of digits: a state is a text, a step adds the number of the sibling; done at length 3."""

    async def start(self, task, seed):
        return ""

    async def step(self, state, seed):
        return state + str(seed.int() % 10)

    def done(self, state):
        return len(state) == 3

    async def render(self, state):
        raise AssertionError


def by_value(values):
    async def scorer(task, states):
        return [values(state) for state in states]

    return scorer


def searched(search, scorer, seed=0):
    notes = []

    def listen(event):
        if getattr(event, "kind", "") in ("expanded", "kept", "pruned"):
            notes.append((event.kind, dict(event.data)))

    done = run(search(Counting(), scorer, TASK, Seed(seed)), FakeEngine(), listen=listen)
    return done.value, notes


def grown(notes):
    """Children by parent, at each depth."""
    found = {}
    for kind, data in notes:
        if kind == "expanded":
            found.setdefault(data["depth"], {}).setdefault(data["parent"], 0)
            found[data["depth"]][data["parent"]] += 1
    return found


def test_children_follow_the_scores():
    values = iter([0.9, 0.5, 0.1, 0.1] + [0.5] * 100)
    _, notes = searched(
        BalancedTreeSearch(width=4, temperature=0.2), by_value(lambda s: Score(next(values)))
    )
    levels = grown(notes)
    assert levels[1] == {None: 4}
    # exp of 4.5, 2.5, 0.5, 0.5: shares of 4 are 3.5, then the rest of what is left
    assert levels[2] == {"0": 4}
    assert sum(levels[3].values()) == 4


def test_a_near_even_score_feeds_every_leaf():
    _, notes = searched(
        BalancedTreeSearch(width=6, temperature=50.0), by_value(lambda s: Score(0.5))
    )
    assert grown(notes)[2] == {str(i): 1 for i in range(6)}


def test_width_one_is_one_sample():
    def trees(search):
        strategy = Solve(Reasoning(), ProcessReward(), search)
        task = simulated_tasks(1)[0][0]
        return [c.state.text for c in run(strategy(task, Seed(3)), Simulated()).value.items]

    assert trees(BalancedTreeSearch(width=1)) == trees(BestOf(1))


def test_leaves_without_a_score_get_nothing_while_others_have_one():
    def score(state):
        return Unscored("dead") if len(state) == 1 and int(state) % 2 else Score(0.5)

    ranking, notes = searched(BalancedTreeSearch(width=6), by_value(score), seed=1)
    firsts = [data for kind, data in notes if kind == "expanded" and data["depth"] == 1]
    assert len(firsts) == 6
    assert {c.state for c in ranking.items if len(c.state) == 3}
    assert any(isinstance(c.score, Unscored) for c in ranking.items)


def test_a_pruned_leaf_gives_its_share_to_the_others():
    leaves = [Candidate(s, Score(0.5), s) for s in "abcd"]
    lines = [("", "x"), ("", "x"), ("", "y"), ("", "z")]
    kept = KvAwareCover(cost=1.4, coverage=0.0)(leaves, [0.25] * 4, lines)
    assert list(kept) == [0, 1]
    assert list(KeepAll()(leaves, [0.25] * 4, lines)) == [0, 1, 2, 3]


def test_clusters_are_read_from_the_scores():
    def leaf(name, cluster):
        return Candidate(name, Score(0.5, features={"cluster": (float(cluster),)}), name)

    leaves = [leaf("a", 0), leaf("b", 0), leaf("c", 1), Candidate("d", Unscored("dead"), "d")]
    lines = [("",)] * 4
    weights = [0.7, 0.3, 0.0, 0.0]
    assert list(KvAwareCover(3.0, 9.0)(leaves, weights, lines)) == [0, 2]
    assert list(KvAwareCover(3.0, 0.0)(leaves, weights, lines)) == [0]
    assert list(KvAwareCover(0.0, 9.0)(leaves, weights, lines)) == [0, 1, 2, 3]


def test_the_last_vote_asks_no_verifier_again():
    def calls(final):
        solve = Solve(Reasoning(), ProcessReward(), BestOf(4), final)
        done = run(solve(TASK, Seed(0)), FakeEngine())
        return done.value, done.roles["verifier"].calls

    once, again = calls(ScoredVote()), calls(Weighted(ProcessReward()))
    assert once[1] < again[1]
    assert [(c.state.answer, c.value) for c in once[0].items] == [
        (c.state.answer, c.value) for c in again[0].items
    ]
    assert once[0].best.score.features["own"] == again[0].best.score.features["own"]


def test_many_clusters_need_the_solver(monkeypatch):
    leaves = [
        Candidate(str(i), Score(0.5, features={"cluster": (float(i),)}), str(i)) for i in range(12)
    ]
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(InvalidInput, match="SciPy is needed"):
        KvAwareCover()(leaves, [1 / 12] * 12, [("",)] * 12)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: BalancedTreeSearch(width=0),
        lambda: BalancedTreeSearch(temperature=0.0),
        lambda: BalancedTreeSearch(depth=0),
        lambda: KvAwareCover(cost=-1.0),
        lambda: KvAwareCover(coverage=float("inf")),
        lambda: KvAwareCover(solver_nodes=0),
    ],
)
def test_refuses_senseless_settings(wrong):
    with pytest.raises(InvalidInput):
        wrong()


def test_a_question_that_fails_to_start_says_so():
    class Broken(Counting):
        async def start(self, task, seed):
            raise Failed("no", "server")

    ranking = run(BalancedTreeSearch()(Broken(), Majority(), TASK, Seed(0)), FakeEngine()).value
    assert ranking.items == ()
    assert ranking.stopped == "failed"
