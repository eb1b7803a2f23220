"""What is shown of an answer while it is generated: never twice, nothing that is withdrawn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from cogitate.core.errors import Failed
from cogitate.core.events import Chunk
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Limits
from cogitate.core.requests import Completion, Generate, Reply
from cogitate.core.usage import Budget, Usage
from cogitate.drive import ReplyCache, Retry, run_async
from cogitate.drive.showing import Showing, before_stop
from cogitate.testing import FakeEngine

ASKED = Generate(Prompt.raw("?"), seed=1, max_tokens=50, final=True)
QUICK = Retry(attempts=3, first_s=0.001)
Attempt = tuple[list[str], Completion | Failed]


class Trying:
    """Emits and answers attempt by attempt; a pause between pieces lets a cancellation in."""

    fingerprint = "trying"
    serves = frozenset({Generate})
    limits = Limits(concurrency=4)

    def __init__(self, *attempts: Attempt) -> None:
        self.attempts = list(attempts)
        self.cut = 0

    def ceiling(self, request: Any) -> Usage:
        return Usage(tokens_out=request.max_tokens, calls=1)

    async def serve(self, batch: Any, emit: Callable[[int, str], None]) -> Any:
        pieces, outcome = self.attempts.pop(0)
        try:
            for piece in pieces:
                emit(0, piece)
                await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            self.cut += 1
            raise
        if isinstance(outcome, Completion):
            return [Reply(outcome, Usage(tokens_out=4, calls=1))]
        return [outcome]

    async def close(self) -> None: ...


def broken() -> Failed:
    return Failed("it broke off", "cut", transient=True, usage=Usage(tokens_out=2, calls=1))


def heard(engine: Any, asked: Generate = ASKED, **how: Any) -> tuple[list[str], Any, Any]:
    """What was shown, what the flow got, and the run."""
    chunks: list[Chunk] = []

    async def flow() -> Completion | Failed:
        try:
            return await asked
        except Failed as failure:
            return failure

    listen = lambda event: chunks.append(event) if isinstance(event, Chunk) else None  # noqa: E731
    run = asyncio.run(run_async(flow(), engine, listen=listen, retry=QUICK, **how))
    assert run.idle
    assert all(chunk.final == asked.final for chunk in chunks)
    return [chunk.text for chunk in chunks], run.value, run


def test_an_attempt_that_begins_alike_goes_on_where_the_last_broke_off() -> None:
    engine = Trying((["An ", "oa"], broken()), (["A", "n o", "ak."], Completion("An oak.")))
    shown, said, run = heard(engine)
    assert (shown, said.text) == (["An ", "oa", "k."], "An oak.")
    assert run.usage.tokens_out == 6, "both attempts are paid"


def test_an_attempt_that_says_something_else_is_ended_and_the_request_has_failed() -> None:
    long = ["An ", "elm", *["."] * 500]
    engine = Trying((["An ", "oak"], broken()), (long, Completion("".join(long))))
    shown, said, run = heard(engine)
    assert shown == ["An ", "oak"]
    assert isinstance(said, Failed)
    assert (said.kind, "6 characters" in said.reason) == ("cut", True)
    assert engine.cut == 1, "what else it says is of no use"
    assert 2 < run.usage.tokens_out <= 52


def test_without_a_word_shown_a_retry_is_free_to_say_anything() -> None:
    shown, said, _ = heard(Trying(([], broken()), (["An elm."], Completion("An elm."))))
    assert (shown, said.text) == (["An elm."], "An elm.")


def test_a_whole_answer_that_is_another_than_was_shown_has_failed() -> None:
    shown, said, _ = heard(Trying((["An oak."], Completion("An elm."))))
    assert (shown, said.kind) == (["An oak."], "cut")
    shown, said, _ = heard(Trying((["An oak. Or"], Completion("An oak."))))
    assert (shown, said.kind) == (["An oak. Or"], "cut")


def test_what_is_not_final_is_told_as_it_comes() -> None:
    engine = Trying((["An ", "oa"], broken()), (["An elm."], Completion("An elm.")))
    shown, said, _ = heard(engine, replace(ASKED, final=False))
    assert (shown, said.text) == (["An ", "oa", "An elm."], "An elm.")


STOPS = replace(ASKED, stop=("\n", "END"), withheld=("END",))


def test_a_withheld_stop_string_is_never_shown() -> None:
    whole = Completion("An oak.END", "stop", "END")
    engine = Trying((["An o", "ak.E", "ND"], whole))
    shown, said, _ = heard(engine, STOPS)
    assert (shown, said) == (["An o", "ak."], whole)


def test_what_only_began_like_a_stop_string_is_shown_late() -> None:
    engine = Trying((["An oak.E", "N", "T", "EN"], Completion("An oak.ENTEN")))
    shown, _, _ = heard(engine, STOPS)
    assert shown == ["An oak.", "ENT", "EN"]


def test_a_stop_string_that_is_kept_is_shown() -> None:
    engine = Trying((["An oak.", "\n"], Completion("An oak.\n", "stop", "\n")))
    assert "".join(heard(engine, STOPS)[0]) == "An oak.\n"


def test_an_engine_that_emits_nothing_is_shown_at_its_end() -> None:
    engine = Trying(([], Completion("An oak.END", "stop", "END")))
    assert heard(engine, STOPS)[0] == ["An oak."]


def test_a_kept_answer_is_shown_without_its_stop_string(tmp_path: Any) -> None:
    whole = Completion("An oak.END", "stop", "END")
    with ReplyCache(tmp_path / "replies") as cache:
        assert heard(Trying((["An oak.END"], whole)), STOPS, cache=cache)[0] == ["An oak."]
        assert heard(Trying(), STOPS, cache=cache)[0] == ["An oak."]


def test_a_cut_by_the_deadline_leaves_nothing_behind() -> None:
    engine = Trying((["a"] * 2000, Completion("a" * 2000)))

    async def flow() -> str:
        return (await ASKED).text

    async def main() -> Any:
        found: list[Any] = []
        try:
            await run_async(flow(), engine, listen=found.append, budget=Budget(seconds=0.05))
        except Exception as error:
            return error, found
        return None, found

    error, found = asyncio.run(main())
    assert error is not None
    assert "".join(e.text for e in found if isinstance(e, Chunk)).strip("a") == ""


def test_the_fake_streams_its_text_without_the_stop_string() -> None:
    asked = Generate(Prompt.raw("?"), seed=1, stop=("answer",), withheld=("answer",), final=True)
    shown, said, _ = heard(FakeEngine(), asked)
    assert said.stopped_by == "answer"
    assert "".join(shown) + "answer" == said.text


@given(
    some.text("abE", max_size=12), some.lists(some.text("abE", min_size=1, max_size=3), max_size=3)
)
def test_what_is_shown_never_holds_a_stop_string_and_never_shrinks(
    text: str, stops: list[str]
) -> None:
    for at in range(len(text) + 1):
        safe = before_stop(text[:at], stops)
        assert not any(stop in safe for stop in stops)
        assert before_stop(text, stops).startswith(safe)
    ends = [text.find(stop) for stop in stops if stop in text]
    assert before_stop(text, stops) == text[: min(ends)] if ends else True


@given(some.lists(some.text("ab", max_size=3), max_size=6), some.integers(0, 6))
def test_pieces_make_the_whole_however_often_it_is_tried(pieces: list[str], cut: int) -> None:
    showing, shown = Showing(), ""
    for piece in pieces[:cut]:
        shown += showing.add(piece)
    showing.again()
    for piece in pieces:
        shown += showing.add(piece)
    shown += showing.end(Completion("".join(pieces)))
    assert (shown, showing.withdrawn) == ("".join(pieces), False)
