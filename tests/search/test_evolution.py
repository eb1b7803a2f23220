from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from successions import TASK, Bits, Counting, OneMax, engine

from cogitate.assembly.spec import read
from cogitate.core.candidates import Artifact
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.requests import Call
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.processes import Answer
from cogitate.scorers import Indifferent, Majority
from cogitate.search import BestOf, Evolution, Solve, Table, Tournament, Truncation


def solved(search, *, scorer=None, serve=None, seed=0, process=None, **driven):
    strategy = Solve(process or OneMax(), scorer or Counting(), search)
    return run(strategy(TASK, Seed(seed)), serve or engine(), **driven)


def made(serve):
    return [r.args for r in serve.requests if isinstance(r, Call)]


def test_no_generation_is_best_of_n():
    for scorer, length in itertools.product((Counting, Majority), (2, 8)):  # 2: equal samples
        process = OneMax(length)
        want = solved(BestOf(9), scorer=scorer(), process=process)
        got = solved(Evolution(9, 0), scorer=scorer(), process=process)
        assert got.value == want.value
        assert got.usage == want.usage


def planted(text):
    """A deceptive landscape: agreement with a planted word, and a bonus for its two halves."""
    word = "1011001110"
    halves = (text[:5] == word[:5]) + (text[5:] == word[5:])
    return sum(a == b for a, b in zip(text, word, strict=True)) + 2.0 * halves


def test_the_planted_optimum_is_reached_where_samples_miss_it():
    best = max(map("".join, itertools.product("01", repeat=10)), key=planted)  # brute force
    assert best == "1011001110"
    process, search = OneMax(10), Evolution(12, 14, elites=2)
    found = sampled = 0
    for seed in range(10):
        grown = solved(search, scorer=Counting(planted), process=process, seed=seed).value
        drawn = solved(
            BestOf(search.states()), scorer=Counting(planted), process=process, seed=seed
        )
        found += grown.best.state.text == best
        sampled += drawn.value.best.state.text == best
    assert found >= 9
    assert sampled <= 5


def generations(ranking, of):
    """The best of each population, told from the events."""
    found = []
    values = {c.id: c.value for c in ranking.items}
    for event in of:
        if type(event).__name__ == "Noted" and event.kind == "kept":
            found.append(max(values[id] for id in event.data["ids"]))
    return found


def test_elites_never_let_the_best_fall():
    for seed in range(6):
        events = []
        search = Evolution(6, 8, elites=1, parents=1)
        ranking = solved(search, seed=seed, listen=events.append).value
        bests = generations(ranking, events)
        assert len(bests) == 8
        assert bests == sorted(bests)
        assert ranking.best.value == bests[-1]


def test_without_elites_a_population_may_fall_but_the_best_ever_is_the_answer():
    fell = 0
    for seed in range(6):
        events = []
        ranking = solved(
            Evolution(4, 8, elites=0, parents=1),
            process=OneMax(8, 0.5),
            seed=seed,
            listen=events.append,
        ).value
        bests = generations(ranking, events)
        fell += bests != sorted(bests)
        assert ranking.best.value == max(c.value for c in ranking.items) >= max(bests)
    assert fell


@pytest.mark.parametrize(
    ("population", "generations", "elites"),
    [(5, 0, 2), (6, 3, 2), (4, 5, 0), (Table((8, 6, 4)), 3, 1)],
)
def test_costs_are_closed_forms_and_no_state_is_paid_twice(population, generations, elites):
    search = Evolution(population, generations, elites)
    serve, scorer = engine(), Counting()
    ranking = solved(search, serve=serve, scorer=scorer).value
    sizes = [population if isinstance(population, int) else round(population(g)) for g in range(9)]
    children = sum(sizes[g] - elites for g in range(1, generations + 1))
    asked = made(serve)
    assert sum(a[0] == "start" for a in asked) == sizes[0]
    assert sum(a[0] == "mutate" for a in asked) == children
    assert len(ranking.items) == sizes[0] + children == search.states()
    assert set(scorer.asked.values()) == {1}, "elites and equal states are scored once"
    assert sum(scorer.batches) <= search.states()


def test_equal_states_live_once():
    events = []
    ranking = solved(
        Evolution(6, 3, elites=2), process=OneMax(2, 0.0), scorer=Counting(), listen=events.append
    ).value
    texts = {c.id: c.state.text for c in ranking.items}
    for event in events:
        if type(event).__name__ == "Noted" and event.kind == "kept":
            alive = [texts[id] for id in event.data["ids"]]
            assert len(set(alive)) == len(alive)
    values = {c.state.text: c.value for c in ranking.items}
    assert all(c.value == values[c.state.text] for c in ranking.items)


def test_a_scorer_that_compares_is_asked_about_all_so_far():
    scorer = Counting(separable=False)
    solved(Evolution(4, 3, elites=1), scorer=scorer)
    assert scorer.batches == [4, 7, 10, 13]


def test_parents_by_truncation_are_the_best_of_the_last_generation():
    """Conditioned on the K best, in one order, so that all children share their prompt."""
    shown = []

    class Watched(OneMax):
        async def mutate(self, parents, seed):
            shown.append([p.bits for p in parents])
            return await super().mutate(parents, seed)

    scorer = Counting(lambda text: int(text, 2))
    ranking = solved(
        Evolution(6, 2, 0, Truncation(3), parents=3), process=Watched(), scorer=scorer
    ).value
    values = {c.id: (c.value, tuple(map(int, c.state.text))) for c in ranking.items}
    first = sorted((v for id, v in values.items() if "g" not in id), reverse=True)[:3]
    second = sorted({v for id, v in values.items() if id.startswith("g1")}, reverse=True)[:3]
    assert shown[:6] == [[bits for _, bits in first]] * 6
    assert shown[6:] == [[bits for _, bits in second]] * 6


@pytest.mark.parametrize("breed", ["living", "ever"])
def test_an_archive_breeds_from_all(breed):
    process = OneMax(
        8, 1.0
    )  # every child is the opposite of its parent: of the best, it is the worst
    search = Evolution(5, 2, 0, Truncation(1), parents=1, breed=breed)
    ranking = solved(search, process=process).value
    values = {c.id: c.value for c in ranking.items}
    first = max((id for id in values if "g" not in id), key=lambda id: values[id])
    parents = {c.parent for c in ranking.items if c.id.startswith("g2")}
    assert parents == ({first} if breed == "ever" else {"g1.0"})


def test_self_evolution_asks_no_scorer_and_ranks_the_last_generation():
    serve = engine()
    search = Evolution(5, 3, 0, Truncation(5), parents=5, rank="last")
    done = solved(search, scorer=Indifferent(), serve=serve)
    assert [c.id for c in done.value.items] == [f"g3.{i}" for i in range(5)]
    assert done.usage.calls == len(made(serve)) == 20


def test_strength_follows_its_schedule():
    seen = []

    class Strong(OneMax):
        def at_strength(self, strength):
            seen.append(strength)
            return type(self)(self.length, strength)

    process = Strong(8, 0.0)
    ranking = solved(
        Evolution(3, 3, 1, parents=1, strength=Table((9, 0.5, 0.25, 0.0))), process=process
    ).value
    assert seen == [0.5, 0.25, 0.0]
    parents = {c.id: c for c in ranking.items}
    for candidate in ranking.items:
        if candidate.id.startswith("g3"):
            assert candidate.state.text == parents[candidate.parent].state.text
    with pytest.raises(InvalidInput, match="OneMax has none"):
        solved(Evolution(strength=1.0))


def test_every_cut_of_the_budget_keeps_what_was_paid_for():
    search = Evolution(4, 3, elites=1)
    for calls in range(search.states() + 1):
        done = solved(search, budget=Budget(calls=calls))
        assert done.usage.calls == calls == len(done.value.items)
        assert done.value.stopped == ("budget" if calls < search.states() else "")
        assert done.idle


def test_one_failure_loses_one_answer():
    search = Evolution(4, 2, elites=1)
    for at in range(search.states()):
        seen = iter(range(100))
        serve = engine(lambda r, at=at, seen=seen: Failed("down") if next(seen) == at else None)
        ranking = solved(search, serve=serve).value
        assert len(ranking.items) == search.states() - 1
        assert "down" in ranking.note


def test_a_generation_that_fails_whole_does_not_end_the_population():
    serve = engine(lambda r: Failed("down") if r.args[0] == "mutate" else None)
    ranking = solved(Evolution(4, 2, elites=0), serve=serve).value
    assert len(ranking.items) == 4
    assert len(made(serve)) == 12


class Sterile:
    """A process that cannot mutate."""

    async def start(self, task, seed):
        return Bits((1,))

    async def step(self, state, seed):
        return state

    def done(self, state):
        return True

    async def render(self, state):
        return Artifact("1", "1")


def test_a_process_that_cannot_mutate_is_refused_at_the_start_and_in_specs():
    serve = engine()
    with pytest.raises(InvalidInput, match="Sterile cannot mutate"):
        solved(Evolution(), process=Sterile(), serve=serve)
    assert serve.requests == []
    from cogitate.assembly.names.revising import evolution, refine, sequential_revision

    with pytest.raises(InvalidInput, match="Sterile cannot mutate"):
        evolution(process=Sterile())
    for factory in (refine, sequential_revision):
        with pytest.raises(InvalidInput, match="Sterile cannot revise"):
            factory(process=Sterile())


def test_specs_make_what_they_say():
    made = read(
        "evolution(population=table((8, 4)), generations=2, elites=1, select='truncation', size=2, "
        "parents=1, strength=1.2, breed='ever', rank='last', scorer=prm())"
    ).for_kind("math")
    assert made.search == Evolution(Table((8.0, 4.0)), 2, 1, Truncation(2), 1, 1.2, "ever", "last")
    assert isinstance(made.process, Answer)
    for spec in (
        "evolution(elites=-1)",
        "evolution(size=0)",
        "refine(rounds=-1)",
        "refine(width=0)",
    ):
        with pytest.raises(InvalidInput):
            read(spec)


@pytest.mark.parametrize(
    "wrong",
    [
        {"population": 0},
        {"generations": -1},
        {"elites": -1},
        {"parents": 0},
        {"strength": -0.1},
        {"strength": float("nan")},
        {"strength": float("inf")},
        {"breed": "x"},
        {"rank": "x"},
    ],
)
def test_senseless_numbers_are_refused(wrong):
    with pytest.raises(InvalidInput, match="asked for"):
        Evolution(**wrong)
    with pytest.raises(InvalidInput):
        Tournament(0)


CHECKED = """
from cogitate.core.candidates import Artifact, Ranking
from cogitate.core.flow import Flow
from cogitate.core.protocols import Process, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.processes import Answer, Draft
from cogitate.scorers import Majority
from cogitate.search import BestOf, Evolution, Refinement, SequentialRevision, Solve


class Sterile:
    async def start(self, task: Task, seed: Seed) -> int: ...
    async def step(self, state: int, seed: Seed) -> int: ...
    def done(self, state: int) -> bool: ...
    async def render(self, state: int) -> Artifact: ...


async def use(ints: Scorer[int], drafts: Scorer[Draft], task: Task, seed: Seed) -> None:
    await Evolution()(Answer(), drafts, task, seed)
    await Refinement()(Answer(), drafts, task, seed)
    await SequentialRevision()(Answer(), drafts, task, seed)
    await BestOf()(Sterile(), ints, task, seed)
    for fit in (Solve(Answer(), Majority(), Evolution()), Solve(Sterile(), Majority(), BestOf())):
        await fit(task, seed)
    Solve(Sterile(), Majority(), Evolution())  # wrong
    await Evolution()(Sterile(), ints, task, seed)  # wrong
    await Refinement()(Sterile(), ints, task, seed)  # wrong
    await SequentialRevision()(Sterile(), ints, task, seed)  # wrong
"""


@pytest.mark.slow
def test_a_process_that_cannot_is_a_type_error(tmp_path):
    checker = Path(sys.executable).with_name("basedpyright")
    if not checker.exists():
        pytest.skip("basedpyright is not installed")
    file = tmp_path / "uses.py"
    file.write_text(CHECKED)
    done = subprocess.run(
        [str(checker), "--outputjson", str(file)], capture_output=True, text=True, check=False
    )
    said = json.loads(done.stdout)["generalDiagnostics"]
    errors = {d["range"]["start"]["line"] for d in said if d.get("rule") == "reportArgumentType"}
    wrong = {n for n, line in enumerate(CHECKED.split("\n")) if line.endswith("# wrong")}
    assert errors == wrong
