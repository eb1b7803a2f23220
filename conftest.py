"""Leaves out what needs an extra that is not installed: modules and tests of the gateway."""

from __future__ import annotations

from importlib.util import find_spec

_GATEWAY = ("prometheus_client", "sqlalchemy", "starlette", "uvicorn")

collect_ignore_glob: list[str] = []
if any(find_spec(name) is None for name in _GATEWAY):
    collect_ignore_glob += ["src/cogitate/apps/gateway/*", "tests/apps/gateway/*"]
if find_spec("litellm") is None:
    collect_ignore_glob += ["tests/apps/gateway/clients_litellm.py"]
