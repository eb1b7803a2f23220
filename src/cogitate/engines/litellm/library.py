"""The library, loaded once and made quiet; and what its errors mean."""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, cast

from cogitate.core.errors import Failed, InvalidInput
from cogitate.engines.openai.faults import retry_after
from cogitate.engines.openai.secret import Secret

_LOADING = threading.Lock()
_LOGGERS: Final = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
_WHILE_LOADING: Final = {"LITELLM_MODE": "PRODUCTION"}
"""Else it reads a .env file of the working directory into the environment."""
_FROM_NOW_ON: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
}
"""Else it asks another host for prices when it is loaded, and for headers at the first call."""
SHOWN: Final = 240
"""Characters of a provider's own words that an error quotes."""


def library() -> Any:
    """The module `litellm`; loading it takes seconds, so that it is done in a thread where it can be.

    Its retries, prints and reports are off for our calls; nothing is fetched and no file is read for keys.

    Raises:
        InvalidInput: where the extra is not installed.
    """
    with _LOADING:
        held = sys.modules.get("litellm")
        if held is not None:
            cast(Any, held).suppress_debug_info = True  # it prints advice with every error
            return held
        try:
            for name, value in _FROM_NOW_ON.items():
                os.environ.setdefault(name, value)
            with _environment(_WHILE_LOADING), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about its own types
                loaded: Any = importlib.import_module("litellm")
                _warm(loaded)
        except ImportError as error:
            if error.name != "litellm":
                raise
            raise InvalidInput(
                "models of other providers need LiteLLM; install it with pip install 'cogitate[litellm]'"
            ) from None
        loaded.suppress_debug_info = True
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            logger.handlers = [logging.NullHandler()]  # its own one writes to the terminal
            logger.propagate = False
        return loaded


def _warm(loaded: Any) -> None:
    """Load now what a first call would load, for most of a second, on the event loop."""
    told = [{"role": "user", "content": "?"}]
    quiet = {"mock_response": "!", "api_key": "x", "no-log": True}
    with suppress(Exception):
        loaded.completion("openai/x", told, **quiet)
        for _ in loaded.completion("openai/x", told, stream=True, **quiet):
            pass


@contextmanager
def _environment(values: Mapping[str, str]) -> Generator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: value for name, value in values.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


def said(error: BaseException, secrets: Iterable[Secret]) -> str:
    """The provider's own words, short, on one line and without keys."""
    text = str(getattr(error, "message", "") or error)
    for secret in secrets:
        text = secret.scrub(text)
    # What a provider quotes of a key is shortened, so that no value of ours would match it.
    text = re.sub(r"\b(?:(?:sk|pk|key)[-_]|AIza)[-_\w*.]{6,}", "[key]", text)
    text = re.sub(r"\b(litellm\.)?\w+Error: ", "", text)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


_KINDS: Final[tuple[tuple[str, str, bool], ...]] = (
    # The first class that fits counts: some are subclasses of later ones.
    ("Timeout", "timeout", True),
    ("ContextWindowExceededError", "too_long", False),
    ("ContentPolicyViolationError", "refused", False),
    ("UnsupportedParamsError", "unsupported", False),
    ("RateLimitError", "rate_limited", True),
    ("AuthenticationError", "refused", False),
    ("PermissionDeniedError", "refused", False),
    ("NotFoundError", "missing", False),
    ("BudgetExceededError", "refused", False),
    ("UnprocessableEntityError", "refused", False),
    ("APIResponseValidationError", "malformed", False),
    ("BadRequestError", "refused", False),
    ("ServiceUnavailableError", "crashed", True),
    ("BadGatewayError", "crashed", True),
    ("InternalServerError", "crashed", True),
    ("MidStreamFallbackError", "cut", True),
    ("APIConnectionError", "cut", True),
    ("APIError", "crashed", True),
)

_WORDS: Final[Mapping[str, str]] = {
    "timeout": "did not answer in time",
    "too_long": "finds the prompt too long",
    "refused": "refused the request",
    "unsupported": "does not serve this",
    "rate_limited": "answered that there are too many requests",
    "missing": "is not there",
    "malformed": "answered something that cannot be read",
    "crashed": "failed",
    "cut": "broke the connection",
}


def failure(error: Exception, model: str, secrets: Iterable[Secret]) -> Failed:
    """One of the library's errors as ours; it holds neither the error nor its frames."""
    if isinstance(error, Failed):
        return error
    kind, transient = "crashed", False
    if isinstance(error, TimeoutError):
        kind, transient = "timeout", True
    else:
        names = {cls.__name__ for cls in type(error).__mro__}
        for name, held, again in _KINDS:
            if name in names:
                kind, transient = held, again
                break
    words = said(error, secrets)
    if kind == "rate_limited" and "insufficient_quota" in str(error):
        transient = False
    if names_key(error):
        words = f"{words}; set the environment variable that this provider reads its key from"
    quoted = f": {words}" if words else f" ({type(error).__name__})"
    return Failed(
        f"the model {model} {_WORDS[kind]}{quoted}",
        kind,
        transient=transient,
        retry_after_s=retry_after(_headers(error)),
    )


def names_key(error: Exception) -> bool:
    """Whether it is about the key."""
    return any(cls.__name__ == "AuthenticationError" for cls in type(error).__mro__)


def _headers(error: Exception) -> Mapping[str, str]:
    response = getattr(error, "response", None)
    for held in (
        getattr(error, "litellm_response_headers", None),
        getattr(response, "headers", None),
    ):
        if held:
            pairs = cast(Mapping[Any, Any], held)
            found = {str(k).lower(): str(v) for k, v in pairs.items()}
            if "retry-after" in found:
                return {"Retry-After": found["retry-after"]}
    return {}
