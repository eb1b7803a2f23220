"""Values that a person writes down: addresses and amounts."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import urlsplit

from cogitate.core.errors import InvalidInput


def check_url(url: str, where: str) -> None:
    """Refuse what is no web address, and an address that carries a password or a query.

    Raises:
        InvalidInput: without repeating the address.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidInput(f"{where} is not a web address; write http://HOST:PORT/v1") from None
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidInput(f"{where} is not a web address; write http://HOST:PORT/v1")
    if parts.username or parts.password or parts.query:
        raise InvalidInput(
            f"{where} carries a password or a query; put the key into an environment variable and name "
            "it in key_variable of the configuration"
        )


def amount(value: Any, unit: str, where: str, *, zero: bool = False) -> float:
    """A finite number above zero, whole where the unit is counted.

    Raises:
        InvalidInput: saying where it stands.
    """
    whole = unit in ("tokens_in", "tokens_out", "calls", "bytes")
    try:
        found = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    least = found >= 0 if zero else found > 0
    if not math.isfinite(found) or not least or (whole and found != int(found)):
        wanted = (
            "a whole number above 0"
            if whole
            else "a number of at least 0"
            if zero
            else "a number above 0"
        )
        raise InvalidInput(f"{where} is {value!r}; it must be {wanted}")
    return int(found) if whole else found
