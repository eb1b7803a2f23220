from __future__ import annotations

import typing
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from cogitate import processes, scorers, search
from cogitate.assembly import names
from cogitate.assembly.factory import Assembled, Factory, Parameter
from cogitate.assembly.names import TABLE, default_scorer, default_strategy, filled
from cogitate.assembly.spec import read
from cogitate.core.errors import InvalidInput
from cogitate.core.task import KINDS

FLOATS = {"temperature": (0, 5), "top_p": (0.1, 1), "confidence": (0.51, 0.99)}
TEXTS = {
    "preset": st.sampled_from(["", "word_problems"]),
    "name": st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20),
}


def arguments(parameter: Parameter, depth: int) -> st.SearchStrategy[Any]:
    found: list[st.SearchStrategy[Any]] = []
    hint = parameter.hint
    options = (
        typing.get_args(hint) if typing.get_origin(hint) not in (Annotated, Literal, tuple) else ()
    )
    for option in options or (hint,):
        origin = typing.get_origin(option)
        if option is type(None):
            found.append(st.none())
        elif origin is Annotated:
            found.append(made(option.__metadata__[0], depth - 1) if depth else st.none())
        elif origin is Literal:
            found.append(st.sampled_from(typing.get_args(option)))
        elif parameter.name in ("weights", "edges", "shares", "tools"):  # tied to others, or a form
            found.append(st.just(parameter.default))
        elif origin is tuple:
            found.append(st.lists(items(typing.get_args(option)[0], depth), min_size=1, max_size=3))
        elif option is bool:
            found.append(st.booleans())
        elif option is int:
            found.append(st.integers(2, 9))
        elif option is float:
            low, high = FLOATS.get(parameter.name, (parameter.default, parameter.default))
            found.append(st.floats(low or 0.0, high or 0.0))
        elif parameter.name in TEXTS:
            found.append(TEXTS[parameter.name])
        else:
            found.append(st.text(min_size=1, max_size=12))
    if depth == 0 and any(typing.get_origin(o) is Annotated for o in options or (hint,)):
        return st.just(parameter.default) if not parameter.required else st.just(TABLE["greedy"]())
    return st.one_of(found)


def items(hint: Any, depth: int) -> st.SearchStrategy[Any]:
    if typing.get_origin(hint) is Annotated:
        family = hint.__metadata__[0]
        least = TABLE["majority" if family == "scorer" else "greedy"]
        return made(family, depth - 1) if depth else st.just(least())
    return st.floats(1, 9) if hint is float else st.text(min_size=1, max_size=5)


def calls(factory: Factory[...], depth: int) -> st.SearchStrategy[Assembled]:
    fields = {name: arguments(p, depth) for name, p in factory.parameters.items()}
    required = {n: s for n, s in fields.items() if factory.parameters[n].required}
    rest = {n: s for n, s in fields.items() if n not in required}
    if factory.name == "best_action":
        del rest["process"]  # only one that acts will do
    return st.fixed_dictionaries(required, optional=rest).map(lambda kw: chosen(factory, kw))


def chosen(factory: Factory[...], given: dict[str, Any]) -> Assembled:
    """Made; what does not fit together, such as a search and its process, is not what is tried here."""
    try:
        return factory.choose((), given)
    except InvalidInput:
        if "process" not in given:
            raise
        reject()


def made(family: str, depth: int) -> st.SearchStrategy[Assembled]:
    return st.one_of([calls(f, depth) for f in TABLE.values() if f.family == family])


@given(st.sampled_from(["strategy", "scorer", "process", "schedule"]).flatmap(lambda f: made(f, 2)))
@settings(max_examples=40, deadline=None)
def test_every_spec_reads_back_as_itself(chosen: Assembled) -> None:
    again = read(str(chosen), chosen.family)
    assert again == chosen
    assert str(again) == str(chosen)
    assert again.for_kind("text") == chosen.for_kind("text")


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_name_stands_alone_with_help(name: str) -> None:
    factory = TABLE[name]
    assert factory.name == name
    assert factory.summary.endswith((".", "`"))
    assert len(factory.summary) < 100
    for parameter in factory.parameters.values():
        assert parameter.hint is not Any, parameter.name
    if not any(p.required for p in factory.parameters.values()):
        chosen = read(name, factory.family)
        assert str(chosen) == f"{name}()"
        for kind in KINDS:
            assert chosen.for_kind(kind) is not None


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_exist_for_every_kind_and_are_said(kind: str) -> None:
    strategy, _ = default_strategy(kind)
    scorer, why = default_scorer(kind)
    done, reason = filled(strategy, kind)
    assert read(str(done)) == done
    assert why
    assert scorer.for_kind(kind) is not None
    assert (scorer.name == "majority") == (kind in ("math", "number", "choice", "json"))
    assert type(scorer.for_kind(kind)) is type(scorers.default_scorer(kind))
    assert reason or kind in names.VOTABLE


def test_what_is_made_is_what_was_asked_for() -> None:
    beam = read(
        'beam_search(width=2, branch=3, depth=5, scorer=prm("min"), final=majority())'
    ).for_kind("math")
    assert beam.search == search.BeamSearch(2, 3, 5)
    assert beam.scorer == scorers.ProcessReward("min")
    assert beam.final == scorers.Majority()
    assert isinstance(beam.process, processes.Reasoning)
    vote = read("vote(greedy(), n=5)").for_kind("math")
    assert (vote.n, vote.strategy.process.sampling.temperature) == (5, 0.0)
    one = read('best_of(n=3, process=reasoning(separator="\\n", max_steps=4))').for_kind("text")
    assert one.process.boundaries == processes.Boundaries(("\n",), 4)
    assert one.scorer == scorers.Judge()
    assert read("self_consistency(n=5, confidence=0.9)").for_kind("math").search.confidence == 0.9
    assert read("best_of(process=answer(preset='word_problems'))").for_kind("math").process.examples
    rule = read('best_of(scorer=step_vote("prm_min_max"))').for_kind("math").scorer
    assert rule == scorers.step_vote("prm_min_max", scorers.ProcessReward())
    assert read("best_of(scorer=judge(samples=3))").for_kind("text").scorer.sampling.temperature > 0


def test_a_number_may_be_a_schedule() -> None:
    beam = read("beam_search(width=linear(4, 1, over=3), branch=table([4, 2]))")
    assert (
        str(beam)
        == "beam_search(width=linear(first=4.0, last=1.0, over=3), branch=table(values=(4.0, 2.0)))"
    )
    made = beam.for_kind("math").search
    assert (made.width, made.branch) == (search.Linear(4, 1, 3), search.Table((4, 2)))
    with pytest.raises(InvalidInput, match="schedule"):
        read("beam_search(width=linear(first=-1))")


def test_a_scorer_that_reads_logprobs_has_them_asked_for() -> None:
    def logprobs(spec: str) -> int:
        return read(spec).for_kind("math").process.logprobs

    assert logprobs("best_of(scorer=self_certainty(top=7))") == 7
    assert logprobs("best_of(scorer=mean_logprob())") == 0
    assert logprobs("best_of(scorer=weighted(mean_logprob()))") == 0
    assert logprobs("beam_search(scorer=mean_logprob())") == 0
    assert logprobs("best_of()") == -1
    assert logprobs("beam_search(scorer=prm(), final=self_certainty(top=4))") == 4
    assert logprobs("mcts(scorer=prm(), final=weighted(mean_logprob()))") == 0
    assert logprobs("refine(scorer=judge(), final=mean_logprob())") == 0
    assert logprobs("evolution(scorer=prm(), final=self_certainty(top=6))") == 6


def test_steps_are_judged_by_a_verifier_where_there_is_one() -> None:
    beam = read("vote(beam_search())")
    assert str(filled(beam, "math", verifier=True)[0]) == "vote(beam_search(scorer=prm()))"
    without, reason = filled(beam, "math", verifier=False)
    assert str(without) == "vote(beam_search(scorer=judge()))"
    assert "verifier" in reason


def test_a_vote_over_free_text_is_done_and_remarked() -> None:
    done, reason = filled(read("self_consistency(n=4)"), "text")
    assert str(done) == "self_consistency(n=4)"
    assert "seldom agree" in reason
    assert not filled(done, "math")[1]


@pytest.mark.parametrize(
    "spec",
    [
        "best_of(n=0)",
        "best_of(n=100001)",
        "self_consistency(n=-1)",
        "self_consistency(confidence=0.2)",
        "beam_search(width=0)",
        "vote(greedy(), n=0)",
        "best_of(process=answer(temperature=-1))",
        "best_of(process=answer(top_p=0))",
        "best_of(process=answer(max_tokens=0))",
        "best_of(process=answer(preset='word_problem'))",
        "best_of(process=reasoning(separator=''))",
        "best_of(process=reasoning(separator=[]))",
        "best_of(process=reasoning(max_steps=0))",
        "halving(keep=0)",
        "cascade(greedy(), greedy(), share=0)",
        "escalate([])",
        "escalate([greedy()], shares=[0.5, 0.5])",
        "route([greedy(), greedy()], edges=[0.5, 0.2])",
        "route([greedy(), greedy(), greedy()], edges=[0.2, 0.5])",
        "best_action(process=answer())",
        "best_action(process=tool_use(tools=['look up']))",
        "best_of(scorer=self_certainty(top=1))",
        "best_of(scorer=judge(samples=0))",
        "best_of(scorer=listwise_judge(block=1))",
        'best_of(scorer=function(""))',
    ],
)
def test_senseless_numbers_are_refused_when_the_spec_is_read(spec: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(spec)
    assert "\n" not in str(caught.value)
