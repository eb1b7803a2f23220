from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

import pytest

import cogitate as cg
from cogitate.assembly import Configuration, Endpoint, Price, known_names, named, opened
from cogitate.assembly.models import open_spec
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Call, Generate, Grade
from cogitate.testing import FakeEngine

NONE = Configuration()
KEY = "s3cret-key-of-the-test"


def configured(**known: Any) -> Configuration:
    return Configuration(**{k: MappingProxyType(v) for k, v in known.items()})


def opening(model: Any, configuration: Configuration = NONE, **known: Any) -> dict[str, list[Any]]:
    async def run() -> dict[str, list[Any]]:
        async with opened(named(model, configuration), configuration, **known) as held:
            return {role: list(engines) for role, engines in held.router.roles.items()}

    return asyncio.run(run())


# ------------------------------------------------------------------------------------ roles


@pytest.mark.parametrize(
    ("model", "specs", "shown"),
    [
        ("fake", {"policy": "fake"}, "fake"),
        ("judge=fake", {"policy": "smollm2", "judge": "fake"}, "policy=smollm2 judge=fake"),
        (["judge=b", "policy=a=c"], {"policy": "a=c", "judge": "b"}, "policy=a=c judge=b"),
        ("gguf:a=b", {"policy": "gguf:a=b"}, "gguf:a=b"),
        ({"policy": "a", "verifier": "b"}, {"policy": "a", "verifier": "b"}, "policy=a verifier=b"),
        (None, {"policy": "smollm2"}, "smollm2"),
    ],
)
def test_roles_are_read(model: Any, specs: dict[str, str], shown: str) -> None:
    models = named(model, NONE)
    assert (models.specs, str(models)) == (specs, shown)


def test_roles_of_the_configuration_fill_in() -> None:
    held = configured(roles={"judge": "fake", "verifier": "sim:arithmetic()"})
    assert named(["judge=a"], held).specs == {
        "policy": "smollm2",
        "judge": "a",
        "verifier": "sim:arithmetic()",
    }


def test_equal_specs_share_an_engine_and_ours_are_closed() -> None:
    roles = opening(["policy=fake", "judge=fake", "verifier=sim:arithmetic(skill=0.9)"])
    assert roles["policy"][0] is roles["judge"][0]
    assert roles["verifier"][0] is not roles["policy"][0]


def test_what_was_opened_is_closed_even_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    def closing(name: str) -> Any:
        async def close(self: Any) -> None:
            closed.append(name)

        return close

    for place in (
        "fake.FakeEngine",
        "simulated.Simulated",
        "grading.Grader",
        "functions.Functions",
    ):
        monkeypatch.setattr(f"cogitate.engines.{place}.close", closing(place))
    opening(["fake", "judge=sim:arithmetic()"], functions={"f": len})
    assert sorted(closed) == [
        "fake.FakeEngine",
        "functions.Functions",
        "grading.Grader",
        "simulated.Simulated",
    ]
    closed.clear()
    with pytest.raises(InvalidInput):
        opening(["fake", "judge=nowhere"])
    assert closed == ["fake.FakeEngine"]


def test_services_grade_and_call_beside_the_models() -> None:
    async def run() -> None:
        held = named("fake", NONE)
        async with opened(held, NONE, functions={"f": len}) as models:
            choose = models.router.choose
            assert type(choose(Grade(("1", "2"), "number"))).__name__ == "Grader"
            assert type(choose(Call("f", ("x",)))).__name__ == "Functions"
            assert models.fingerprints["policy"].startswith("fake:")

    asyncio.run(run())


def test_the_callers_own_engine_is_left_open() -> None:
    class Watched(FakeEngine):
        closed = 0

        async def close(self) -> None:
            self.closed += 1

    engine = Watched()
    opening(engine)
    assert engine.closed == 0


def test_aliases_lead_on_and_never_round_and_round() -> None:
    held = configured(aliases={"a": "b", "b": "fake", "x": "y", "y": "x"})
    assert type(asyncio.run(open_spec("a", held))).__name__ == "FakeEngine"
    with pytest.raises(InvalidInput, match="leads back to itself"):
        asyncio.run(open_spec("x", held))
    assert {"a", "fake", "smollm2"} <= set(known_names(held))


def test_model_arguments_are_checked() -> None:
    for spec, said in [
        ("fake(texts='odd')", "texts is plain"),
        ("fake(latency_s=-1)", "at least 0"),
        ("sim:arithmetic(skill=2)", "skill"),
        ("sim:arithmetics()", "did you mean arithmetic?"),
        ("sim:", "is empty"),
        ("fake(__import__('os'))", "there is no '__import__'"),
    ]:
        with pytest.raises(InvalidInput, match=said):
            asyncio.run(open_spec(spec, NONE))


def test_a_model_that_is_not_fetched_says_how_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cogitate.engines.weights.located", lambda name, directory: None)
    with pytest.raises(InvalidInput, match="cogitate models pull smollm2"):
        asyncio.run(open_spec("smollm2", NONE))


# ---------------------------------------------------------------------------------- servers


class Handler(BaseHTTPRequestHandler):
    seen: list[tuple[str, str | None]]

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization")))
        if self.headers.get("Authorization") == "Bearer wrong-key":
            return self.answer(401, {"error": {"message": "bad key wrong-key"}})
        return self.answer(200, {"data": [{"id": "large"}, {"id": "small"}]})

    def do_POST(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization")))
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {
            "message": {"role": "assistant", "content": "#### 4"},
            "finish_reason": "stop",
            "index": 0,
        }
        usage = {"prompt_tokens": 20, "completion_tokens": 5}
        self.answer(200, {"choices": [choice], "usage": usage})

    def answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    handler = type("Own", (Handler,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", handler.seen  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def office(url: str, **known: Any) -> Configuration:
    endpoint = Endpoint("office", url, "large", "OFFICE_KEY", "", Price(1.0, 2.0, 0.5))
    return configured(
        endpoints={"office": replace(endpoint, **known)}, environment={"OFFICE_KEY": KEY}
    )


def test_a_configured_server_gets_its_key_and_its_price(tmp_path: Any) -> None:
    with serving() as (url, seen):
        path = tmp_path / "run.jsonl"
        result = cg.solve(
            "What is 2 + 2?",
            model="office",
            strategy="greedy()",
            journal=path,
            configuration=office(url),
        )
    assert result.answer == "4"
    assert result.cost == pytest.approx((20 * 1.0 + 5 * 2.0) / 1e6)
    assert {key for _, key in seen} == {f"Bearer {KEY}"}
    kept = path.read_text("utf-8") + str(result.to_json()) + repr(result) + result._repr_html_()
    assert KEY not in kept


def test_the_key_of_a_configured_server_is_used_for_its_address_only() -> None:
    with serving() as (url, seen), serving() as (other, seen_by_other):
        asyncio.run(open_spec(f"openai:{url}/#small", office(url)))
        asyncio.run(open_spec(f"openai:{other}#small", office(url)))
    assert {key for _, key in seen} == {f"Bearer {KEY}"}
    assert {key for _, key in seen_by_other} == {None}


def test_openais_key_goes_to_openai_alone() -> None:
    environment = MappingProxyType({"OPENAI_API_KEY": KEY})
    with serving() as (url, seen):
        asyncio.run(open_spec(f"openai:{url}#small", Configuration(environment=environment)))
    assert {key for _, key in seen} == {None}


def test_a_missing_key_is_told_before_anything_is_sent() -> None:
    with serving() as (url, seen):
        held = replace(office(url), environment=MappingProxyType({}))
        with pytest.raises(InvalidInput, match="OFFICE_KEY is not set"):
            asyncio.run(open_spec("office", held))
    assert not seen


def test_a_refused_key_is_not_repeated() -> None:
    with serving() as (url, _):
        held = replace(office(url), environment=MappingProxyType({"OFFICE_KEY": "wrong-key"}))
        with pytest.raises(Failed) as caught:
            asyncio.run(open_spec("office", held))
    assert "OFFICE_KEY" in str(caught.value)
    assert "wrong-key" not in str(caught.value)


def test_a_model_that_the_server_lacks_is_told() -> None:
    with serving() as (url, _), pytest.raises(InvalidInput, match="did you mean large"):
        asyncio.run(open_spec(f"openai:{url}#larg", NONE))


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    with serving() as (url, _):
        pass
    with pytest.raises(Failed) as caught:
        cg.solve("What is 2 + 2?", model=f"openai:{url}#small", configuration=NONE)
    assert "\n" not in str(caught.value)


def test_an_address_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(InvalidInput) as caught:
        asyncio.run(open_spec("openai:http://me:hush-hush@localhost/v1#m", NONE))
    assert "hush" not in str(caught.value)


def test_money_needs_a_price(tmp_path: Any) -> None:
    with serving() as (url, seen):
        with pytest.raises(InvalidInput, match="the price is not known"):
            cg.solve(
                "What is 2 + 2?",
                model="office",
                budget=cg.Budget(usd=1),
                configuration=office(url, price=None),
            )
        assert not any(path.endswith("completions") for path, _ in seen)
        priced = replace(
            office(url, price=None), prices=MappingProxyType({"large": Price(1.0, 1.0)})
        )
        result = cg.solve(
            "What is 2 + 2?",
            model="office",
            strategy="greedy()",
            budget=cg.Budget(usd=1),
            configuration=priced,
        )
    assert 0 < (result.cost or 0) < 1


def test_generate_is_served_by_the_policy_where_a_role_has_no_model() -> None:
    async def run() -> None:
        async with opened(named("fake", NONE), NONE) as models:
            request = Generate(Prompt.raw("?"), seed=0, role="judge")
            assert models.router.choose(request) is models.router.roles["policy"][0]

    asyncio.run(run())
