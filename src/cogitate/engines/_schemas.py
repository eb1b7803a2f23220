"""Values of simple JSON schemas, for engines that only pretend to write."""

from __future__ import annotations

import json
import math
from typing import Any, cast

from cogitate.core.errors import Failed
from cogitate.core.seeds import Seed

_BEYOND = ("$ref", "allOf", "not", "pattern", "patternProperties", "multipleOf")


def instance(schema: str, seed: Seed, answer: str) -> Any:
    """A JSON value of this schema (JSON text); strings are the answer.

    Raises:
        Failed: `malformed` for text that is no JSON, `unsupported` for words beyond simple schemas.
    """
    try:
        found: Any = json.loads(schema)
    except ValueError as error:
        raise Failed(
            f"the JSON schema of the request cannot be read: {error}", "malformed"
        ) from None
    return _value(cast(dict[str, Any], found) if isinstance(found, dict) else {}, seed, answer)


def _value(schema: dict[str, Any], seed: Seed, answer: str) -> Any:
    beyond = [word for word in _BEYOND if word in schema]
    if beyond:
        asked = ", ".join(beyond)
        raise Failed(f"the fake engine knows simple JSON schemas only, not {asked}", "unsupported")
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return seed.rng().choice(cast(list[Any], schema["enum"]))
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return _value(schema[union][0], seed.at(union), answer)
    kind: Any = schema.get("type", "object" if "properties" in schema else "string")
    return _typed(str(kind[0] if isinstance(kind, list) else kind), schema, seed, answer)  # pyright: ignore[reportUnknownArgumentType]


def _typed(kind: str, schema: dict[str, Any], seed: Seed, answer: str) -> Any:
    match kind:
        case "object":
            members = cast(dict[str, Any], schema.get("properties", {}))
            return {name: _value(member, seed.at(name), answer) for name, member in members.items()}
        case "array":
            count = max(schema.get("minItems", 1), min(2, schema.get("maxItems", 2)))
            return [_value(schema.get("items", {}), seed.at(n), answer) for n in range(count)]
        case "integer" | "number":
            low = math.ceil(schema.get("minimum", 0))
            return seed.rng().randint(low, max(low, math.floor(schema.get("maximum", low + 10))))
        case "boolean":
            return seed.rng().random() < 0.5
        case "null":
            return None
        case _:
            return answer
