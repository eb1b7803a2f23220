"""Everything that goes wrong on the wire becomes one `Failed` with one clear sentence."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from scripted_server import serving

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Embed, Generate, Loglikelihood, Reply, Sampling
from cogitate.core.task import Message
from cogitate.engines.openai import OpenAICompatible, Secret, Timeouts

GREEDY = Sampling(temperature=0.0)
CHAT = Prompt.chat(Message("user", "Count, please."))
PLAIN = Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=60)
STREAMED = Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=60, final=True)
QUICK = Timeouts(connect_s=0.5, first_byte_s=0.3, between_bytes_s=0.3)


def failing(request=PLAIN, *, engine=None, **server) -> Failed:
    async def main():
        async with serving(**server) as running:
            made = OpenAICompatible(running.url, "toy", **({"dialect": "vllm"} | (engine or {})))
            (outcome,) = await made.serve([request])
            await made.close()
            return outcome

    outcome = asyncio.run(main())
    assert isinstance(outcome, Failed), outcome
    assert "\n" not in str(outcome)
    assert len(str(outcome)) < 500
    return outcome


STATUSES = [
    # status, body, kind, transient, words
    ("429", "{}", "rate_limited", True, "too many requests"),
    ("429", '{"error": {"code": "insufficient_quota"}}', "rate_limited", False, "too many"),
    ("500", "oops", "crashed", True, "failed with 500: oops"),
    ("502", "<html>", "crashed", True, "502"),
    ("503", '{"error": {"message": "loading model"}}', "crashed", True, "loading model"),
    ("504", "", "timeout", True, "ran out of time"),
    ("501", "", "unsupported", False, "501"),
    ("401", '{"error": "no"}', "missing", False, "wants a key"),
    ("404", "", "missing", False, "check the base URL"),
    ("404", '{"message": "model \'toy\' not found"}', "missing", False, "no model 'toy'"),
    (
        "400",
        '{"error": {"message": "maximum context length is 5"}}',
        "too_long",
        False,
        "too long for toy",
    ),
    ("413", "", "too_long", False, "too long"),
    (
        "400",
        '{"error": {"message": "temperature must be"}}',
        "refused",
        False,
        "temperature must be",
    ),
    ("307", "", "missing", False, "redirects elsewhere"),
]


@pytest.mark.parametrize(("status", "body", "kind", "transient", "words"), STATUSES)
@pytest.mark.parametrize("request_", [PLAIN, STREAMED], ids=["plain", "streamed"])
def test_each_status_has_its_kind(status, body, kind, transient, words, request_):
    failed = failing(request_, fault=status, fault_body=body)
    assert (failed.kind, failed.transient) == (kind, transient), str(failed)
    assert words in str(failed)


def test_the_servers_advice_is_passed_on():
    assert failing(fault="429", fault_headers={"Retry-After": "7"}).retry_after_s == 7
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 80 < failing(fault="503", fault_headers={"Retry-After": when}).retry_after_s <= 90
    assert failing(fault="429", fault_headers={"Retry-After": "whenever"}).retry_after_s is None
    past = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
    assert failing(fault="429", fault_headers={"Retry-After": past}).retry_after_s == 0


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def main():
        engine = OpenAICompatible(f"http://127.0.0.1:{port}", "toy")
        (outcome,) = await engine.serve([PLAIN])
        await engine.close()
        return outcome

    outcome = asyncio.run(main())
    assert (outcome.kind, outcome.transient) == ("refused", True)
    assert "is the server running" in str(outcome)


def test_a_host_that_has_no_address():
    async def main():
        engine = OpenAICompatible("http://no-such-host.invalid:9", "toy", timeouts=QUICK)
        (outcome,) = await engine.serve([PLAIN])
        await engine.close()
        return outcome

    outcome = asyncio.run(main())
    assert outcome.kind in ("refused", "timeout")
    assert "no-such-host.invalid" in str(outcome)


def test_a_server_that_hangs():
    began = time.perf_counter()
    failed = failing(fault="hang", engine={"timeouts": QUICK})
    assert (failed.kind, failed.transient) == ("timeout", True)
    assert "sent nothing for 0.3 s" in str(failed)
    assert time.perf_counter() - began < 5


def test_a_stream_that_hangs_in_the_middle_is_charged():
    failed = failing(STREAMED, fault="hang_stream", engine={"timeouts": QUICK})
    assert (failed.kind, failed.transient) == ("timeout", True)
    assert failed.usage.estimated or failed.usage.tokens_out > 0
    assert failed.usage.tokens_out >= 1


@pytest.mark.parametrize("fault", ["half_stream", "silent_end"])
def test_half_a_stream_is_no_answer_but_costs(fault):
    failed = failing(STREAMED, fault=fault)
    assert (failed.kind, failed.transient) == ("cut", True)
    assert failed.usage.tokens_out >= 2


def test_half_a_stream_keeps_the_siblings_that_were_done():
    async def main():
        async with serving(fault="half_stream") as server:
            engine = OpenAICompatible(server.url, "toy", dialect="vllm")
            begun = Generate(Prompt.raw("8, 9"), seed=1, sampling=GREEDY, max_tokens=9, final=True)
            long = Generate(Prompt.raw("8, 9"), seed=2, sampling=GREEDY, max_tokens=9, final=True)
            outcomes = await engine.serve([begun, long])
            await engine.close()
            return outcomes

    outcomes = asyncio.run(main())
    assert all(isinstance(o, Reply) for o in outcomes), (
        "two siblings of one token end before the cut"
    )


def test_malformed_json():
    failed = failing(fault="malformed")
    assert (failed.kind, failed.transient) == ("malformed", True)
    assert "not JSON" in str(failed)
    failed = failing(STREAMED, fault="malformed_stream")
    assert failed.kind == "malformed"
    assert failed.usage is not None


def test_a_body_cut_short():
    failed = failing(fault="half_body")
    assert (failed.kind, failed.transient) == ("cut", True)


def test_empty_choices():
    failed = failing(fault="empty_choices")
    assert (failed.kind, failed.transient) == ("malformed", True)
    assert "0 of 1 choices" in str(failed)
    assert failed.usage.tokens_in > 0, "what the server charged is told"


def test_an_error_inside_a_stream():
    failed = failing(STREAMED, fault="error_event")
    assert (failed.kind, failed.transient) == ("crashed", True)
    assert "out of memory" in str(failed)


def test_a_prompt_that_is_too_long_by_each_servers_words():
    for dialect in ("vllm", "llamacpp"):
        long = Generate(Prompt.raw("abc " * 500), seed=1)
        assert (
            failing(long, dialect=dialect, context=50, engine={"dialect": dialect}).kind
            == "too_long"
        )


def test_a_model_that_is_not_there():
    failed = failing(model="other")
    assert failed.kind == "missing"
    assert "no model 'toy'" in str(failed)


def test_siblings_of_a_failed_call_share_its_cost_once():
    async def main():
        async with serving(fault="empty_choices") as server:
            engine = OpenAICompatible(server.url, "toy", dialect="vllm")
            outcomes = await engine.serve([Generate(CHAT, seed=s, max_tokens=5) for s in range(3)])
            await engine.close()
            return outcomes, server

    outcomes, server = asyncio.run(main())
    assert all(isinstance(o, Failed) for o in outcomes)
    assert len({id(o) for o in outcomes}) == 3
    assert sum(o.usage.tokens_in for o in outcomes) == server.reported[0][0]


def test_other_requests_fail_the_same_way():
    for request in (Loglikelihood(CHAT, ("a", "b")), Loglikelihood(CHAT, ("a",), labels=True)):
        assert failing(request, fault="500").kind == "crashed"
        assert failing(request, fault="empty_choices").kind == "unsupported"
    assert isinstance(failing(Embed(("a",)), embeddings=False), Failed)


def test_an_event_without_end_is_refused(monkeypatch):
    from cogitate.engines.openai import sse

    monkeypatch.setattr(sse, "LONGEST_EVENT", 50)
    assert failing(STREAMED).kind == "malformed"


def test_a_reply_without_end_is_refused(monkeypatch):
    from cogitate.engines.openai import client

    monkeypatch.setattr(client, "LARGEST_BODY", 50)
    assert failing(PLAIN).kind == "malformed"


# -------------------------------------------------------------------------------------- keys

VALUE = "sk-live-0123456789abcdef"


def key() -> Secret:
    return Secret(VALUE, "TOY_KEY")


def leaks(*things) -> list[str]:
    """The places where the key shows."""
    shown = []
    for thing in things:
        texts = [repr(thing), str(thing)]
        if isinstance(thing, BaseException):
            texts += traceback.format_exception(thing)
            texts += [repr(vars(thing)), repr(thing.args)]
            texts += [repr(e) for e in (thing.__cause__, thing.__context__) if e is not None]
            assert thing.__context__ is None, "an exception of the transport would hold the headers"
        shown += [text for text in texts if VALUE in text]
    return shown


def test_the_key_opens_the_door_and_shows_nowhere(caplog):
    caplog.set_level(logging.DEBUG)

    async def main():
        async with serving(key=VALUE) as server:
            engine = OpenAICompatible(server.url, "toy", dialect="vllm", key=key())
            outcomes = await engine.serve([PLAIN, STREAMED])
            caps = await engine.probe()
            session = next(iter(engine._client._sessions.values()))[0]
            shown = leaks(
                engine, engine._client, engine.fingerprint, caps, caps.as_dict(), session, *outcomes
            )
            await engine.close()
            return outcomes, shown, server.seen

    outcomes, shown, seen = asyncio.run(main())
    assert all(isinstance(o, Reply) for o in outcomes)
    assert not shown
    assert all(headers["Authorization"] == f"Bearer {VALUE}" for _, _, headers in seen)
    assert VALUE not in caplog.text


@pytest.mark.parametrize("request_", [PLAIN, STREAMED], ids=["plain", "streamed"])
def test_a_refused_key_is_named_by_its_variable(request_, caplog):
    caplog.set_level(logging.DEBUG)
    failed = failing(request_, key="another", engine={"key": key()})
    assert failed.kind == "refused"
    assert not failed.transient
    assert "TOY_KEY" in str(failed)
    assert "[key]" in str(failed), "the server said the key again; we do not"
    assert not leaks(failed)
    assert VALUE not in caplog.text


FAULTS = [
    "hang",
    "half_body",
    "malformed",
    "500",
    "429",
    "307",
    "404",
    "half_stream",
    "hang_stream",
    "error_event",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_no_failure_shows_the_key(fault, caplog):
    caplog.set_level(logging.DEBUG)
    body = f'{{"error": {{"message": "you sent {VALUE}"}}}}'
    engine = {"key": key(), "timeouts": QUICK}
    failed = failing(STREAMED, key=VALUE, fault=fault, fault_body=body, engine=engine)
    assert not leaks(failed)
    frames = [frame for frame, _ in traceback.walk_tb(failed.__traceback__)]
    assert all(frame.f_code.co_filename == __file__ for frame in frames), "no frame of ours is kept"
    assert VALUE not in caplog.text


@pytest.mark.parametrize(
    "flags", [{"key": VALUE, "fault": "hang"}, {"key": "another"}, {"model": "x"}]
)
def test_a_failed_probe_does_not_show_the_key(flags):
    async def main():
        async with serving(**flags) as server:
            engine = OpenAICompatible(server.url, "toy", key=key(), timeouts=QUICK)
            try:
                await engine.probe()
            except Failed as failure:
                return failure
            finally:
                await engine.close()

    failure = asyncio.run(main())
    assert isinstance(failure, Failed)
    assert not leaks(failure)


def test_a_missing_key_says_what_to_set():
    failed = failing(key=VALUE)
    assert failed.kind == "missing"
    assert "environment variable" in str(failed)


def test_the_key_does_not_follow_a_redirect():
    async def main():
        async with serving() as thief:
            location = {"Location": thief.url + "/chat/completions"}
            async with serving(fault="307", fault_headers=location) as server:
                engine = OpenAICompatible(server.url, "toy", key=key())
                (outcome,) = await engine.serve([PLAIN])
                await engine.close()
            return outcome, thief.seen

    outcome, seen = asyncio.run(main())
    assert "redirects" in str(outcome)
    assert not seen


def test_the_environment_of_the_user_sends_no_key_elsewhere(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password netrc-secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    async def main():
        async with serving() as server:
            engine = OpenAICompatible(server.url, "toy")
            (outcome,) = await engine.serve([PLAIN])
            await engine.close()
            return outcome, server.seen

    outcome, seen = asyncio.run(main())
    assert isinstance(outcome, Reply)
    assert not any("Authorization" in headers for _, _, headers in seen)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter2@host/v1",
        "http://hunter2@host/v1",
        "ftp://host",
        "localhost:8000",
        "",
        "http://",
        "http://host/v1?key=hunter2",
        "http://host/v1#hunter2",
        "http://host:hunter2/v1",
        "file:///etc/passwd",
    ],
)
def test_base_urls_that_are_refused_are_not_repeated(url):
    with pytest.raises(InvalidInput) as refusal:
        OpenAICompatible(url, "toy")
    assert "hunter2" not in "".join(traceback.format_exception(refusal.value))
    assert refusal.value.__cause__ is None


def test_base_urls_with_and_without_version():
    for url, api, root in (
        ("http://h:1", "http://h:1/v1", "http://h:1"),
        ("http://h:1/", "http://h:1/v1", "http://h:1"),
        ("https://h/v1/", "https://h/v1", "https://h"),
        ("https://h/v1beta/openai", "https://h/v1beta/openai", "https://h/v1beta/openai"),
        ("https://h/api/v4", "https://h/api/v4", "https://h/api"),
        ("http://[::1]:8/v1", "http://[::1]:8/v1", "http://[::1]:8"),
    ):
        engine = OpenAICompatible(url, "toy")
        assert (engine._client.url("models"), engine._client.address.root) == (
            f"{api}/models",
            root,
        )
