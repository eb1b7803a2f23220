import pytest

from cogitate.core.errors import InvalidInput
from cogitate.core.flow import gather
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Embed, Generate
from cogitate.core.retrieve import Retrieve
from cogitate.core.seeds import Seed
from cogitate.core.task import Message, Task
from cogitate.drive import Router, run
from cogitate.engines.retrieval import Corpus, Entry, Retriever, TfIdf
from cogitate.lab.worlds import RiddleWorld, WorldModel, remembered, riddles
from cogitate.processes import Reasoning, Recalled
from cogitate.processes._attempts import with_hint
from cogitate.scorers import ProcessReward
from cogitate.search import BestOf, Solve

WORLD = RiddleWorld(kinds=3, steps=3)


class Watched:
    def __init__(self, engine):
        self.engine, self.asked = engine, []
        self.serves, self.limits = engine.serves, engine.limits
        self.fingerprint = engine.fingerprint

    def ceiling(self, request):
        return self.engine.ceiling(request)

    async def serve(self, batch, emit=None):
        self.asked += batch
        return await self.engine.serve(batch)

    async def close(self):
        pass


def answered(process, corpora=None, world=WORLD, count=3):
    held = remembered(world, 30) if corpora is None else corpora
    model = Watched(WorldModel(world))
    retriever = Watched(Retriever({name: TfIdf(corpus) for name, corpus in held.items()}))
    router = Router({"policy": (model,), "retriever": (retriever,)})
    strategy = Solve(process, ProcessReward(), BestOf(1))

    async def flow():
        return await gather(*(strategy(r.task, Seed(r.number)) for r in riddles(world, count)))

    return run(flow(), router).value, model.asked, retriever.asked


def texts(rankings):
    return [r.best.state.text for r in rankings]


@pytest.mark.parametrize("query", ["first_try", "state"])
def test_with_nothing_alike_enough_it_is_the_process_itself(query):
    plain, asked, _ = answered(Reasoning())
    never = Recalled(Reasoning(), at_least=1.01, at_least_alike=1.01, query=query)
    found, more, _ = answered(never)
    assert texts(found) == texts(plain)
    steps = [r.key() for r in more if isinstance(r, Generate) and r.role == "policy"]
    assert steps == [r.key() for r in asked if isinstance(r, Generate)]
    off, none, lookups = answered(Recalled(Reasoning(), problems=0, steps=0))
    assert texts(off) == texts(plain)
    assert not lookups
    assert not [r for r in none if isinstance(r, Embed)]


def test_an_empty_index_is_no_error():
    empty = {
        "problems": Corpus((Entry("x", "!"),)),
        "steps": Corpus((Entry("x", "!"),)),
    }
    plain, _, _ = answered(Reasoning())
    found, _, _ = answered(Recalled(Reasoning()), empty)
    assert texts(found) == texts(plain)


def test_like_problems_stand_before_the_question_the_most_alike_last():
    held = remembered(WORLD, 30)
    _, asked, _ = answered(Recalled(Reasoning(), problems=2, steps=0), held, count=1)
    prompt = next(r for r in asked if isinstance(r, Generate) and r.role == "policy").prompt
    told = prompt.messages[-1].content
    question = riddles(WORLD, 1)[0].question
    assert told.count("Example of a problem") == 2
    assert told.rstrip().endswith(question)
    shown = [e for e in held["problems"].entries if e.text in told]
    # all are of the riddle's own kind: they share its title, and none its name
    assert {e.context for e in shown} == {
        r.context for r in held["problems"].entries if r.text in told
    }
    assert len({e.context for e in shown}) == 1
    assert riddles(WORLD, 1)[0].name not in "".join(e.text for e in shown)


def test_a_like_step_is_shown_for_one_step_alone():
    found, asked, _ = answered(Recalled(Reasoning(), problems=0), count=1)
    steps = [r.prompt for r in asked if isinstance(r, Generate)]
    helped = [p for p in steps if "Similar step" in p.messages[-1].content]
    assert helped
    # every step is tried without help first, and its prompt holds no hint of an earlier step
    assert all("Similar step" not in p.messages[-1].content for p in steps if p not in helped)
    assert all(p.messages[-1].content.count("Similar step") == 1 for p in helped)
    assert "Similar step" not in found[0].best.state.text


def test_by_state_the_last_step_is_looked_up():
    _, _, lookups = answered(Recalled(Reasoning(), problems=0, query="state"), count=1)
    assert all(isinstance(r, Retrieve) and r.index == "steps" for r in lookups)
    assert any("Step 1" in r.query for r in lookups)


def test_memory_helps_where_it_holds_the_kind():
    world = RiddleWorld()
    rankings, _, _ = answered(Recalled(Reasoning()), remembered(world, 60), world, 40)
    right = sum(
        r.best.state.answer == p.gold(world)
        for r, p in zip(rankings, riddles(world, 40), strict=True)
    )
    plain, _, _ = answered(Reasoning(), None, world, 40)
    bare = sum(
        r.best.state.answer == p.gold(world) for r, p in zip(plain, riddles(world, 40), strict=True)
    )
    assert right > bare + 15


def test_a_hint_stands_in_the_last_message_and_the_begun_turn_stays():
    prompt = Prompt.chat(Message("system", "s"), Message("user", "q")).then("Step 1. ", (7,))
    hinted = with_hint(prompt.then("Step 2. "), "look")
    assert [m.content for m in hinted.messages] == ["s", "q\n\nlook"]
    assert [(c.text, c.ids) for c in hinted.continuations] == [("Step 1. ", (7,)), ("Step 2. ", ())]
    assert with_hint(Prompt.raw("q").then("a"), "look").text == "look\n\nq"


@pytest.mark.parametrize(
    "wrong", [{"problems": -1}, {"steps": -1}, {"candidates": 0}, {"query": "guess"}]
)
def test_refuses_senseless_settings(wrong):
    with pytest.raises(InvalidInput):
        Recalled(Reasoning(), **wrong)


def test_a_riddle_whose_answer_stands_is_over():
    task = Task.of(riddles(WORLD, 1)[0].question, kind="number")
    [reply] = _now(
        WorldModel(WORLD).serve(
            [Generate(Prompt.chat(*task.messages).then("Step 1, x.\n\n#### 1"), seed=0)]
        )
    )
    assert reply.value.text == ""


def _now(coroutine):
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value
