"""Errors as clients of OpenAI's API know them: a status, and `{"error": {message, type, param, code}}`."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any, Final

from cogitate.core.errors import CogitateError, Failed, InvalidInput, OutOfBudget

_LOG = logging.getLogger("cogitate.gateway")

_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
}

_STATUSES: Final[Mapping[str, int]] = {
    "timeout": 504,
    "rate_limited": 429,
    "unsupported": 400,
    "too_long": 400,
    "unserved": 400,
}


_LACKING: Final = (
    ("log-probabilities", "logprobs"),
    ("presence_penalty", "presence_penalty"),
    ("tools", "tools"),
    ("images or files", "messages"),
    ("name of its speaker", "messages"),
    ("JSON", "response_format"),
    ("json_schema", "response_format"),
    ("constraint", "response_format"),
)
"""What an engine says that it lacks, and the field that asked for it."""

_ADDRESS: Final = re.compile(r"https?://[^\s'\"]*[^\s'\".,:;]")
_REQUEST: Final = re.compile(r"refused the request with 4\d\d")
_KEY: Final = re.compile(r"refused the key|wants a key")
_UNSET: Final = re.compile(r"environment variable \S+ is not set")
_SOCKET: Final = re.compile(r"(?<=cannot be reached) \([^;]*\)(?=;)")


class Refused(Exception):
    """A request that gets an error instead of an answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        """Describe the error.

        Args:
            status: of HTTP.
            message: one sentence for people: what was asked, what was found, what to do.
            param: the field or header that is at fault.
            code: a word for programs.
            kind: the error's type; by default that of its status.
            retry_after_s: when to come again.
        """
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.kind = kind or _TYPES.get(status, "server_error" if status >= 500 else "api_error")
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, Any]:
        """What is sent."""
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }

    def encoded(self) -> bytes:
        """The same as JSON."""
        return json.dumps(self.body()).encode()

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What is sent beside it."""
        found: list[tuple[bytes, bytes]] = []
        if self.retry_after_s is not None:
            found.append((b"retry-after", str(max(1, round(self.retry_after_s))).encode()))
        if self.status == 408:  # the rest of the body is not waited for
            found.append((b"connection", b"close"))
        return found


def invalid(message: str, param: str | None = None, code: str | None = None) -> Refused:
    """A request that cannot be read or honoured."""
    return Refused(400, message, param=param, code=code)


def of_error(error: CogitateError, param: str | None = None) -> Refused:
    """What a client is told of an error of the package."""
    match error:
        case InvalidInput() if _UNSET.search(str(error)):
            return _unusable(error)
        case InvalidInput():
            return invalid(str(error), param)
        case Failed():
            return of_failure(error)
        case OutOfBudget() if error.unit == "seconds":
            return too_late()
        case OutOfBudget():
            return Refused(400, str(error), param=param, code="budget_exceeded")
        case _:
            return Refused(500, "the answer could not be made; the server's log says why")


def of_failure(failure: Failed) -> Refused:
    """What a client is told where the upstream server failed; never where that server is."""
    status = _STATUSES.get(failure.kind, 502)
    text = _ADDRESS.sub("the server of the model", _SOCKET.sub("", str(failure)))
    if failure.kind == "refused" and _REQUEST.search(text):
        status = 400  # sending it again would not help, as it may after a 502
    elif failure.kind == "missing" or _KEY.search(text):
        return _unusable(failure)
    lacks = failure.kind == "unsupported"
    return Refused(
        status,
        text,
        param=next((field for said, field in _LACKING if said in text), None) if lacks else None,
        code=f"upstream_{failure.kind}" if status >= 429 else failure.kind,
        kind="upstream_error" if status >= 500 else "",
        retry_after_s=failure.retry_after_s,
    )


def _unusable(error: CogitateError) -> Refused:
    """A model that the configuration names and nobody can use; only the log says why."""
    _LOG.warning("%s", error)
    return Refused(
        502,
        "the server of the model cannot be used; the operator of this gateway must look at its address, "
        "model and key",
        code="upstream_missing",
        kind="upstream_error",
    )


def too_late() -> Refused:
    """The deadline passed before there was an answer."""
    return Refused(
        504,
        "the deadline passed before there was an answer; allow more seconds, or ask for less",
        code="deadline_exceeded",
        kind="timeout_error",
    )


def closing() -> Refused:
    """The server is shutting down."""
    return Refused(
        503,
        "the server is shutting down and could not finish this request; send it again",
        code="shutting_down",
        kind="server_error",
        retry_after_s=5,
    )
