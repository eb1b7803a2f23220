"""The parts of the llama.cpp engine that need no model."""

from __future__ import annotations

import asyncio
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Generate, Loglikelihood, Regex, Sampling
from cogitate.engines.llamacpp.constraints import grammar_of
from cogitate.engines.llamacpp.drafts import Draft
from cogitate.engines.llamacpp.engine import LlamaCpp, asked, groups
from cogitate.engines.llamacpp.header import Header, read_header
from cogitate.engines.llamacpp.native import cores, refused
from cogitate.engines.llamacpp.prompts import Prompts


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def tiny_gguf(path: Path, *, tail: int = 4096) -> Path:
    """A well-formed header of one tensor, and zeros where its weights would be."""
    entries = [
        text("general.architecture") + struct.pack("<I", 8) + text("toy"),
        text("toy.context_length") + struct.pack("<II", 4, 512),
        text("tokenizer.ggml.model") + struct.pack("<I", 8) + text("gpt2"),
        text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("<end>"),
        text("tokenizer.ggml.token_type") + struct.pack("<IIQii", 9, 5, 2, 1, 3),
    ]
    tensor = text("weights") + struct.pack("<IQQIQ", 2, 8, 16, 0, 0)
    start = b"GGUF" + struct.pack("<IQQ", 3, 1, len(entries))
    path.write_bytes(start + b"".join(entries) + tensor + bytes(tail))
    return path


def test_the_header_says_what_the_file_holds(tmp_path: Path) -> None:
    header = read_header(tiny_gguf(tmp_path / "m.gguf"))
    assert header == Header(128, 512, "", "gpt2", ("<end>",))


@pytest.mark.parametrize("kept", [5, 20, 60, 150, 230])
def test_a_truncated_model_is_refused_in_one_sentence(tmp_path: Path, kept: int) -> None:
    path = tiny_gguf(tmp_path / "m.gguf", tail=0)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InvalidInput, match="damaged or truncated"):
        LlamaCpp(path)


def test_a_header_that_claims_the_impossible_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + struct.pack("<Q", 2**60))
    with pytest.raises(InvalidInput, match="damaged"):
        read_header(path)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(InvalidInput, match="not a GGUF model"):
        LlamaCpp(tmp_path / "text")
    with pytest.raises(Failed, match="is not there"):
        LlamaCpp(tmp_path / "absent")
    with pytest.raises(InvalidInput, match="SHA-256"):
        LlamaCpp(tiny_gguf(tmp_path / "m.gguf"), sha256="0" * 64)
    with pytest.raises(InvalidInput, match="at least 1 slot"):
        LlamaCpp(tmp_path / "m.gguf", slots=0)


def test_a_model_that_llama_cpp_cannot_load_fails_every_request(tmp_path: Path) -> None:
    if find_spec("xllamacpp") is None:
        pytest.skip("needs cogitate[local]")
    engine = LlamaCpp(tiny_gguf(tmp_path / "m.gguf"))
    prompt = Prompt.raw("a")
    replies = asyncio.run(engine.serve([Generate(prompt, 1), Loglikelihood(prompt, ("b",))]))
    assert [isinstance(reply, Failed) and reply.kind for reply in replies] == ["crashed", "crashed"]
    assert "could not load" in str(replies[0])
    asyncio.run(engine.close())


def test_siblings_are_grouped_up_to_the_slots() -> None:
    a, b = Prompt.raw("a"), Prompt.raw("b")
    batch: list[Any] = [Generate(a, 1), Generate(b, 1), Generate(a, 2), Loglikelihood(a, ("c",))]
    batch += [Generate(a, 3), Generate(a, 4)]
    assert groups(batch, 3) == [[0, 2, 4], [1], [3], [5]]
    assert groups(batch, 1) == [[0], [1], [2], [3], [4], [5]]


def test_no_seed_means_random_to_llama_cpp() -> None:
    for seed in (2**32 - 1, 2**52 - 1, 0xFFFF_0000 - 1):
        assert 0 <= asked(Generate(Prompt.raw("a"), seed), (1,), 16)["seed"] + 15 < 2**32 - 1


def test_every_sampler_setting_is_said() -> None:
    body = asked(Generate(Prompt.raw("a"), 1, sampling=Sampling(0.5, 0.9, 7, 0.1)), (1,), 1)
    assert (body["temperature"], body["top_p"], body["top_k"], body["min_p"]) == (0.5, 0.9, 7, 0.1)
    assert "n_cmpl" not in body


def chunk(piece: str, tokens: list[int], predicted: int, **more: Any) -> dict[str, Any]:
    known = {
        "content": piece,
        "tokens": tokens,
        "tokens_predicted": predicted,
        "tokens_evaluated": 5,
    }
    return {**known, "stop": False, **more}


def test_a_draft_gathers_text_ids_and_what_was_swallowed() -> None:
    draft = Draft(Generate(Prompt.raw("a"), 1))
    assert draft.add(chunk("x", [1], 1)) == "x"
    draft.add(chunk("é", [4], 4))
    draft.add(chunk("", [9], 5))
    draft.add(
        chunk("", [], 5, stop=True, stop_type="eos", stopping_word="", timings={"cache_n": 3})
    )
    assert (draft.text, draft.ids, draft.finish) == ("xé", [1, 4], "eos")
    assert draft.gaps == [(1, "é", (4,), 2)]
    assert (draft.cached, draft.predicted) == (3, 5)


def test_a_regular_expression_keeps_its_slashes() -> None:
    assert grammar_of(Regex(r"a/b\/c\\/")) == "%llguidance {}\nstart: /a\\/b\\/c\\\\\\//"


def test_sentencepiece_texts_get_no_space_at_a_seam() -> None:
    table = {"\n": [9], "\nab": [9, 3]}

    async def post(path: str, body: dict[str, Any]) -> Any:
        return {"tokens": table[body["content"]]}

    prompts = Prompts(Header(1, 1, "", "llama", ()))
    begun = Prompt.tokens([1, 2]).then("a").then("b")
    assert asyncio.run(prompts.ids(post, begun)) == (1, 2, 3)


def test_remembered_prompts_are_bounded() -> None:
    async def post(path: str, body: dict[str, Any]) -> Any:
        return {"tokens": [len(body["content"])]}

    prompts = Prompts(Header(1, 1, "", "gpt2", ()), remembered=3)
    for size in range(1, 10):
        asyncio.run(prompts.ids(post, Prompt.raw("a" * size)))
    assert len(prompts._known) == 3
    assert prompts.known(Prompt.raw("a")) is None
    assert prompts.known(Prompt.raw("a" * 9)) == (9,)


@pytest.mark.parametrize(
    ("said", "kind", "transient"),
    [
        (
            b'{"error":{"code":400,"message":"too big","type":"exceed_context_size_error"}}',
            "too_long",
            False,
        ),
        (
            b'{"error":{"code":500,"message":"Context size has been exceeded.","type":"x"}}',
            "too_long",
            True,
        ),
        (b'{"error":{"code":400,"message":"no","type":"invalid_request_error"}}', "refused", False),
        (b'{"error":{"code":500,"message":"no","type":"server_error"}}', "crashed", True),
        (b"<html>", "malformed", False),
        (b"[]", "malformed", False),
    ],
)
def test_errors_of_the_server_are_understood(said: bytes, kind: str, transient: bool) -> None:
    failure = refused(said)
    assert (failure.kind, failure.transient) == (kind, transient)


def test_there_is_a_core() -> None:
    assert cores() >= 1
