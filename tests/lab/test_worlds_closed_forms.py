"""Every number that the chain world states, against its closed form, with fixed seeds."""

from __future__ import annotations

import math
from statistics import NormalDist, fmean

import pytest

from cogitate.core.flow import gather
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Embed, Generate
from cogitate.core.seeds import Seed
from cogitate.core.task import Message
from cogitate.drive import run
from cogitate.lab.worlds import (
    PRESETS,
    WAYS,
    ChainModel,
    Place,
    answer_chances,
    chains,
    finish_chance,
    first_error,
    preset,
    read_on,
    right_chance,
    step_scores,
)
from cogitate.lab.worlds.validation import (
    Compared,
    Drawn,
    drawn,
    expected_vote_share,
    last_score,
    preference,
    validated,
)
from cogitate.processes import Reasoning
from cogitate.rules import Interval, wilson

SURE = 0.9995
"""With fixed seeds an interval is missed for good or never; some hundred are looked at."""


def check(expected: float, hits: list[bool]) -> None:
    seen = wilson(sum(hits), len(hits), SURE)
    assert len(hits) >= 100
    assert expected in seen, f"{expected:.4f} is expected; {seen} was seen of {len(hits)}"


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_agrees_with_its_closed_forms(name: str) -> None:
    found = validated(PRESETS[name], 40, 40, confidence=SURE)
    assert [one.name for one in found if not one.agrees] == []
    assert len(found) >= 7


def test_an_interval_that_misses_disagrees() -> None:
    assert not Compared("x", 0.9, Interval(0.5, 0.4, 0.6)).agrees


def test_the_critic_has_its_precision_where_errors_are_not_too_common() -> None:
    found = {one.name: one for one in validated(PRESETS["easy"], 4, 20)}
    assert found["precision of the critic"].expected == pytest.approx(0.8)
    found = {one.name: one for one in validated(PRESETS["hard"], 4, 20)}
    assert found["recall of the critic"].expected == 0.8


@pytest.mark.parametrize("name", ["medium", "self_correcting", "deceptive", "attractor"])
def test_step_by_step_is_distributed_as_all_at_once(name: str) -> None:
    world = preset(name, repair=0.5) if name == "deceptive" else preset(name)
    process, problems = Reasoning(), chains(world, 30)

    async def one(chain, number):
        seed = Seed(chain.number).at(number)
        state, depth = await process.start(chain.task, seed), 0
        while not process.done(state):
            state, depth = await process.step(state, seed.at("step", depth)), depth + 1
        return chain, (await process.render(state)).text

    async def all_of_them():
        return await gather(*(one(c, n) for c in problems for n in range(30)))

    stepped = run(all_of_them(), ChainModel(world)).value
    offsets = [(c, read_on(c, Place(), text).offset) for c, text in stepped]
    chances = [answer_chances(world, c) for c in problems]
    expected = {kind: fmean(c[kind] for c in chances) for kind in chances[0]}
    check(expected["right"], [o == 0 for _, o in offsets])
    check(expected["attractor"], [o == c.attractor(world) for c, o in offsets])
    check(expected["dead"], [abs(o) > world.scatter for _, o in offsets])


def test_the_value_of_a_place_is_the_chance_to_end_right_from_it() -> None:
    """From the second step on, wherever that has led."""
    world = preset("self_correcting", ways=4, dead=1)
    model, values, hits = ChainModel(world), [], []
    for chain in chains(world, 60):
        asked = Prompt.chat(*chain.task.messages)
        for number in range(10):
            text = model.write(Generate(asked, seed=number)).text
            begun = "\n\n".join(text.split("\n\n")[:2]) + "\n\n"
            ended = model.write(Generate(asked.then(begun), seed=1000 + number)).text
            place = read_on(chain, Place(), begun)
            values.append(finish_chance(world, chain, place))
            hits.append(read_on(chain, place, ended).offset == 0)
    check(fmean(values), hits)
    right = [h for h, v in zip(hits, values, strict=True) if v > 0.5]
    check(fmean(v for v in values if v > 0.5), right)
    check(
        fmean(v for v in values if v <= 0.5),
        [h for h, v in zip(hits, values, strict=True) if v <= 0.5],
    )


def test_calibrated_scores_are_chances_at_even_odds() -> None:
    world = preset("wordy", length_bias=0.0)
    even = _even(drawn(world, 100, 30))
    scores = [(last_score(world, chain, text), right) for chain, text, right in even]
    for low in (0.0, 0.25, 0.5, 0.75):
        held = [(s, r) for s, r in scores if low <= s < low + 0.25]
        check(fmean(s for s, _ in held), [r for _, r in held])


def test_uncalibrated_scores_are_too_sure() -> None:
    world = preset("wordy", length_bias=0.0, calibrated=False)
    even = _even(drawn(world, 100, 30))
    top = [r for c, t, r in even if last_score(world, c, t) > 0.9]
    assert wilson(sum(top), len(top), SURE).high < 0.9


def _even(found: list[Drawn]):
    rights = [(o.chain, t, True) for o in found for t, r in zip(o.texts, o.right, strict=True) if r]
    wrongs = [
        (o.chain, t, False) for o in found for t, r in zip(o.texts, o.right, strict=True) if not r
    ]
    size = min(len(rights), len(wrongs))
    return rights[:size] + wrongs[:size]


@pytest.mark.parametrize("bias", [0.0, 0.7])
def test_a_judge_has_its_auc_and_its_position_bias(bias: float) -> None:
    world = preset("medium", padding=6, position_bias=bias)
    model, found = ChainModel(world), drawn(preset("medium", padding=6), 60, 16)
    first, second = [], []
    for one in found:
        rights = [t for t, r in zip(one.texts, one.right, strict=True) if r]
        wrongs = [t for t, r in zip(one.texts, one.right, strict=True) if not r]
        for right, wrong in zip(rights, wrongs, strict=False):
            first.append(_ranking(model, one, [right, wrong]) == 1)
            second.append(_ranking(model, one, [wrong, right]) == 2)
    expected = preference(world)
    check(expected[0], first)
    check(expected[1], second)
    assert (expected[0] > expected[1] + 0.2) == (bias > 0)


def _ranking(model: ChainModel, one: Drawn, texts: list[str]) -> int:
    told = "\n\n".join(
        f"[[answer {i} x]]\n{text}\n[[end of answer {i} x]]" for i, text in enumerate(texts, 1)
    )
    asked = Prompt.chat(Message("user", f"{one.chain.question}\n\n{told}\n\nRanking: 1 > 2"))
    said = model.write(Generate(asked, seed=0, role="judge")).text
    return int(said.rpartition("Ranking: ")[2].split(" > ")[0])


@pytest.mark.parametrize(
    ("told", "gain"),
    [
        ("Plan: go slowly.\n", lambda w: w.plan),
        ("Example one.\nExample two.\nExample three.\n", lambda w: 2 * w.examples),
        (f"<think>{'so ' * 200}</think>\n", lambda w: w.thinking),
        (f"<think>{'so ' * 100}</think>\n", lambda w: 0.75 * w.thinking),
        (f"<think>{'so ' * 400}</think>\n", lambda w: 0.0),
        (f"<think>{'so ' * 500}</think>\n", lambda w: -1.25 * w.thinking),
    ],
    ids=["plan", "three examples", "thinking", "half", "twice", "too much"],
)
def test_what_is_told_moves_the_odds_as_stated(told, gain) -> None:
    world = preset("revising")
    found = drawn(world, 40, 30, ask=lambda c: Prompt.chat(Message("user", told + c.question)))
    expected = fmean(right_chance(world, one.chain, gain(world)) for one in found)
    check(expected, [r for one in found for r in one.right])


@pytest.mark.parametrize("named", [False, True], ids=["look again", "the first error is named"])
def test_a_wrong_attempt_and_right_feedback_help_as_stated(named: bool) -> None:
    world = preset("revising")
    model, hits, chances = ChainModel(world), [], []
    for one in drawn(world, 60, 20):
        wrong = [t for t, r in zip(one.texts, one.right, strict=True) if not r]
        for number, text in enumerate(wrong):
            said = f"Step {first_error(one.chain, text)} is wrong." if named else "Look again."
            asked = Prompt.chat(*one.chain.task.messages).then(text).turn(Message("user", said))
            again = model.write(Generate(asked, seed=number)).text
            hits.append(read_on(one.chain, Place(), again).offset == 0)
            boost = world.revision + (world.feedback if named else 0.0)
            chances.append(right_chance(world, one.chain, boost))
    check(fmean(chances), hits)


def test_a_vote_gets_worse_with_samples_where_wrong_answers_agree() -> None:
    for name, better in (("attractor", False), ("scatter", True)):
        world = preset(name)
        problems = chains(world, 20)
        by_size = [fmean(expected_vote_share(world, c, n) for c in problems) for n in (1, 5, 13)]
        assert sorted(by_size, reverse=not better) == by_size
        assert abs(by_size[0] - by_size[2]) > 0.1


def test_doubt_shows_in_log_probabilities_and_only_there() -> None:
    for name, tells in (("confident", True), ("medium", False)):
        world = preset(name)
        model, wins = ChainModel(world), []
        for one in chains(world, 60):
            asked = Prompt.chat(*one.task.messages)
            done = [model.write(Generate(asked, seed=i, logprobs=0)) for i in range(10)]
            means = [(fmean(d.logprobs), read_on(one, Place(), d.text).offset == 0) for d in done]
            rights, wrongs = [m for m, r in means if r], [m for m, r in means if not r]
            wins += [a > b for a, b in zip(rights, wrongs, strict=False)]
        seen = wilson(sum(wins), len(wins), SURE)
        assert (seen.low > 0.9) if tells else (0.5 in seen), f"{name}: {seen}"


@pytest.mark.parametrize("noise", [0.2, 1.0])
def test_embeddings_reveal_the_way_as_far_as_their_noise_lets_them(noise: float) -> None:
    world, normal = preset("deceptive", embedding_noise=noise), NormalDist()
    xs = [i / 100 for i in range(-800, 801)]
    others = len(WAYS)
    expected = math.fsum(normal.pdf(x) * normal.cdf(x + 1 / noise) ** others / 100 for x in xs)
    texts, ways = [], []
    for one in drawn(world, 60, 10):
        for text in one.texts:
            texts.append(f"{text}\n{len(texts)}")
            ways.append(read_on(one.chain, Place(), text).way)
    engine = ChainModel(world)

    async def asked():
        return await Embed(tuple(texts))

    vectors = run(asked(), engine).value
    check(
        expected,
        [max(range(len(v)), key=v.__getitem__) == w for v, w in zip(vectors, ways, strict=True)],
    )


def test_a_verifier_of_outcomes_is_silent_until_the_end() -> None:
    world = preset("medium", verifier="outcome")
    (one,) = drawn(world, 1, 1)
    scores = step_scores(world, one.chain, "", one.texts[0].split("\n\n"))
    assert set(scores[:-1]) == {0.5}
    assert scores[-1] != 0.5


def test_scattered_errors_are_alike_and_none_is_right() -> None:
    """Two up and two down without the lure: three shifts, a third of the errors each."""
    world = preset("scatter", scatter=2, skill=0.0, difficulty=(0.0, 0.0), steps=(1, 1))
    found = drawn(world, 40, 60)
    offsets = [
        (o.chain.attractor(world), answer - o.chain.answer) for o in found for answer in o.answers
    ]
    check(0.5, [shift == 0 for _, shift in offsets])
    wrong = [(lure, shift) for lure, shift in offsets if shift]
    assert all(shift != lure and abs(shift) <= 2 for lure, shift in wrong)
    for size in (-2, -1, 1, 2):
        check(1 / 3, [shift == size for lure, shift in wrong if lure != size])
