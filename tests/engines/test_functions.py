from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import threading
import time

import pytest

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Call, Choice, Embed, Generate, Reply
from cogitate.core.task import Message
from cogitate.engines.functions import FunctionModel, Functions, function_name


def ask(engine, *requests):
    async def served():
        try:
            return await engine.serve(requests)
        finally:
            await engine.close()
            await engine.close()

    return asyncio.run(served())


async def later(x):
    await asyncio.sleep(0)
    return x + 1


async def cancels_itself():
    raise asyncio.CancelledError


async def never():
    await asyncio.sleep(60)


def leaves():
    sys.exit("a function may not end the program")


def changes(given):
    given["list"].append(2)
    return given


class Counting:
    async def __call__(self, x):
        return x * 2


FUNCTIONS = {
    "add": lambda a, b: a + b,
    "later": later,
    "partial": functools.partial(later, 1),
    "object": Counting(),
    "pair": lambda: (1, [2, {"k": (3,)}]),
    "text": lambda: "Œuf 🥚 \ud83d",
    "nothing": lambda: None,
    "set": lambda: {1, 2},
    "nan": lambda: float("nan"),
    "raises": lambda: 1 / 0,
    "long": lambda: (_ for _ in ()).throw(ValueError("x\n" * 5000)),
    "leaves": leaves,
    "cancels": cancels_itself,
    "changes": changes,
}


def test_plain_and_async_functions_answer():
    calls = [
        Call("add", (1, 2)),
        Call("later", (1,)),
        Call("partial"),
        Call("object", (4,)),
        Call("pair"),
        Call("text"),
        Call("nothing"),
    ]
    replies = ask(Functions(FUNCTIONS), *calls)
    wanted = [3, 2, 2, 8, (1, (2, {"k": (3,)})), "Œuf 🥚 \ud83d", None]
    assert [reply.value for reply in replies] == wanted
    assert all(r.usage.calls == 1 and r.usage.flops is None and r.usage.usd == 0 for r in replies)


@pytest.mark.parametrize(
    ("name", "args", "kind", "words"),
    [
        ("raises", (), "crashed", "'raises' raised ZeroDivisionError: division by zero"),
        ("long", (), "crashed", "raised ValueError: x x"),
        ("leaves", (), "crashed", "raised SystemExit: a function may not"),
        ("cancels", (), "crashed", "raised CancelledError"),
        ("add", (1,), "crashed", "raised TypeError"),
        ("later", (), "crashed", "raised TypeError"),
        ("set", (), "malformed", "returned a set that is no JSON value"),
        ("nan", (), "malformed", "returned a float that is no JSON value"),
        ("other", (), "missing", "no function is named 'other'; known are: add, "),
    ],
)
def test_what_goes_wrong_is_said(name, args, kind, words):
    (failed,) = ask(Functions(FUNCTIONS), Call(name, args))
    assert isinstance(failed, Failed)
    assert failed.kind == kind
    assert words in str(failed)
    assert len(str(failed)) < 500
    assert "\n" not in str(failed)
    assert kind == "missing" or failed.usage.calls == 1


def test_the_request_is_not_changed_by_the_function():
    request = Call("changes", ({"list": (1,)},))
    (reply,) = ask(Functions(FUNCTIONS), request)
    assert reply.value == {"list": (1, 2)}
    assert request.args == ({"list": (1,)},)


def test_blocking_functions_run_together():
    meet = threading.Barrier(4)

    def wait_for_the_others():
        meet.wait(10)
        return threading.current_thread().daemon

    replies = ask(Functions({"meet": wait_for_the_others}, threads=4), *[Call("meet")] * 4)
    assert [reply.value for reply in replies] == [True] * 4


def test_threads_are_bounded_and_reused():
    names, at_once, most, lock = set(), 0, 0, threading.Lock()

    def count():
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
            names.add(threading.get_ident())
        time.sleep(0.002)
        with lock:
            at_once -= 1

    ask(Functions({"count": count}, threads=3), *[Call("count")] * 30)
    assert most == 3
    assert len(names) == 3


def test_a_late_function_fails_and_its_thread_is_replaced():
    release = threading.Event()
    engine = Functions({"stuck": release.wait, "quick": lambda: 1}, timeout_s=0.05, threads=1)
    try:

        async def both():
            late = await engine.serve([Call("stuck"), Call("stuck")])
            return late, await engine.serve([Call("quick")])

        late, quick = asyncio.run(both())
        assert [f.kind for f in late] == ["timeout"] * 2
        assert "did not return within 0.05 s" in str(late[0])
        assert quick[0].value == 1
    finally:
        release.set()
    deadline = time.monotonic() + 5
    while engine._runner.threads.lost and time.monotonic() < deadline:
        time.sleep(0.001)
    assert engine._runner.threads.lost == 0
    assert ask(engine, Call("quick"))[0].value == 1


def test_a_waiting_call_gets_the_place_of_a_late_one():
    release = threading.Event()
    engine = Functions({"stuck": release.wait, "quick": lambda: 1}, timeout_s=0.3, threads=1)

    async def one_after_the_other():
        late = asyncio.ensure_future(engine.serve([Call("stuck")]))
        await asyncio.sleep(0.15)
        return (await engine.serve([Call("quick")])), await late

    try:
        quick, late = asyncio.run(one_after_the_other())
    finally:
        release.set()
    assert isinstance(late[0], Failed)
    assert isinstance(quick[0], Reply)


def test_late_threads_are_bounded_too():
    release = threading.Event()
    engine = Functions({"stuck": release.wait, "quick": lambda: 1}, timeout_s=0.01, threads=1)
    try:

        async def many():
            for _ in range(6):
                await engine.serve([Call("stuck")])
            return await engine.serve([Call("quick")])

        (failed,) = asyncio.run(many())
        assert engine._runner.threads._alive == engine._runner.threads.lost == 4
        assert failed.kind == "timeout"
        assert "4 threads are held by calls that have not returned" in str(failed)
    finally:
        release.set()


def test_async_functions_are_cut_at_the_timeout():
    (failed,) = ask(Functions({"never": never}, timeout_s=0.02), Call("never"))
    assert failed.kind == "timeout"


def test_cancelling_the_call_stops_waiting():
    release = threading.Event()
    engine = Functions({"stuck": release.wait, "never": never})

    async def give_up(name):
        task = asyncio.ensure_future(engine.serve([Call(name)]))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    try:
        asyncio.run(give_up("stuck"))
        asyncio.run(give_up("never"))
        assert engine._runner.threads.lost == 1
    finally:
        release.set()


def test_a_blocked_function_does_not_hold_the_interpreter():
    code = """
import asyncio, threading
from cogitate.core.requests import Call
from cogitate.engines.functions import Functions
engine = Functions({"stuck": threading.Event().wait}, timeout_s=0.05)
async def main():
    print((await engine.serve([Call("stuck")]))[0].kind)
    await engine.close()
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("timeout\n", "", 0)


def test_closed_or_foreign():
    engine = Functions(FUNCTIONS)
    asyncio.run(engine.close())
    closed, foreign = ask(engine, Call("add", (1, 2)), Embed(("a",)))
    assert (closed.kind, foreign.kind) == ("cancelled", "unserved")
    with pytest.raises(InvalidInput, match="above 0"):
        Functions({}, threads=0)


# ---------------------------------------------------------------------------- FunctionModel

CHAT = Prompt.chat(Message("system", "Be brief."), Message("user", "Hello?"))


def test_a_function_as_a_model():
    seen = []

    def model(prompt):
        seen.append(prompt)
        return "one two\n\nthree four"

    alone = Prompt.chat(Message("user", "Hello?"))
    prompts = [alone, alone.then("So"), CHAT, CHAT.then("So"), Prompt.raw("raw").then("!")]
    engine = FunctionModel(model)
    replies = ask(engine, *(Generate(p, seed=0, stop=("\n\n",)) for p in prompts))
    assert {r.value.text for r in replies} == {"one two\n\n"}
    assert sorted(seen) == sorted(
        [
            "Hello?",
            "Hello?\n\nSo",
            "System: Be brief.\n\nUser: Hello?\n\nAssistant:",
            "System: Be brief.\n\nUser: Hello?\n\nAssistant: So",
            "raw!",
        ]
    )
    for reply in replies:
        assert reply.value.finish == "stop"
        assert reply.usage.estimated
        assert reply.usage.usd is None
        assert 0 < reply.usage.tokens_out == reply.value.tokens <= 1024
        assert reply.value.ids == ()


def test_a_function_that_takes_messages_and_options():
    async def model(messages, *, seed, max_tokens):
        return f"{messages[-1]['role']} {seed} {max_tokens}"

    (reply,) = ask(
        FunctionModel(model, takes="messages"), Generate(CHAT.then("a"), seed=3, max_tokens=9)
    )
    assert reply.value.text == "assistant 3 9"
    (reply,) = ask(
        FunctionModel(lambda p, **known: ",".join(sorted(known))), Generate(CHAT, seed=3)
    )
    assert reply.value.text == "max_tokens,seed,stop,temperature"


def test_a_model_that_writes_too_much_is_cut():
    engine = FunctionModel(lambda prompt: "word " * 100_000)
    request = Generate(CHAT, seed=0, max_tokens=7)
    (reply,) = ask(engine, request)
    assert (reply.value.finish, reply.value.tokens) == ("limit", 7)
    assert engine.ceiling(request).tokens_out == 7 == reply.usage.tokens_out
    assert engine.ceiling(request).tokens_in == reply.usage.tokens_in > 0


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (Generate(CHAT, seed=0, logprobs=0), "unsupported"),
        (Generate(CHAT, seed=0, constraint=Choice(("a",))), "unsupported"),
        (Generate(Prompt.tokens([1]), seed=0), "unsupported"),
        (Generate(CHAT, seed=0), "malformed"),
        (Embed(("a",)), "unserved"),
    ],
)
def test_what_a_function_cannot_do_is_refused(request_, kind):
    (failed,) = ask(FunctionModel(lambda prompt: 5), request_)
    assert isinstance(failed, Failed)
    assert failed.kind == kind
    assert not isinstance(failed, Reply)


def test_names():
    assert [function_name(f) for f in (later, Counting(), len)] == ["later", "Counting", "len"]
    with pytest.raises(InvalidInput, match="'text' or 'messages'"):
        FunctionModel(len, takes="tokens")
