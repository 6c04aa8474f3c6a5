"""One proxy under questions: what it serves, where it is reached, who answers there, and how it writes its cookies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple
from urllib.parse import urlsplit

from pinfeather.model.balance import Binding
from pinfeather.model.decide import Decision, Request, State, Status, Table, outcomes
from pinfeather.model.diagnostics import Diagnostic
from pinfeather.model.document import Document
from pinfeather.model.pools import apart, pools
from pinfeather.model.services import LoadBalancer
from pinfeather.model.sticky import Cookie, set_cookie
from pinfeather.verify.asking import Address, Answer, Pace, ask
from pinfeather.verify.effects import asked_for, basic, effect, watched
from pinfeather.verify.naming import ByCookie, ByDemo, Identify, Naming

VALUE = "<value>"
_ECHO = re.compile(r"(?m)^RemoteAddr: .*\n[A-Z]+ (?P<target>/\S*) HTTP/1\.[01]\n(?P<fields>(?:[^:\n]+: .*\n)*)")
"""What `traefik/whoami` and demo servers say of a request."""
_NOBODY = (0, 502, 503, 504)  # no answer, or one of a proxy that found no server
Write = Callable[[Cookie, str, bool], str]
"""The text of Set-Cookie: of a cookie, its value, and whether it names a variant."""


def as_traefik(cookie: Cookie, value: str, variant: bool) -> str:  # noqa: ARG001 - every dialect has the same shape
    return set_cookie(cookie, value)


class Kept(NamedTuple):
    """A cookie in a client's jar: its value, the pool that gave it, and what it stands for there."""

    value: str
    pool: str
    binding: str


@dataclass(slots=True)
class Client:
    """Somebody with cookies, and who answered them."""

    name: str = ""
    service: str = ""
    server: str = ""
    jar: dict[str, Kept] = field(default_factory=dict)

    @property
    def cookies(self) -> dict[str, str]:
        return {name: kept.value for name, kept in self.jar.items()}


class Expected(NamedTuple):
    """One thing that may happen to a request, and its probability."""

    share: Fraction
    status: int
    """0: whatever the server says."""
    service: str
    server: str
    """Its key."""
    bound: tuple[Binding, ...]
    """The cookies to set, named by their pools."""
    headers: tuple[tuple[str, str], ...] = ()
    location: str = ""
    unknown: str = ""
    route: str = ""
    canary: int | None = None
    """Which of the route's canaries holds."""
    path: str | None = None
    """What the server is asked for, where that is foretold."""
    fields: tuple[tuple[str, str], ...] = ()
    """Header fields that the server is asked with; an empty value: without it."""

    @property
    def who(self) -> str:
        return self.service or str(self.status)

    @property
    def said(self) -> str:
        """In the table."""
        return self.who + (f" to {self.location}" if self.location and not self.service else "")


@dataclass
class Column:
    """One proxy. `document`: what it serves, in its own dialect's words."""

    name: str
    document: Document
    entries: Mapping[str, Address]
    """By entry point; of `""`, any other."""
    identify: Identify
    naming: Naming
    pace: Pace
    write: Write = as_traefik
    in_order: bool = True
    """Whether Set-Cookie comes in the model's order."""
    shared: bool | None = None
    """Whether a cookie's value says nothing of the pool that gave it; None: nobody knows."""
    value: Callable[[str, str], str] | None = None
    """The cookie value of a pool and a binding, where it can be computed."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Server key -> what it calls itself, where that is known."""
    losses: tuple[Diagnostic, ...] = ()
    ends_tls: bool = True
    """Whether TLS is ended by it; where not, what a route demands of TLS is met by asking in plain."""
    no_route: int = 404
    """What it answers where no route holds."""
    closed: frozenset[str] = frozenset()
    """Routes that it keeps closed, and says so."""
    fall: int = 1
    """So many health checks fail before a server is down."""
    rise: int = 1
    """So many hold before it is up again."""
    bare_host: bool = False
    """Whether it knows hosts without a port only."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Server key of the user's document -> here."""
    user: str | None = None
    started: tuple[str, ...] = ()
    """What was started for it: a line each."""
    echoed: bool = False
    """Whether some server has said what it was asked for: those in the words of `traefik/whoami` do."""
    client_known: bool = False
    """Whether the address that a client comes from is the one that the proxy sees."""

    @cached_property
    def table(self) -> Table:
        return Table.of(apart(self.document))

    @cached_property
    def pools(self) -> Mapping[str, tuple[Cookie, frozenset[str]]]:
        """Pool -> its cookie, and all that it can bind to."""
        return {pool: (cookie, frozenset(bindings)) for pool, cookie, bindings in pools(self.document)}

    @cached_property
    def _sticky(self) -> frozenset[str]:
        return frozenset(cookie.name for cookie, _ in self.pools.values())

    @cached_property
    def _watched(self) -> frozenset[str]:
        return watched(self.document)

    @cached_property
    def _asked_for(self) -> frozenset[str]:
        return asked_for(self.document)

    @cached_property
    def _positions(self) -> Mapping[str, int]:
        return {name: at for at, name in enumerate(self.document.services)}

    # What is expected ------------------------------------------------------------------------------------------------

    def expected(
        self, request: Request, client: Client | None = None, down: frozenset[str] = frozenset(), user: str | None = None
    ) -> tuple[Expected, ...]:
        """All that may happen to a request of a client while the servers `down` (keys) are down; services in the document's order."""
        asked = request._replace(bindings=self._bindings(client) if client is not None else {})
        found: dict[Expected, Fraction] = {}
        for low, high, decision in outcomes(self.table, asked, self._state(down)).parts:
            one = self._outcome(request, decision, user)
            found[one] = found.get(one, Fraction(0)) + high - low
        every = [one._replace(share=share) for one, share in found.items()]
        return tuple(sorted(every, key=lambda one: self._positions.get(one.service, -1)))

    def _outcome(self, request: Request, decision: Decision, user: str | None) -> Expected:
        seen = request._replace(client=request.client if self.client_known else "")
        through = effect(self.document, seen, decision.middlewares, user)
        nobody = Expected(Fraction(0), 0, "", "", (), through.headers, through.location, route=decision.route or "", canary=decision.canary)
        if through.status is not None or through.unknown:
            return nobody._replace(status=through.status or 0, unknown=through.unknown)
        if decision.reason == "external":
            return nobody._replace(unknown=f"{decision.service} is another provider's")
        if decision.server_key is None:
            return nobody._replace(status=self.no_route if decision.reason == "no route" else decision.status)
        fields = dict.fromkeys(self._asked_for, "") | {name: value for name, value in request.headers if name in self._asked_for}
        asked_with = tuple(sorted((fields | {name: value for name, value in through.fields if name in self._asked_for}).items()))
        path = None if self._keeps_path(decision.service or "", decision.server_key) else through.path
        return nobody._replace(
            service=decision.service or "", server=decision.server_key, bound=decision.set_cookies, path=path, fields=asked_with
        )

    def _keeps_path(self, service: str, key: str) -> bool:
        """Whether the server's own URL has a path, which goes in front."""
        balancer = self.document.services.get(service)
        servers = balancer.servers if isinstance(balancer, LoadBalancer) else ()
        return any(server.preserve_path or urlsplit(server.url or "").path not in ("", "/") for server in servers if server.key == key)

    def _bindings(self, client: Client) -> dict[str, str]:
        """What a client's jar binds it to, by pool."""
        found = {}
        for pool, (cookie, bindings) in self.pools.items():
            kept = client.jar.get(cookie.name)
            if kept is not None and (kept.pool == pool or (self.shared and kept.binding in bindings)):
                found[pool] = kept.binding
        return found

    def doubtful(self, client: Client) -> bool:
        """Whether nobody knows if a cookie of one pool binds in another one, too."""
        if self.shared is not None:
            return False
        for pool, (cookie, bindings) in self.pools.items():
            kept = client.jar.get(cookie.name)
            if kept is not None and kept.pool != pool and kept.binding in bindings:
                return True
        return False

    def _state(self, down: frozenset[str]) -> State:
        if not down:
            return State()
        return State(
            {
                name: tuple(Status.DOWN if server.key in down else Status.UP for server in service.servers)
                for name, service in self.document.services.items()
                if isinstance(service, LoadBalancer)
            }
        )

    def texts(self, one: Expected, value: Callable[[Binding], str] = lambda _: VALUE) -> tuple[str, ...]:
        """The Set-Cookie texts of an outcome."""
        found = (self.write(self.pools[each.cookie.name][0], value(each), each.value in self.document.services) for each in one.bound)
        return tuple(found) if self.in_order else tuple(sorted(found))

    # Asking ----------------------------------------------------------------------------------------------------------

    def address(self, entry_point: str) -> Address | None:
        return self.entries.get(entry_point, self.entries.get(""))

    def reached(self, request: Request) -> Request:
        """The request as this proxy has to be asked."""
        if self.bare_host:
            host, colon, port = request.host.rpartition(":")
            request = request._replace(host=host if colon and port.isdigit() else request.host)
        return request if self.ends_tls else request._replace(tls=False, sni="")

    def ask(self, request: Request, cookies: Mapping[str, str], user: str | None = None) -> Answer:
        address = self.address(request.entry_point)
        assert address is not None
        self.pace.take()
        return ask(address, self.reached(request), cookies, basic(user) if user is not None else None)

    @property
    def blind(self) -> bool:
        """Whether nobody sees who answered a client that is given no new cookie: it is taken to be who its cookie names."""
        return isinstance(self.identify, ByCookie)

    def whose(self, answer: Answer, cookies: Mapping[str, str], expected: Sequence[Expected]) -> str:
        """What the server that answered calls itself; nothing where the proxy did."""
        found = self.identify.name(answer)
        if found or not isinstance(self.identify, ByCookie) or answer.status in _NOBODY or not all(one.service for one in expected):
            return found
        return self.identify.sent(cookies)

    def set_cookies(self, answer: Answer) -> tuple[str, ...]:
        """The sticky cookies that an answer sets; servers may set others."""
        found = (line for line in answer.values("set-cookie") if line.partition("=")[0] in self._sticky)
        return tuple(found) if self.in_order else tuple(sorted(found))

    # Judging one answer ----------------------------------------------------------------------------------------------

    def met(self, answer: Answer, name: str, expected: Sequence[Expected]) -> tuple[Expected, ...]:
        """Which of the expected outcomes the answer may be, told by who gave it and by its cookies; by who alone where no cookies fit."""
        if not name:
            return tuple(one for one in expected if not one.service and one.status == answer.status)
        fitting = [one for one in expected if one.service and self.naming.may(name, one.service, one.server)]
        lines = tuple(blank(line) for line in self.set_cookies(answer))
        return tuple(one for one in fitting if self.texts(one) == lines) or tuple(fitting)

    def faults(self, answer: Answer, one: Expected) -> Iterator[str]:
        """What is not, to the letter, as the outcome says."""
        lines = self.set_cookies(answer)
        if tuple(blank(line) for line in lines) != self.texts(one):
            said, wanted = " and ".join(map(blank, lines)) or "none", " and ".join(self.texts(one)) or "none"
            yield f"Set-Cookie is {said}; the document says {wanted}"
        elif (value := self.value) is not None and self.in_order:
            wanted_lines = self.texts(one, lambda each: value(each.cookie.name, each.value))
            for line, wanted in zip(lines, wanted_lines, strict=True):
                if line != wanted:
                    yield f"Set-Cookie is {line}; the value that can be computed is in {wanted}"
        if (location := ", ".join(answer.values("location"))) != one.location and not one.service:
            yield f"Location is {location or 'absent'}; the document says {one.location or 'absent'}"
        # Of servers that somebody else wrote nobody knows which fields they set by themselves.
        ours = one.service and isinstance(self.identify, ByDemo)
        names = self._watched if ours else self._watched & dict(one.headers).keys()
        wanted_headers = {name: value for name, value in one.headers if value}
        for field_name in sorted(names):
            got = ", ".join(answer.values(field_name))
            if got != wanted_headers.get(field_name, ""):
                yield f"{field_name} is {got or 'absent'}; the document says {wanted_headers.get(field_name) or 'absent'}"
        yield from self._echoed(answer, one)

    def _echoed(self, answer: Answer, one: Expected) -> Iterator[str]:
        """What is not as the outcome says in what the server was asked for, where it says that."""
        found = _ECHO.search(answer.body) if one.service else None
        if found is None:
            return
        self.echoed = True
        path = found["target"].partition("?")[0]
        if one.path is not None and path != one.path:
            yield f"the server was asked for {path}; the document says {one.path}"
        said: dict[str, str] = {}
        for line in found["fields"].splitlines():
            name, _, value = line.partition(": ")
            said[name.lower()] = f"{said[name.lower()]}, {value}" if name.lower() in said else value
        for field_name, wanted in one.fields:
            if said.get(field_name, "") != wanted:
                got = said.get(field_name) or "absent"
                yield f"the server was asked with {field_name} {got}; the document says {wanted or 'absent'}"

    def client(self, answer: Answer, name: str, one: Expected, before: Client | None = None) -> Client:
        """Who was answered so, with the cookies that were given."""
        client = Client(name, one.service, one.server, dict(before.jar) if before is not None else {})
        by_name = {line.partition("=")[0]: line.partition(";")[0].partition("=")[2] for line in self.set_cookies(answer)}
        for each in one.bound:
            cookie = self.pools[each.cookie.name][0]
            if cookie.name in by_name:
                client.jar[cookie.name] = Kept(by_name[cookie.name], each.cookie.name, each.value)
        return client


def blank(line: str) -> str:
    """Set-Cookie without its value, which says nothing."""
    pair, semicolon, rest = line.partition(";")
    return f"{pair.partition('=')[0]}={VALUE}{semicolon}{rest}"
