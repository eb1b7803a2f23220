"""The application: routes, admission, and one reply for every request, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from cogitate.core.errors import CogitateError

from .accounts import Accounts, Admission, Refusal
from .bodies import Gone, parsed, read_body, too_slow
from .choosing import Choosing
from .leash import CLOSING, GONE, LATE, SLOW, Cut, Leash
from .live import Hub
from .metrics import Metrics
from .pages import pages_of
from .passing import Passing
from .refusals import Refused, closing, of_error, too_late
from .relay import Relay, Upstream
from .sending import Headers, Sender, header
from .shared import METER, Meter, Store
from .strategies import Strategies
from .thinking import Thinking, fresh_id
from .turning import Turn, check_headers

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from cogitate.assembly import Configuration
    from cogitate.assembly.models import Source

_LOG = logging.getLogger("cogitate.gateway")
_CHAT: Final = "/chat/completions"
_TEXT: Final = "/completions"
_STRATEGIES: Final = "/strategies/"
_PATIENCE_S: Final = 5.0
_STATUSES: Final = {CLOSING: 503, GONE: 499, LATE: 504}


class Gateway:
    """The ASGI application; `app` makes it. Mutable: it serves."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        accounts: Accounts | None = None,
        hub: Hub | None = None,
        models: Mapping[str, Source] | None = None,
    ) -> None:
        """Everything it needs is given.

        Args:
            configuration: names models and strategies, and holds the gateway's settings.
            accounts: keys, quotas and turns; by default no key is needed.
            hub: hears what runs; by default one of its own.
            models: engines and models of the caller's by the names that clients use.
        """
        self.configuration, self.settings = configuration, configuration.gateway
        self.accounts = accounts or Accounts.none(
            slots=self.settings.in_flight, waiting=self.settings.queue
        )
        self.hub = hub or Hub()
        self.choosing = Choosing(configuration, tuple(models or ()))
        self.store = Store(configuration, models)
        self.metrics = Metrics()
        self.relay = Relay()
        self.closing = False
        self._leashes: set[Leash] = set()
        thinking = Thinking(configuration)
        self._thinking = thinking
        self._passing = Passing(
            configuration,
            self.relay,
            own=frozenset(models or ()),
            counts=self.accounts.needs_keys,
        )
        self._strategies = Strategies(self.settings, self.store, thinking, self.hub)
        self.journals = thinking.journals
        """Where a journal of each request is kept; `None`: nowhere."""
        self.pages = pages_of(self, self._lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve: what is asked most takes the shortest way."""
        if scope["type"] == "http":
            found = _asked(scope["path"])
            if found is not None:
                if scope["method"] == "POST":
                    await self._complete(scope, receive, send, *found)
                    return
                refused = Refused(405, "POST is the method of this address", code="wrong_method")
                await Sender(send).refuse(refused, [(b"allow", b"POST")])
                return
        await self.pages(scope, receive, send)

    # ------------------------------------------------------------------------- completions

    async def _complete(
        self, scope: Scope, receive: Receive, send: Send, chat: bool, spec: str
    ) -> None:
        """One request for a completion: it always gets exactly one reply."""
        meter = Meter.started()
        METER.set(meter)
        sender = Sender(send)
        turn = Turn(fresh_id(chat=chat), chat, dict(scope["headers"]), meter)
        try:
            check_headers(scope["headers"])
            await self._answer(scope, receive, sender, turn, spec)
        except (Gone, Cut) as error:
            if isinstance(error, Cut) and error.reason != GONE:
                await self._fail(sender, turn, self._cut(error.reason))
        except Refused as refused:
            await self._fail(sender, turn, refused)
        except Refusal as refusal:
            extra: Headers = [(k.lower().encode(), header(v)) for k, v in refusal.headers.items()]
            refused = Refused(refusal.status, str(refusal), code=refusal.code)
            await self._fail(sender, turn, refused, extra)
        except CogitateError as error:
            await self._fail(sender, turn, of_error(error))
        except Exception:
            _LOG.exception("the request %s failed", turn.id)
            refused = Refused(500, "something went wrong here; it is logged", code="internal_error")
            await self._fail(sender, turn, refused)

    def _cut(self, reason: str) -> Refused:
        if reason == SLOW:
            return too_slow(self.settings)
        return closing() if reason == CLOSING else too_late()

    async def _answer(
        self, scope: Scope, receive: Receive, sender: Sender, turn: Turn, spec: str
    ) -> None:
        if self.closing:
            raise closing()
        async with Leash(receive, self._leashes) as leash:
            if self.accounts.needs_keys:  # before a stranger's body is read
                await self.accounts.identify(turn.authorization)
            leash.limit(self.settings.body_seconds, SLOW)
            raw = await read_body(scope, receive, self.settings)
            leash.limit(None)
            leash.watch()
            body = parsed(raw, self.settings)
            own: Any = body.get("cogitate")
            chosen = cast(Any, own).get("strategy") if isinstance(own, dict) else None
            turn.answerer = self.choosing.answerer(body.get("model"), chosen, turn.headers, spec)
            upstreams: tuple[Upstream, ...] = ()
            if turn.answerer.strategy is None:
                upstreams = self._passing.upstreams(turn.answerer.model)
            if upstreams:
                leash.limit(self.choosing.seconds(turn.headers))
                wanted = self._passing.ceiling(turn, body, len(raw), upstreams)
            else:  # its budget's deadline ends it, with the best so far
                self._strategies.read(turn, body, self.choosing)
                wanted = self._strategies.ceiling(turn, len(raw))
            async with await self.accounts.admit(
                turn.authorization, wanted=wanted, request_id=turn.id
            ) as admission:
                turn.key = admission.key.name
                await self._admitted(leash, turn, body, len(raw), upstreams, sender, admission)

    async def _admitted(
        self,
        leash: Leash,
        turn: Turn,
        body: dict[str, Any],
        size: int,
        upstreams: tuple[Upstream, ...],
        sender: Sender,
        admission: Admission,
    ) -> None:
        prompt = body.get("messages", body.get("prompt")) if self.accounts.keeps_prompts else None
        self.metrics.in_flight += 1
        try:
            if upstreams:
                await self._passing.serve(turn, body, size, upstreams, sender)
            else:
                await self._strategies.serve(turn, sender)
        except Refused as refused:
            turn.status = refused.status
            raise
        except asyncio.CancelledError:
            turn.status = _STATUSES.get(leash.reason, 499)
            raise
        finally:
            self.metrics.in_flight -= 1
            await self._ended(turn, sender, admission, prompt)

    async def _ended(self, turn: Turn, sender: Sender, admission: Admission, prompt: Any) -> None:
        """Count what the request cost."""
        seconds = time.perf_counter() - turn.meter.start
        status = turn.status or sender.status or 500
        answerer = turn.answerer
        strategy = str(answerer.strategy) if answerer.strategy is not None else ""
        await admission.charge(
            turn.usage,
            status=status,
            model=answerer.model,
            strategy=strategy,
            seconds=seconds,
            prompt=prompt,
        )
        named = answerer.strategy.name if answerer.strategy is not None else ""
        self.metrics.ended(answerer.model, named, status, seconds, turn.meter.own_ms, turn.usage)

    async def _fail(
        self, sender: Sender, turn: Turn, refused: Refused, extra: Headers | None = None
    ) -> None:
        """Tell the client, in the stream where one has begun."""
        if sender.open:
            await sender.end(b"data: " + refused.encoded() + b"\n\n")
        elif not sender.status:
            await sender.refuse(refused, [*turn.told(), *(extra or [])])

    # ------------------------------------------------------------------------------ endings

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Any) -> AsyncGenerator[None, None]:
        importlib.import_module("aiohttp")  # so that the first request need not wait for it
        try:
            yield
        finally:
            await self.close()

    async def drain(self) -> None:
        """Take nothing new; let what is in flight finish for a while, then end it cleanly."""
        self.closing = True
        self.hub.close()
        for left_s, cut in ((self.settings.grace_s, False), (_PATIENCE_S, True)):
            if cut:
                for leash in list(self._leashes):
                    leash.cut(CLOSING)
            end = time.monotonic() + left_s
            while self._leashes and time.monotonic() < end:
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Close models, connections and accounts."""
        self.closing = True
        self.hub.close()
        await self.relay.close()
        await self.store.close()
        self._thinking.close()
        await self.accounts.close()


def _asked(path: str) -> tuple[bool, str] | None:
    """Whether a path asks for a completion: of a chat or a text, and the strategy in it."""
    if path == "/v1/chat/completions":
        return True, ""
    if not path.endswith(_TEXT):
        return None
    chat = path.endswith(_CHAT)
    rest = path.removesuffix(_CHAT if chat else _TEXT)
    if rest == "/v1":
        return chat, ""
    if rest.startswith(_STRATEGIES) and rest.endswith("/v1"):
        return chat, rest[len(_STRATEGIES) : -len("/v1")]
    return None


def app(
    configuration: Configuration,
    *,
    accounts: Accounts | None = None,
    hub: Hub | None = None,
    models: Mapping[str, Source] | None = None,
) -> Gateway:
    """The gateway as an ASGI application.

    Args:
        configuration: names models and strategies, and holds the gateway's settings.
        accounts: keys, quotas and turns; by default no key is needed.
        hub: hears what runs; by default one of its own.
        models: engines and models of the caller's by the names that clients use.
    """
    return Gateway(configuration, accounts=accounts, hub=hub, models=models)
