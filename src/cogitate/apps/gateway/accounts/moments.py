"""Moments as people write them: a day, or so long from now."""

from __future__ import annotations

import datetime
import re
from typing import Final

from cogitate.core.errors import InvalidInput

_LENGTHS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SPAN = re.compile(r"([0-9]{1,6})([mhdw])")


def moment(text: str, now: float, *, ahead: bool) -> float:
    """A moment in seconds of the epoch: `2027-01-31`, `2027-01-31T12:00`, or `30d`, `12h`, `90m`, `2w`.

    Times without a zone are UTC, as the days of usage and quotas are.

    Args:
        text: what was written.
        now: seconds of the epoch.
        ahead: whether a span such as `30d` lies ahead of now; else behind it.

    Raises:
        InvalidInput: where it cannot be read.

    >>> moment("1970-01-02", 0.0, ahead=True), moment("2h", 10_000.0, ahead=False)
    (86400.0, 2800.0)
    """
    span = _SPAN.fullmatch(text.strip())
    if span is not None:
        length = int(span[1]) * _LENGTHS[span[2]]
        return now + length if ahead else now - length
    try:
        found = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInput(
            f"{text!r} is no moment that can be read; write a day such as 2027-01-31, or a span such as "
            "30d, 12h or 90m"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp()


def written(moment: float) -> str:
    """A moment in UTC, to the minute.

    >>> written(86_400.0)
    '1970-01-02 00:00'
    """
    return f"{datetime.datetime.fromtimestamp(moment, datetime.UTC):%Y-%m-%d %H:%M}"
