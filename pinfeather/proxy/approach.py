"""One request's way to its server: what the document decides, what its middlewares do, and another server where one fails.

A request goes to another server only where nothing can have been done with it: the connection could not be made, or it broke
before a byte of the answer and the method may be repeated. Who that is, the decision core says again, by the same draw and of a
state in which what failed is down: the client stays with its variant, and the cookies are those of the server that answers.

Without a `retry` middleware there is one other try, and over all requests one in ten of them at most (`Budget`); with it, as many
tries in all as it says, each after a pause that doubles. A pause is only made for the same server: another is tried at once.
"""

import random
from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING, cast

from pinfeather.model.decide import Decision, Request, State, Status, decide, decided
from pinfeather.model.request import Asked, cookie_pairs
from pinfeather.proxy.account import Account
from pinfeather.proxy.answers import CLOSED, MISDIRECTED, NO_SERVER, NOT_FOUND, UNEXPECTED
from pinfeather.proxy.backend import Origin
from pinfeather.proxy.fields import Section
from pinfeather.proxy.passage import SEEN, Answer, Passage, believed, request_head
from pinfeather.proxy.wire import RequestHead

if TYPE_CHECKING:
    from pinfeather.proxy.client import ClientConnection
    from pinfeather.proxy.step import Step

_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))
_BODILESS = frozenset(("GET", "HEAD", "OPTIONS", "DELETE"))  # no Content-Length where nothing was announced
_NO_STEPS: tuple["Step", ...] = ()


_LONGEST = 5.0  # seconds between two tries


class Budget:
    """Retries that nobody asked for: one in ten requests, and a few in a row where there were none for long."""

    __slots__ = ("_left",)

    SHARE = 0.1
    MOST = 20.0

    def __init__(self) -> None:
        self._left = self.MOST

    def earn(self) -> None:
        """One more request."""
        if self._left < self.MOST:
            self._left += self.SHARE

    def spend(self) -> bool:
        """Whether there is one left to be spent."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Approach:
    """From a request's head to what is sent to a server. `Exchange` does the sending."""

    __slots__ = (
        "_account",
        "_asked",
        "_bound",
        "_client",
        "_draw",
        "_failed",
        "_live",
        "_request",
        "_steps",
        "_tries",
        "cookies",
        "head",
        "origin",
        "passage",
    )

    def __init__(self, client: "ClientConnection", request: RequestHead, account: Account) -> None:
        self._client = client
        self._request = request
        self._account = account
        self._live = client.edge.live
        self._bound = self._live.serving.cookies.bound(request.section)
        self._steps: Iterator[Step] = iter(_NO_STEPS)
        self._draw = random.getrandbits(64)
        self._failed: set[tuple[str, int]] = set()
        self._tries = 1
        secure = client.secure
        self.passage = passage = Passage(request, client.address, "http" if secure is None else "https")
        self._asked = Request(  # by position: it is made for each request
            request.host,
            passage.path,
            request.method,
            _headers(request.section, passage.forwarded),
            request.query or "",
            client.entry_point,
            secure is not None,
            "" if secure is None or secure.sni is None else secure.sni,
            client.address,
            self._bound,
        )
        self.origin: Origin
        self.head = b""
        self.cookies: tuple[str, ...] = ()

    def begin(self) -> Answer | None:
        """Decide. An answer ends the way; without one, `walk` and then `arrive`."""
        client, live, account = self._client, self._live, self._account
        client.edge.budget.earn()
        if self.passage.expects_more:
            return UNEXPECTED
        account.live, account.bindings = live, self._bound
        account.decision = decision = decided(
            live.serving.table, Asked(self._asked, live.state, _cookies(self._request.section)), self._draw
        )
        door = live.serving.entrances.door(client.entry_point)
        secure = client.secure
        if decision.route is None or (secure is None and door.tls_only):
            return NOT_FOUND
        if secure is not None and (terms := door.terms[decision.route]) != secure.options:
            return CLOSED if terms is None else MISDIRECTED
        steps = live.serving.steps(decision.middlewares)
        if steps is None:
            return CLOSED
        self._steps = iter(steps)
        return None

    def walk(self) -> Answer | Awaitable[Answer | None] | None:
        """Go through the middlewares that are left, up to one that answers or has to be awaited; None at their end."""
        for step in self._steps:
            if (outcome := step(self.passage)) is not None:
                return outcome
        return None

    def arrive(self) -> Answer | None:
        """Make the request ready for the server that was decided on. An answer ends the way."""
        decision = self._account.decision
        assert decision is not None
        return self._to(decision, self._live.state)

    def again(self, *, delivered: bool) -> float | None:
        """After a failure: the seconds to wait before the request is sent once more, made ready for that; None: it is not.

        `delivered`: whether bytes of it may have reached the server. Where there is no other server, a `retry` middleware has the
        same one asked again.
        """
        decision, attempts = self._account.decision, self.passage.attempts
        assert decision is not None
        if self._tries >= (attempts or 2) or (delivered and not self.repeatable):
            return None
        if self._client.now() - self._account.began > self._client.edge.settings.first_byte:
            return None  # whoever still waits has waited long enough
        other = self._decided_without(decision)
        if other is None and not attempts:
            return None
        if not attempts and not self._client.edge.budget.spend():
            return None
        self._tries += 1
        self._account.retries += 1
        if other is None:
            return min(self.passage.retry_interval * 2.0 ** min(self._tries - 2, 30), _LONGEST)
        self._account.decision = other
        return 0.0 if self._to(other, self._live.state) is None else None

    @property
    def repeatable(self) -> bool:
        """Whether the request may be sent a second time: nothing of it is lost, and twice is as good as once."""
        return self._request.method in _IDEMPOTENT and self._request.framing.empty and not self._request.websocket

    def _decided_without(self, decision: Decision) -> Decision | None:
        """The decision if what has failed were down; None where that leads to no server, or past other middlewares."""
        if decision.service is None or decision.server is None:
            return None
        self._failed.add((decision.service, decision.server))
        servers = dict(self._live.state.servers)
        for service, server in self._failed:
            statuses = servers[service]
            servers[service] = (*statuses[:server], Status.DOWN, *statuses[server + 1 :])
        again = decide(self._live.serving.table, self._asked, State(servers), self._draw)  # the same draw: the same variant
        same_way = again.route == decision.route and again.middlewares == decision.middlewares
        return again if same_way and again.status == 200 and again.server is not None else None

    def _to(self, decision: Decision, state: State) -> Answer | None:
        if decision.status != 200 or decision.service is None or decision.server is None:
            return NO_SERVER
        serving, request = self._live.serving, self._request
        target = serving.target(decision.service, decision.server)
        if target is None:
            return CLOSED
        self.origin, pass_host = target
        self._account.origin = self.origin
        self.cookies = serving.set_cookies(decision, self._bound, state)
        self.head = request_head(
            self.passage,
            self.passage.host if pass_host else self.origin.authority,
            request.framing,
            websocket=request.websocket,
            bodiless=request.method in _BODILESS,
        )
        return None


def _headers(section: Section, forwarded: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The fields as conditions see them, worked out once for a section: what a client says of itself is as little believed by a route as
    it is by a server. As in Traefik (3.7.15) a route sees in their place what this proxy saw, but for X-Forwarded-For, which comes later.
    """
    found = section.memo.get("headers")
    if found is None or cast("tuple[object, object]", found)[0] != forwarded:
        said = [(name, value) for name, value, _ in section.fields if believed(name)]
        found = section.memo["headers"] = forwarded, (*said, *zip(SEEN, forwarded[1:], strict=True))
    return cast("tuple[object, tuple[tuple[str, str], ...]]", found)[1]


def _cookies(section: Section) -> tuple[tuple[str, str], ...]:
    """The pairs as conditions see them."""
    found = section.memo.get("cookies")
    if found is None:
        found = section.memo["cookies"] = cookie_pairs(tuple((name, value) for name, value, _ in section.fields))
    return cast("tuple[tuple[str, str], ...]", found)
