"""What a server's refusals mean, each as one sentence that says what to do."""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from cogitate.core.errors import Failed
from cogitate.core.usage import Usage

from .secret import Secret

_TOO_LONG = re.compile(
    r"exceed_context_size|context_length_exceeded|maximum context length|available context size"
    r"|context (length|window|size)|longer than the model|too (long|many tokens)",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model.{0,80}(not found|does not exist|not exist)|model_not_found", re.I | re.S
)
SHOWN = 240
"""Characters of a server's own words that an error quotes."""


def said(body: str, key: Secret | None) -> str:
    """The server's own words, short, on one line and without the key."""
    text = body
    try:
        raw: Any = json.loads(body)
    except ValueError:
        raw = None
    if isinstance(raw, dict):
        fields = cast(dict[str, Any], raw)
        error: Any = fields.get("error") or fields.get("message") or fields.get("detail")
        if isinstance(error, dict):
            error = cast(dict[str, Any], error).get("message") or json.dumps(error)
        if error:
            text = error if isinstance(error, str) else json.dumps(error)
    if key is not None:
        text = key.scrub(text)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The server's advice in seconds, from seconds or from an HTTP date.

    >>> retry_after({"Retry-After": "2.5"}), retry_after({"Retry-After": "soon"})
    (2.5, None)
    """
    raw = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", raw):
        return float(raw)
    if not raw:
        return None
    try:
        when = email.utils.parsedate_to_datetime(raw)
    except (ValueError, TypeError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


def of_status(
    status: int, headers: Mapping[str, str], body: str, *, url: str, model: str, key: Secret | None
) -> Failed:
    """The failure that a status which is not a success stands for."""
    words = said(body, key)
    quoted = f": {words}" if words else ""
    if status in (401, 403):
        return _of_key(status, url, key, quoted)
    if status == 429:
        return Failed(
            f"{url} answered 429, too many requests{quoted}; lower the concurrency or wait",
            "rate_limited",
            transient=not _is_quota(body),
            retry_after_s=retry_after(headers),
        )
    if 300 <= status < 400:
        return Failed(
            f"{url} redirects elsewhere ({status}); redirects are not followed, so that no key leaves "
            "for another host: give the final address",
            "missing",
        )
    if status in (400, 413, 422) and (status == 413 or _TOO_LONG.search(body)):
        return Failed(f"the prompt is too long for {model} at {url}{quoted}", "too_long")
    if status in (400, 404) and _NO_MODEL.search(body):
        return Failed(f"{url} has no model {model!r}{quoted}", "missing")
    if status in (404, 405):
        return Failed(
            f"{url} is not there ({status}){quoted}; check the base URL and model", "missing"
        )
    if status in (408, 504):
        return Failed(
            f"{url} ran out of time ({status}){quoted}",
            "timeout",
            transient=True,
            retry_after_s=retry_after(headers),
        )
    if status >= 500:
        return Failed(
            f"{url} failed with {status}{quoted}",
            "unsupported" if status == 501 else "crashed",
            transient=status != 501,
            retry_after_s=retry_after(headers),
        )
    return Failed(f"{url} refused the request with {status}{quoted}", "refused")


def _of_key(status: int, url: str, key: Secret | None, quoted: str) -> Failed:
    if key is None:
        return Failed(
            f"{url} wants a key ({status}); set the environment variable that holds it and name it in "
            f"the configuration{quoted}",
            "missing",
        )
    return Failed(
        f"{url} refused the key in {key.name} ({status}){quoted}; check that variable", "refused"
    )


def _is_quota(body: str) -> bool:
    return "insufficient_quota" in body


def copied(failure: Failed, usage: Usage | None) -> Failed:
    """The same failure without its traceback, whose frames hold a key, and with a cost of its own."""
    return Failed(
        failure.reason,
        failure.kind,
        transient=failure.transient,
        retry_after_s=failure.retry_after_s,
        usage=usage,
    )


def first(group: BaseExceptionGroup[Failed]) -> Failed:
    """The first failure of a group, however deep."""
    found = group.exceptions[0]
    return first(found) if isinstance(found, BaseExceptionGroup) else found
