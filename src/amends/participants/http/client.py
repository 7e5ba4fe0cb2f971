"""An HTTP client for steps: it tells the participant what it must know, and the engine what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import nullcontext
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Self, TypedDict, TypeVar, Unpack
from urllib.parse import urljoin, urlsplit

from ... import codec
from ...clock import Clock, SystemClock
from ...definition.compensation import SEALED, UNRESOLVED, Probed
from ...definition.context import Current
from ...definition.policy import Duration, seconds, word
from ...errors import AmendsError, DefinitionError, NotSent, Rejected
from .. import attempt
from ..failures import TryLater, UnknownOutcome
from ..secrets import Secrets
from ..verdict import Verdict, Word
from . import operation
from .cache import Cache
from .library import httpx2
from .policy import POLICY, Statuses, retry_after
from .reply import Accepted, Reply
from .sending import SETUP_SHARE, phrase, place, send

T = TypeVar("T")

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LONGEST_WAIT = 3600.0
"""A `Retry-After` beyond this (seconds) is taken for this."""


class Options(TypedDict, total=False):
    """What a request takes, all by name.

    json: a value, written as the engine writes payloads.  content: bytes instead.  params: the query.
    headers: more of them.  part: tells this request from others of the same attempt (it is appended to the
    idempotency key).  timeout: for this request.  statuses: other verdicts.  cached: for GET,
    seconds for which the reply may be used again.  reads: True when it changes nothing, whatever its method.
    judge: given a successful reply, the error that it stands for all the same, or None; for participants that
    answer 200 and say no.
    """

    json: Any
    content: bytes
    params: Mapping[str, Any]
    headers: Mapping[str, str]
    part: str
    timeout: Duration
    statuses: Statuses
    cached: Duration
    reads: bool
    judge: Callable[[Reply], Exception | None]


class HttpClient:
    """One participant's HTTP client: a pool of connections, and a policy from replies to outcomes.

    Give it to the engine (`Engine(resources=[bank])`) and to steps (`bank: Resource[Bank]`); make a
    subclass for each participant, so that steps can tell them apart.  Or enter it with `async with`.

    base_url: where the participant is; all requests go there.  headers: sent with each.  timeout: seconds
    for one request, cut to what the attempt has left.  connect: seconds for a connection.  connections:
    the pool's size; who finds none free waits.  statuses: verdicts that differ from `POLICY`.
    key_header, key_form: how the participant wants its idempotency key (`as_uuid`).  breaker: a `Breaker`.
    cache: how many replies are kept.  longest_reply: bytes.  secrets: values that must not appear in
    messages, besides those in `headers` and `base_url`.  session: makes the underlying
    `httpx2.AsyncClient`, for proxies, certificates, HTTP/2 or authentication flows.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: Duration = 30.0,
        connect: Duration = 5.0,
        connections: int = 100,
        statuses: Statuses | None = None,
        key_header: str = attempt.KEY,
        key_form: attempt.KeyForm = str,
        breaker: attempt.Guard | None = None,
        cache: int = 1024,
        longest_reply: int = 16 * 1024 * 1024,
        secrets: Iterable[str] = (),
        session: Callable[[], httpx2.AsyncClient] | None = None,
        clock: Clock | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise DefinitionError(
                f"base_url must begin with http:// or https:// and a host, got {parts.scheme or base_url!r}",
                hint="HttpClient('https://bank.example')",
            )
        self.base_url = base_url.rstrip("/") + "/"
        self.breaker = breaker
        self._headers = dict(headers or {})
        self._timeout = seconds(timeout, "timeout") or 30.0
        self._connect = seconds(connect, "connect")
        self._connections = connections
        self._policy = POLICY.but(statuses)
        self._key_header = key_header
        self._key_form = key_form
        self._longest = longest_reply
        self._secrets = Secrets(self._headers, base_url, secrets)
        self._make = session or self._plain_session
        self._clock = clock or SystemClock()
        self._cache = Cache(cache, self._clock)
        self._session: httpx2.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def _plain_session(self) -> httpx2.AsyncClient:
        limits = httpx2.Limits(max_connections=self._connections, max_keepalive_connections=self._connections)
        # Executions have nothing to do with one another: what one is given must not go out with the next.
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        return httpx2.AsyncClient(limits=limits, cookies=no_cookies)

    async def __aenter__(self) -> Self:
        if self._session is not None:
            raise DefinitionError(f"{self!r} is open already", hint="one engine opens it, once")
        self._session = await self._make().__aenter__()
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(self, *exc: object) -> None:
        session, self._session, self._loop = self._session, None, None
        self._cache.clear()
        if session is not None:
            await session.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._secrets.hide(self.base_url)}>"

    # ------------------------------------------------------------ requests

    async def request(self, method: str, path: str, **options: Unpack[Options]) -> Reply:
        """Send a request; a reply is a success.

        Raises `NotSent` (certainly not sent), `TryLater` (certainly not handled), `NotYet` (the breaker is
        open), `Rejected` (`details`: status and JSON body), `UnknownOutcome`.
        """
        of = attempt.here()
        try:
            return await self._request(method.upper(), path, of, options)
        except AmendsError as error:
            failure = attempt.settle(of, error)
        if isinstance(failure, UnknownOutcome) and not _reads(method.upper(), options):
            attempt.has_acted(of)
        raise failure

    async def get(self, path: str, **options: Unpack[Options]) -> Reply:
        """`request("GET", …)`: changes nothing, so that no failure of it is unknown."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Unpack[Options]) -> Reply:
        """`request("POST", …)`."""
        return await self.request("POST", path, **options)

    async def put(self, path: str, **options: Unpack[Options]) -> Reply:
        """`request("PUT", …)`."""
        return await self.request("PUT", path, **options)

    async def patch(self, path: str, **options: Unpack[Options]) -> Reply:
        """`request("PATCH", …)`."""
        return await self.request("PATCH", path, **options)

    async def delete(self, path: str, **options: Unpack[Options]) -> Reply:
        """`request("DELETE", …)`."""
        return await self.request("DELETE", path, **options)

    # ------------------------------------------------------------ asynchronous participants, probes

    async def check(
        self, accepted: Reply | Accepted, *, failed: Word = Verdict.UNKNOWN, every: Duration = 5.0
    ) -> Reply:
        """Look once whether an accepted request (a 202, or what its `reply.accepted()` gave) is done; its
        reply if so.

        Raises `TryLater` while it is not (after the participant's `Retry-After`, or `every`), so that the
        step's retries do the waiting, durably. An operation that ended in failure counts as `failed`.
        """
        way = word(Verdict, failed, "failed")
        return await operation.check(self, accepted, way, seconds(every, "every") or 5.0)

    async def poll(
        self, accepted: Reply | Accepted, *, failed: Word = Verdict.UNKNOWN, every: Duration = 1.0
    ) -> Reply:
        """Ask again and again until an accepted request is done, within this attempt; then its reply.

        Raises `UnknownOutcome` when the attempt's time is up. For waits longer than a minute use `check` in a
        step of its own.
        """
        way, pause = word(Verdict, failed, "failed"), seconds(every, "every") or 1.0
        return await operation.poll(self, accepted, way, pause, self._clock, self._timeout)

    async def probe(self, path: str, type: type[T], *, sealed: Collection[int] = ()) -> T | Probed:
        """For `@step.probe`: GET what the participant knows of this action's key.

        200 is read as `type`; a status in `sealed` gives `SEALED` (name one only if with it the participant
        promises to refuse the key from now on); anything else gives `UNRESOLVED`.
        """
        known: dict[int, Any] = {404: Verdict.SUCCEEDED, **dict.fromkeys(sealed, Verdict.SUCCEEDED)}
        reply = await self.get(path, statuses=known)
        if reply.status in sealed:
            return SEALED
        return reply.read(type) if reply.status == 200 else UNRESOLVED

    def wait(self, call: Coroutine[Any, Any, T]) -> T:
        """Run one of the methods above from a thread: for `def` steps. `bank.wait(bank.post("/charges"))`."""
        if self._loop is None:
            call.close()
            raise self._closed()
        try:
            running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            call.close()
            raise DefinitionError("wait would stop the event loop it waits for", hint="await the call here")
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()

    # ------------------------------------------------------------ one exchange

    async def _request(self, method: str, path: str, of: Current | None, options: Options) -> Reply:
        keep = seconds(options.get("cached"), "cached")
        if keep is not None and method != "GET":
            raise DefinitionError(f"a {method} cannot be cached", hint="cached= is for GET")
        request = self._build(method, path, of, options)
        key = (str(request.url), tuple(sorted((options.get("headers") or {}).items())))
        if keep is not None and (found := self._cache.find(key)) is not None:
            return found
        with self.breaker.guard() if self.breaker else nullcontext():
            reply = await self._exchange(request, of, options)
        if keep is not None:
            self._cache.keep(key, reply, keep)
        return reply

    def _closed(self) -> DefinitionError:
        return DefinitionError(
            f"{self!r} is not open", hint="give it to the engine: Engine(resources=[…]), or use `async with`"
        )

    def _build(self, method: str, path: str, of: Current | None, options: Options) -> httpx2.Request:
        if self._session is None:
            raise self._closed()
        url = urljoin(self.base_url, path if "://" in path else path.removeprefix("/"))
        if _origin(url) != _origin(self.base_url):
            raise NotSent(
                f"{method}: the address is on another host than {_origin(self.base_url)[1]}",
                hint="the credentials belong to one participant: make a client for each",
            )
        told = attempt.headers(
            of, part=options.get("part", ""), key_header=self._key_header, key_form=self._key_form
        )
        content = options.get("content")
        if "json" in options:
            content = codec.encode(options["json"], f"the body of {method} {path}")
            told["Content-Type"] = "application/json"
        sent = {**self._headers, **told, **(options.get("headers") or {})}
        secrets = self._secrets.and_headers(sent)
        try:
            return self._session.build_request(
                method, url, params=options.get("params"), headers=sent, content=content
            )
        except (httpx2.InvalidURL, ValueError, TypeError) as error:
            why = secrets.hide(f"{type(error).__name__}: {error}")
        raise NotSent(
            f"{method} {secrets.hide(path.partition('?')[0])}: not a request that can be sent: {why}"
        )

    async def _exchange(self, request: httpx2.Request, of: Current | None, options: Options) -> Reply:
        most = seconds(options.get("timeout"), "timeout") or self._timeout
        left = attempt.time_left(of, self._clock, most)
        secrets = self._secrets.and_headers(request.headers)
        if left <= 0:
            where = f"{request.method} {place(request, secrets)}"
            raise NotSent(f"{where}: not sent, the attempt's time is up")
        assert self._session is not None
        request.extensions["timeout"] = _timeouts(left, self._connect)
        safe = _reads(request.method, options)
        try:
            response, content = await send(
                self._session, request, seconds=left, longest=self._longest, secrets=secrets
            )
        except UnknownOutcome as error:
            if not safe:
                raise
            lost = error
        except asyncio.CancelledError:
            if not safe:
                attempt.has_acted(of)
            raise
        else:
            return self._judged(response, content, of, options)
        raise TryLater(lost.message, hint=lost.hint, outage=True)

    def _judged(
        self, response: httpx2.Response, content: bytes, of: Current | None, options: Options
    ) -> Reply:
        """The reply, or the error that its status stands for."""
        request = response.request
        secrets = self._secrets.and_headers(request.headers)
        asked = retry_after(response.headers.get("retry-after"), self._clock.now(), LONGEST_WAIT)
        where = place(request, secrets)
        reply = Reply(
            method=request.method,
            path=where,
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            content=content,
            secrets=secrets,
            url=str(request.url),
            retry_after=asked,
        )
        policy = self._policy.but(options.get("statuses"))
        verdict = policy.verdict(reply.status, retry_after=asked is not None)
        safe = _reads(request.method, options)
        if verdict is Verdict.SUCCEEDED:
            judge = options.get("judge")
            if judge is not None and (no := judge(reply)) is not None:
                raise no
            if not safe:
                attempt.has_acted(of)
            return reply
        reason = reply.reason()
        said = f"{reply.method} {where}: {phrase(reply.status)}" + (f": {reason}" if reason else "")
        if verdict is Verdict.REJECTED:
            raise Rejected(said, details={"status": reply.status, "body": reply.passable()})
        if verdict is Verdict.LATER or safe:
            raise TryLater(said, retry_after=asked, outage=reply.status >= 500)
        raise UnknownOutcome(said, retry_after=asked)


def _reads(method: str, options: Options) -> bool:
    return method in SAFE or options.get("reads", False)


def _timeouts(left: float, connect: float | None) -> dict[str, float | None]:
    setup = left * SETUP_SHARE
    return {"connect": min(connect or setup, setup), "pool": setup, "read": None, "write": None}


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)
