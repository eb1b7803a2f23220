"""Reads what a GGUF file says about itself, without loading it."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

from cogitate.core.errors import Failed, InvalidInput
from cogitate.engines.checksums import check_gguf

NUMBERS: Final = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
STRING: Final = 8
ARRAY: Final = 9
CONTROL: Final = 3
LONGEST: Final = 1 << 26
"""No string or array of a sane file is longer; a damaged one may claim anything."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a model file says about itself."""

    parameters: int
    """Number of weights."""
    context: int
    """Tokens it was trained to attend to; 0 where the file does not say."""
    template: str
    """Its chat template; empty where it has none."""
    tokenizer: str
    """The kind of its tokeniser: `gpt2` for byte-level BPE, `llama` for SentencePiece, …"""
    control: tuple[str, ...]
    """The texts of its control tokens, longest first."""


def read_header(path: Path) -> Header:
    """Read the header of a GGUF file and check that its tensors lie inside the file.

    Raises:
        Failed: when there is no such file.
        InvalidInput: when it is not a GGUF model, or is damaged or truncated.
    """
    check_gguf(path)
    try:
        with path.open("rb") as source:
            return _read(source, path.stat().st_size)
    except (struct.error, ValueError, OverflowError, KeyError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"the model file {path} is damaged or truncated ({path.stat().st_size} bytes); fetch it again"
        ) from error
    except OSError as error:
        raise Failed(
            f"the model file {path} cannot be read: {error.strerror}", "missing"
        ) from error


def _read(source: IO[bytes], size: int) -> Header:
    source.seek(8)
    tensors, entries = (_number(source, "<Q") for _ in range(2))
    known: dict[str, Any] = {}
    for _ in range(entries):
        name = _string(source)
        known[name] = _value(source, _number(source, "<I"))
    parameters, reach = 0, 0
    for _ in range(tensors):
        _string(source)
        shape = [_number(source, "<Q") for _ in range(_number(source, "<I"))]
        _number(source, "<I")
        reach = max(reach, _number(source, "<Q"))
        parameters += math.prod(shape)
    if source.tell() + reach >= size:
        raise ValueError("the last tensor begins beyond the end")
    architecture = str(known.get("general.architecture", ""))
    return Header(
        parameters,
        int(known.get(f"{architecture}.context_length", 0)),
        str(known.get("tokenizer.chat_template", "")),
        str(known.get("tokenizer.ggml.model", "")),
        _control(known),
    )


def _control(known: dict[str, Any]) -> tuple[str, ...]:
    texts = cast(list[str], known.get("tokenizer.ggml.tokens", []))
    kinds = cast(list[int], known.get("tokenizer.ggml.token_type", []))
    found = {text for text, kind in zip(texts, kinds, strict=False) if kind == CONTROL and text}
    return tuple(sorted(found, key=lambda text: (-len(text), text)))


def _value(source: IO[bytes], kind: int) -> Any:
    if kind == STRING:
        return _string(source)
    if kind != ARRAY:
        return _number(source, NUMBERS[kind])
    inner, count = _number(source, "<I"), _length(source)
    if inner == STRING:
        return [_string(source) for _ in range(count)]
    if inner == ARRAY:
        return [_value(source, inner) for _ in range(count)]
    layout = f"<{count}{NUMBERS[inner][1]}"
    return list(struct.unpack(layout, source.read(struct.calcsize(layout))))


def _length(source: IO[bytes]) -> int:
    length = _number(source, "<Q")
    if length > LONGEST:
        raise ValueError("a length beyond reason")
    return length


def _string(source: IO[bytes]) -> str:
    length = _length(source)
    raw = source.read(length)
    if len(raw) < length:
        raise ValueError("the file ends inside a text")
    return raw.decode("utf-8", "replace")


def _reader(layout: str) -> Callable[[bytes], Any]:
    unpack = struct.Struct(layout).unpack
    return lambda raw: unpack(raw)[0]


READERS: Final = {layout: (struct.calcsize(layout), _reader(layout)) for layout in NUMBERS.values()}


def _number(source: IO[bytes], layout: str) -> Any:
    size, read = READERS[layout]
    return read(source.read(size))
