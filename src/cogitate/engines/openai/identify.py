"""What kind of server answers at an address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from cogitate.core.errors import Failed

from .capabilities import Capabilities, Dialect, assumed
from .client import Client

_OWNERS: Mapping[str, Dialect] = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llamacpp",
    "library": "ollama",
    "openai": "openai",
    "system": "openai",
}
_VERSIONS: Mapping[Dialect, tuple[tuple[str, str], ...]] = {
    "vllm": (("/version", "version"),),
    "sglang": (("/get_server_info", "version"), ("/server_info", "version")),
    "ollama": (("/api/version", "version"),),
}


async def identify(client: Client, dialect: Dialect) -> Capabilities:
    """What such a server is assumed to do, with its version, models and context size.

    Raises:
        Failed: where it cannot be reached or wants another key.
    """
    listed = await client.get("models")
    rows = _rows(listed)
    if dialect == "generic":
        owners = [str(row.get("owned_by")) for row in rows]
        kinds: list[Dialect] = [_OWNERS[owner] for owner in owners if owner in _OWNERS]
        dialect = kinds[0] if kinds else dialect
    found = replace(
        assumed(dialect),
        models=tuple(str(row["id"]) for row in rows if row.get("id")),
        max_context=next((n for row in rows if (n := _context(row)) is not None), None),
    )
    if dialect == "llamacpp":
        return await _llamacpp(client, found)
    for path, name in _VERSIONS.get(dialect, ()):
        version = _dict(await _maybe(client, path)).get(name)
        if isinstance(version, str):
            return replace(found, version=version)
    return found


async def _llamacpp(client: Client, found: Capabilities) -> Capabilities:
    props = _dict(await _maybe(client, "/props"))
    slots = props.get("total_slots")
    context = _dict(props.get("default_generation_settings")).get("n_ctx")
    return replace(
        found,
        version=str(props.get("build_info") or ""),
        max_n=slots if isinstance(slots, int) and slots > 0 else 1,
        max_context=context if isinstance(context, int) else found.max_context,
    )


async def _maybe(client: Client, path: str) -> Any:
    try:
        return await client.get(path)
    except Failed as failure:
        if failure.kind == "refused" and failure.transient:
            raise
        return None


def _rows(raw: Any) -> list[dict[str, Any]]:
    data = _dict(raw).get("data")
    if not isinstance(data, list):
        return []
    return [cast(dict[str, Any], row) for row in cast(list[Any], data) if isinstance(row, dict)]


def _context(row: Mapping[str, Any]) -> int | None:
    for value in (
        row.get("max_model_len"),
        _dict(row.get("meta")).get("n_ctx"),
        row.get("context_length"),
    ):
        if isinstance(value, int):
            return value
    return None


def _dict(raw: Any) -> dict[str, Any]:
    return cast(dict[str, Any], raw) if isinstance(raw, dict) else {}
