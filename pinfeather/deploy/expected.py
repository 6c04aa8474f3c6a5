"""What the table expects of a proxy: worked out of the document by the decision core. No number and no name by heart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import comb

from pinfeather.model.decide import Decision, Request, State, Status, Table, outcomes
from pinfeather.model.document import Document
from pinfeather.model.match import Cookie as CookieCondition
from pinfeather.model.noun import seconds
from pinfeather.model.routes import Route
from pinfeather.model.services import HealthCheck, LoadBalancer
from pinfeather.model.sticky import Cookie

DOUBT = Fraction(1, 10**6)
"""How improbable a count must be before it is called wrong."""
_INTERVAL, _TIMEOUT = "30s", "5s"  # of a health check that does not say: Traefik 3.7, pkg/config/dynamic/http_config.go


class Unfit(Exception):  # noqa: N818 - says what the document is
    """The document tells no story that the table could check; the text says what is missing."""


def bounds(asked: int, share: Fraction, doubt: Fraction = DOUBT) -> tuple[int, int]:
    """The smallest and the largest count that chance explains, when each of `asked` answers is one with probability `share`.

    An exact two-sided binomial test: a count is refused when it, or one farther out on its side, has a probability of at
    most `doubt` / 2. All in whole numbers: with share = a/b, the probability of k is comb(asked, k) a^k (b-a)^(asked-k) / b^asked.
    """
    hit, total = share.numerator, share.denominator
    chances = [comb(asked, count) * hit**count * (total - hit) ** (asked - count) for count in range(asked + 1)]
    limit = doubt * total**asked

    def first(counts: range) -> int:
        tail = 0
        for count in counts:
            tail += chances[count]
            if 2 * tail > limit:
                return count
        raise AssertionError("the probabilities sum to one")

    return first(range(asked + 1)), first(range(asked, -1, -1))


def enough(share: Fraction, least: int) -> int:
    """How many to ask, at least `least`, so that *all of them* is a count that chance does not explain.

    Raises `Unfit` for a share of 1: then all of them is right.
    """
    if share == 1:
        raise Unfit("everybody is sent to the canary's service: nothing tells testers from others; give the split another entry")
    asked = least
    while bounds(asked, share)[1] == asked:
        asked += 1
    return asked


@dataclass(frozen=True, slots=True)
class Expected:
    """One thing that may happen to a request, and its probability."""

    share: Fraction
    service: str
    server: str  # its key in the document
    set_cookies: tuple[tuple[Cookie, str], ...]  # with the variant or server that each binds to, the outer level first
    headers: Mapping[str, str]  # set on the answer; an empty one is taken off


@dataclass(frozen=True, slots=True)
class Pause:
    """How long health checks may take, in seconds."""

    down: float  # until a server that has gone is noticed
    up: float  # until one that is back is noticed


@dataclass(frozen=True, slots=True)
class Story:
    """A route with a canary by cookie, a split and sticky cookies, and a request that reaches it."""

    document: Document
    table: Table
    route: Route
    host: str
    path: str
    tester: tuple[str, str]
    """The cookie that the canary asks for."""
    stranger: tuple[str, str]
    """A cookie that looks alike: who searches for the canary's text finds it in here."""

    @classmethod
    def of(cls, document: Document) -> Story:
        """The first route of the document that can be checked. Raises `Unfit` when none can."""
        try:
            table = Table.of(document)
        except ValueError as error:
            raise Unfit(str(error)) from error
        for route in document.routes:
            cookie = next(_exact_cookies(route), None)
            if cookie is None or not route.split or route.sticky is None:
                continue
            host = (route.hosts[0] if route.hosts else "localhost").replace("*", "www", 1)
            path = (route.path.exact or route.path.prefix or "/") if route.path is not None else "/"
            name, value = cookie
            story = cls(document, table, route, host, path, cookie, (f"not{name}", f"{value}{value[-1:]}"))
            if all(story.expected(asked) for asked in ({}, dict((cookie,)), dict((story.stranger,)))):
                return story
        raise Unfit(
            "no route has a canary by an exact cookie, a split with a variant cookie, and servers for every plain GET request to its host"
        )

    def expected(
        self, cookies: Mapping[str, str], bindings: Mapping[str, str] | None = None, down: frozenset[str] = frozenset()
    ) -> tuple[Expected, ...]:
        """All that may happen to a request with these cookies, bound as given, while the servers `down` are down.

        Empty when the route is not reached, or some request finds no server.
        """
        header = "; ".join(f"{name}={value}" for name, value in cookies.items())
        request = Request(
            host=self.host,
            path=self.path,
            method="GET",
            headers=(("cookie", header),) if header else (),
            entry_point=self.route.entry_points[0] if self.route.entry_points else "",
            client="127.0.0.1",
            bindings=dict(bindings or {}),
        )
        found = []
        for low, high, decision in outcomes(self.table, request, self._state(down)).parts:
            if decision.route != self.route.name or decision.service is None or decision.server_key is None:
                return ()
            cookies_set = tuple((binding.cookie, binding.value) for binding in decision.set_cookies)
            found.append(Expected(high - low, decision.service, decision.server_key, cookies_set, self._headers(decision)))
        return tuple(found)

    def servers(self, service: str) -> tuple[str, ...]:
        """The keys of a service's servers."""
        balancer = self.document.services[service]
        return tuple(server.key for server in balancer.servers) if isinstance(balancer, LoadBalancer) else ()

    def pause(self, service: str) -> Pause | None:
        """How long the health check of a service may take to notice; None without one."""
        balancer = self.document.services[service]
        check = balancer.health_check if isinstance(balancer, LoadBalancer) else None
        return None if check is None else Pause(_longest(check, check.interval), _longest(check, check.unhealthy_interval))

    def _state(self, down: frozenset[str]) -> State:
        return State(
            servers={
                name: tuple(Status.DOWN if key in down else Status.UP for key in self.servers(name))
                for name, service in self.document.services.items()
                if isinstance(service, LoadBalancer)
            }
        )

    def _headers(self, decision: Decision) -> Mapping[str, str]:
        headers: dict[str, str] = {}
        pending = list(reversed(decision.middlewares))
        while pending:
            middleware = self.document.middlewares.get(pending.pop())
            if middleware is not None and middleware.chain is not None:
                pending += reversed(middleware.chain.middlewares)
            elif middleware is not None and middleware.headers is not None:
                # The middleware passed first sees the answer last: what it sets stands.
                headers = {**middleware.headers.response, **headers}
        return headers


def shares(expected: tuple[Expected, ...]) -> dict[str, Fraction]:
    """The probability of each service."""
    found: dict[str, Fraction] = {}
    for one in expected:
        found[one.service] = found.get(one.service, Fraction(0)) + one.share
    return found


def _longest(check: HealthCheck, interval: str | None) -> float:
    return seconds(interval or check.interval or _INTERVAL) + seconds(check.timeout or _TIMEOUT)


def _exact_cookies(route: Route) -> Iterator[tuple[str, str]]:
    for canary in route.canaries:
        if isinstance(canary.when, CookieCondition) and canary.when.cookie.value is not None:
            yield canary.when.cookie.name, canary.when.cookie.value
