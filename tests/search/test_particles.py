from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import pytest
from search_toys import TASK, ByTable, Letters, Word, engine, letter, match

from cogitate.core.candidates import Candidate, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Generate
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.lab.worlds import ChainModel, chains, preset
from cogitate.processes import Reasoning
from cogitate.scorers import Indifferent, ProcessReward
from cogitate.search import BestOf, Particles, Resample, Solve, Table, TopK, TopKSpread, Until

WORD = ByTable(match("dacb"))


def solved(search, *, scorer=WORD, length=4, seed=0, serve=None, **options):
    strategy = Solve(Letters(length), scorer, search)
    return run(strategy(TASK, Seed(seed)), serve or engine(), **options)


def texts(ranking):
    return sorted(c.state.text for c in ranking.items)


@pytest.mark.parametrize("method", ["systematic", "residual", "stratified"])
def test_with_equal_scores_it_is_plain_sampling(method):
    stages = (Until(keep=Resample(method=method)),)
    for seed in range(3):
        found = solved(Particles(6, stages=stages), scorer=Indifferent(), seed=seed)
        plain = solved(BestOf(6), scorer=Indifferent(), seed=seed)
        assert texts(found.value) == texts(plain.value)
        assert found.usage.calls == plain.usage.calls == 24


def test_without_stages_it_is_plain_sampling():
    assert texts(solved(Particles(6, stages=())).value) == texts(solved(BestOf(6)).value)


def test_the_population_follows_its_schedule():
    done = solved(Particles(Table((8, 4, 2, 1)), stages=(Until(keep=TopK()),)))
    assert done.usage.calls == 8 + 4 + 2 + 1
    assert len(done.value.items) == 1
    grown = solved(Particles(Table((2, 4, 8, 8))))
    assert grown.usage.calls == 2 + 4 + 8 + 8


def test_a_planted_word_is_found():
    found = [
        solved(
            Particles(48, stages=(Until(keep=Resample(temperature=0.02)),)), seed=s
        ).value.best.state.text
        for s in range(5)
    ]
    assert found == ["dacb"] * 5


def test_copies_go_on_by_themselves():
    """All but one particle weigh nothing: its copies differ from the next step on."""
    stages = (Until(1, keep=Resample(temperature=0.0)),)
    scorer = ByTable(lambda text: 1.0 if text[:1] == "d" else 0.0)
    found = solved(Particles(8, stages=stages), scorer=scorer, seed=2).value
    assert {c.state.text[0] for c in found.items} == {"d"}
    assert len({c.state.text for c in found.items}) > 4
    assert len({c.id for c in found.items}) == 8


def test_filtering_matches_the_exact_posterior_of_a_two_state_chain():
    """A hidden chain of the letters a and b with known likelihoods, against the forward recursion."""
    length, count = 5, 1500
    stay, likely = 0.8, {"a": 0.9, "b": 0.3}
    letters = "ab"

    def policy(request: Generate) -> str:
        past = request.prompt.text.removeprefix("so far: ")
        draw = Seed(request.seed).rng().random()
        if not past:
            return letters[draw < 0.5]
        last = past[-1]
        return last if draw < stay else letters[letters.index(last) == 0]

    forward = {"a": 0.5 * likely["a"], "b": 0.5 * likely["b"]}
    for _ in range(length - 1):
        forward = {
            x: likely[x] * sum(forward[y] * (stay if x == y else 1 - stay) for y in letters)
            for x in letters
        }
    exact = forward["a"] / (forward["a"] + forward["b"])

    seen = ByTable(lambda text: math.log(likely[text[-1]]))
    for method in ("multinomial", "systematic", "residual"):
        found = solved(
            Particles(count, depth=length, stages=(Until(keep=Resample(method=method)),)),
            scorer=seen,
            length=length,
            serve=engine(policy),
        ).value
        copies = Counter()
        for c in found.items:
            copies[c.state.text[-1]] += int(c.score.features.get("copies", (0.0,))[0])
        share = copies["a"] / count
        assert sum(copies.values()) == count
        assert abs(share - exact) < 4 * math.sqrt(exact * (1 - exact) / count) + 0.01


@pytest.mark.parametrize("method", ["multinomial", "systematic", "residual", "stratified"])
@pytest.mark.parametrize("below", [1.0, 0.7, 0.2])
def test_gains_of_a_sum_are_its_parts(below, method):
    """`value` of each step's own score and `diff` of their sum are the same filter, draw for draw."""
    parts = {"a": 0.9, "b": -0.7, "c": 0.1, "d": 0.0}
    last, total = (
        ByTable(lambda text: parts[text[-1]]),
        ByTable(lambda text: sum(parts[x] for x in text)),
    )

    def shares(kind, scorer, seed):
        stages = (Until(keep=Resample(kind, 0.5, method, below)),)
        found = solved(Particles(5, stages=stages), scorer=scorer, seed=seed, length=6).value
        return {
            c.id: (c.score.features["copies"], round(c.score.features["weight"][0], 9))
            for c in found.items
            if "copies" in c.score.features
        }

    for seed in range(6):
        assert shares("value", last, seed) == shares("diff", total, seed)


def test_weights_that_wait_are_part_of_the_posterior():
    """By need or at every step: the weighted population has the exact law of the first and last letter."""
    length, count, likely = 4, 1500, {"a": 0.9, "b": 0.2, "c": 0.5, "d": 0.4}
    seen = ByTable(lambda text: math.log(likely[text[-1]]))
    exact = likely["a"] / sum(likely.values())  # letters are drawn alike and independently
    for below in (1.0, 0.6, 1e-9):
        stages = (Until(keep=Resample("value", 1.0, "systematic", below)),)
        search = Particles(count, depth=length, stages=stages)
        found = solved(search, scorer=seen, length=length).value
        for place in (0, length - 1):
            share = sum(
                c.score.features.get("weight", (0.0,))[0]
                for c in found.items
                if c.state.text[place] == "a"
            )
            # the effective size is at least a quarter of the population here
            assert abs(share - exact) < 4 * math.sqrt(exact * (1 - exact) / (count / 4)), below


def test_every_particle_begins_as_a_sample_of_its_own():
    """Where the beginning is random, as in diffusion, particles must not share it."""

    @dataclass(frozen=True)
    class Begun(Letters):
        async def start(self, task, seed):
            reply = await Generate(Prompt.raw("first"), seed=seed.int(), max_tokens=4)
            return Word(reply.text, ended=False)

    def asked(search):
        serve = engine()
        found = run(Solve(Begun(4), Indifferent(), search)(TASK, Seed(0)), serve).value
        return sorted(r.key() for r in serve.requests), texts(found)

    assert asked(Particles(6)) == asked(BestOf(6))


def test_where_no_stage_holds_nothing_is_scored_before_the_end():
    def scored(stages, population=6, length=4):
        counts = []

        async def counting(task, states):
            counts.append(len(states))
            return [Score(0.0) for _ in states]

        search = Particles(population, depth=length, stages=stages)
        found = solved(search, scorer=counting, length=length).value
        assert sum(counts) <= search.states()
        assert all(isinstance(c.score, Score) for c in found.items)
        return counts

    assert scored(()) == scored((), Table((6, 2))) == [6]
    keep = Until(2, keep=TopK())
    assert scored((Until(1), keep), Table((6, 4, 2))) == [6, 2]
    assert scored((keep,), Table((6, 4, 2))) == [6, 4, 2]
    assert scored((Until(keep=Resample()),)) == [6] * 4


def test_scores_that_are_no_probabilities_have_no_odds():
    def found(value, scale):
        stages = (Until(2, keep=Resample(temperature=0.01)),)
        search = Particles(6, stages=stages, scale=scale)
        return solved(search, scorer=ByTable(value)).value

    odd = found(lambda text: 3.5, "log_odds")
    assert "3.5 is no probability" in odd.note
    assert not odd.stopped
    assert [c.value for c in odd.items] == [3.5] * 6
    assert "probability" not in found(lambda text: 3.5, "as_is").note
    mixed = found(lambda text: -1.0 if text[0] == "a" else 0.5, "log_odds")
    assert "a" not in {c.state.text[0] for c in mixed.items}


def test_a_spread_selection_sees_whose_children_they_are():
    stages = (
        Until(1, keep=Resample(temperature=0.0)),
        Until(2, keep=TopKSpread(per_parent=1)),
    )
    scorer = ByTable(lambda text: 1.0 if text[:1] == "d" else 0.0)
    found = solved(Particles(8, stages=stages), scorer=scorer, seed=2).value
    above = [c.id.split(".")[0] for c in found.items]
    assert len(above) == len(set(above)) < 8


def test_a_lost_particle_makes_room_and_what_it_had_is_kept():
    def write(request):
        past = request.prompt.text.removeprefix("so far: ")
        return Failed("down") if past and past[0] == "a" else letter(request)

    found = solved(Particles(8), scorer=Indifferent(), serve=engine(write), seed=3).value
    done = [c for c in found.items if c.state.complete]
    left = [c for c in found.items if not c.state.complete]
    assert left
    assert {c.state.text for c in left} == {"a"}
    assert sum(c.score.features["copies"][0] for c in done) == 8
    assert not found.stopped


def test_an_unscored_round_changes_no_weight():
    keep = Resample("value", 1.0, "systematic", 0.01)
    some = [Candidate("x", Score(2.0), "0"), Candidate("y", Score(0.0), "1")]
    none = [Candidate(c.state, Unscored("dead"), c.id) for c in some]
    first = keep.log_weights(some)
    assert first[0] - first[1] == 2.0
    assert keep.log_weights(none, first) == first
    assert keep.log_weights(some, first)[0] - keep.log_weights(some, first)[1] == 4.0


def test_an_unscored_particle_weighs_nothing_beside_scored_ones():
    mixed = [
        Candidate("x", Unscored("dead"), "0"),
        Candidate("y", Score(-50.0), "1"),
    ]
    assert {c.state for c in Resample()(mixed, 10, Seed(0))} == {"y"}
    dead = [Candidate(str(i), Unscored("dead"), str(i)) for i in range(4)]
    assert [c.state for c in Resample()(dead, 4, Seed(0))] == ["0", "1", "2", "3"]
    assert Resample()([], 4, Seed(0)) == []


def test_an_even_population_is_left_alone():
    even = [Candidate(i, Score(0.5), str(i)) for i in range(6)]
    assert Resample("value", 1.0, "multinomial", below=0.5)(even, 6, Seed(1)) is even
    drawn = Resample("value", 1.0, "multinomial")(even, 6, Seed(1))
    assert [c.state for c in drawn] != list(range(6))
    fewer = Resample("value", 1.0, "multinomial", below=0.5)(even, 3, Seed(1))
    assert len(fewer) == 3


def test_finished_particles_stay_and_take_no_more_steps():
    world = preset("medium", steps=(1, 1))
    [problem] = chains(world, 1)
    strategy = Solve(Reasoning(), ProcessReward(), Particles(6, depth=10))
    done = run(strategy(problem.task, Seed(0)), ChainModel(world))
    assert done.roles["policy"].calls == 12  # one step and one final line each
    assert not done.value.stopped


def test_search_leads_on_a_world():
    world = preset("medium", verifier="value")
    problems = chains(world, 120)

    def right(search):
        strategy = Solve(Reasoning(), ProcessReward(), search)
        model = ChainModel(world)
        return sum(
            run(strategy(p.task, Seed(i)), model).value.best.state.answer == p.gold
            for i, p in enumerate(problems)
        )

    assert right(Particles(8, scale="log_odds")) > right(BestOf(1)) + 20


@pytest.mark.parametrize("calls", [0, 1, 4, 9, 14, 23])
def test_a_spent_budget_leaves_what_it_bought(calls):
    done = solved(Particles(6), budget=Budget(calls=calls))
    assert done.usage.calls <= calls
    assert done.idle
    assert done.value.stopped == "budget"
    assert bool(done.value.items) == (calls > 0)


def test_the_most_copied_may_be_ranked_first():
    found = solved(Particles(12, rank="copies", stages=(Until(keep=Resample(temperature=0.3)),)))
    copies = [c.score.features.get("copies", (0.0,))[0] for c in found.value.items]
    assert copies == sorted(copies, reverse=True)


def test_senseless_settings_are_refused():
    with pytest.raises(InvalidInput, match="each must end after"):
        Particles(stages=(Until(3), Until(2)))
    with pytest.raises(InvalidInput, match="population"):
        Particles(population=0)
    with pytest.raises(InvalidInput, match="temperature=-1"):
        Resample(temperature=-1)
    with pytest.raises(InvalidInput, match="potentials are"):
        Resample("values")
    with pytest.raises(InvalidInput, match="below=0"):
        Resample(below=0)
    with pytest.raises(InvalidInput, match="depth 0"):
        Until(0)
