"""One of the two documents that are compared, ready to be asked; and what a decision comes to, in words that dialects have in common.

Services, middlewares and routes are called otherwise in each dialect, so names are nobody's difference. What counts is where a
request lands (the server's key), what it passes (middlewares by what they do, in their order), which cookies are set (name and
attributes), and the status.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple

from pinfeather.model.balance import Fork, Node, Pool
from pinfeather.model.decide import Decision, Request, State, Table, outcomes
from pinfeather.model.diagnostics import Path, Span
from pinfeather.model.document import Document
from pinfeather.model.middlewares import Middleware
from pinfeather.model.pools import apart, pools
from pinfeather.model.request import cookie_pairs
from pinfeather.model.routes import Route, TcpRoute, Tls
from pinfeather.model.services import LoadBalancer, Split
from pinfeather.model.sticky import Cookie, set_cookie
from pinfeather.model.table import Way
from pinfeather.translators.contract import Identity

STATE = State()
"""All servers are up."""
GUARDS = frozenset({"basic_auth", "forward_auth", "ip_allow_list", "client_certificate", "other"})
"""Kinds of middlewares that refuse people; of one that is not known it must be feared."""


class Landing(NamedTuple):
    """Where a request comes to. `service`: what this side calls it, which is compared with nothing."""

    status: int
    server: str
    passes: tuple[str, ...]
    """Middlewares by what they do, chains opened."""
    cookies: tuple[str, ...]
    """Set-Cookie without its value."""
    service: str = ""

    @property
    def plain(self) -> Landing:
        return self._replace(service="")

    @property
    def guards(self) -> frozenset[str]:
        return frozenset(text for text in self.passes if text.partition(" ")[0] in GUARDS)


class Side:
    """A document with its table. `identity`: the cookie values of its target, where they are known. Raises UndecidedError for templates."""

    def __init__(
        self,
        document: Document,
        spans: Mapping[Path, Span] | None = None,
        identity: Identity | None = None,
        unread: tuple[str, ...] = (),
    ) -> None:
        """`unread`: what stands in the source and could not be read."""
        self.document = document
        self.unread = unread
        self.spans: Mapping[Path, Span] = spans if spans is not None else {}
        self.identity = identity
        self.table = Table.of(apart(document))
        self._passed: dict[tuple[str, ...], tuple[str, ...]] = {}

    @cached_property
    def pools(self) -> Mapping[str, tuple[Cookie, tuple[str, ...]]]:
        """Pool -> its cookie, and all that it can bind to."""
        return {pool: (cookie, tuple(dict.fromkeys(bindings))) for pool, cookie, bindings in pools(self.document)}

    @cached_property
    def reached(self) -> frozenset[str]:
        """The pools whose cookies some request may be given."""
        found: set[str] = set()
        waiting = [name for route in self.document.routes for name in route.targets]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                service = self.document.services.get(name)
                waiting += [entry.to for entry in service.split] if isinstance(service, Split) else []
        return frozenset(pool for pool in self.pools if not pool.startswith("service:") or pool.partition(":")[2] in found)

    @cached_property
    def by_cookie(self) -> Mapping[str, tuple[str, ...]]:
        """The name of a cookie -> its pools."""
        found: dict[str, tuple[str, ...]] = {}
        for pool, (cookie, _) in self.pools.items():
            found[cookie.name] = (*found.get(cookie.name, ()), pool)
        return found

    def value(self, pool: str, binding: str) -> str | None:
        """The cookie value that the target gives out; None where it is not known."""
        if self.identity is None:
            return None
        name = pool.partition(":")[2]
        return self.identity.variants.get((name, binding), self.identity.servers.get((name, binding)))

    def bound(self, variants: Mapping[str, str]) -> dict[str, str]:
        """Sticky cookie -> variant, by pool: in those pools that have this variant."""
        return {pool: variants[cookie.name] for pool, (cookie, row) in self.pools.items() if variants.get(cookie.name) in row}

    @cached_property
    def _values(self) -> Mapping[tuple[str, str], tuple[tuple[str, str], ...]]:
        """Name and value of a cookie -> pools, and what it binds to in each."""
        found: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {}
        for pool, (cookie, bindings) in self.pools.items():
            for binding in bindings:
                if (value := self.value(pool, binding)) is not None:
                    found[cookie.name, value] = (*found.get((cookie.name, value), ()), (pool, binding))
        return found

    def carried(self, headers: tuple[tuple[str, str], ...]) -> dict[str, str]:
        """What the cookies of a request bind its client to, by pool, where their values are known."""
        if self.identity is None:
            return {}
        return {pool: binding for pair in cookie_pairs(headers) for pool, binding in self._values.get(pair, ())}

    # What happens ----------------------------------------------------------------------------------------------------

    def landings(self, request: Request, bindings: Mapping[str, str] | None = None) -> dict[Landing, Fraction]:
        """How much of all draws comes where; bindings by pool. The shares add up to 1."""
        asked = request._replace(bindings=bindings or {})
        found: dict[Landing, Fraction] = {}
        for low, high, decision in outcomes(self.table, asked, STATE).parts:
            where = self.landing(decision, tls=request.tls)
            found[where] = found.get(where, Fraction(0)) + high - low
        return found

    def landing(self, decision: Decision, *, tls: bool = False) -> Landing:
        status = 200 if decision.reason == "external" else decision.status
        server = decision.server_key or (decision.service or "" if decision.reason == "external" else "")
        texts = tuple(set_cookie(self.pools[each.cookie.name][0], "") for each in decision.set_cookies)
        terms = self.terms(self._routes[decision.route]) if tls and decision.route is not None else ()
        passes = (*terms, *self.passed(decision.middlewares), *self.to_server(decision.service or "", server))
        return Landing(status, server, passes, texts, decision.service or "")

    @cached_property
    def _routes(self) -> Mapping[str, Route]:
        return {route.name: route for route in reversed(self.document.routes)}

    def terms(self, route: Route | TcpRoute) -> tuple[str, ...]:
        """On which terms TLS is spoken with a client of this route; a certificate that is asked for guards it."""
        return terms(self.document, route.tls)

    def to_server(self, service: str, key: str) -> tuple[str, ...]:
        """How its server is spoken to, where that is said otherwise than as usual."""
        balancer = self.document.services.get(service)
        if not isinstance(balancer, LoadBalancer):
            return ()
        said: dict[str, object] = {}
        if balancer.pass_host_header is False:
            said["pass_host_header"] = False
        if balancer.strategy not in (None, "wrr"):
            said["strategy"] = balancer.strategy
        if balancer.servers_transport is not None:
            said["servers_transport"] = self.document.servers_transports.get(balancer.servers_transport, balancer.servers_transport)
        if any(server.preserve_path for server in balancer.servers if server.key == key):
            said["preserve_path"] = True
        return (f"to_server {json.dumps(said, sort_keys=True, default=str)}",) if said else ()

    def passed(self, names: tuple[str, ...]) -> tuple[str, ...]:
        if names not in self._passed:
            self._passed[names] = tuple(self._opened(names, ()))
        return self._passed[names]

    def _opened(self, names: tuple[str, ...], above: tuple[str, ...]) -> Iterator[str]:
        for name in names:
            middleware = self.document.middlewares.get(name)
            if middleware is None:
                yield f"other {name}"
            elif middleware.chain is None:
                yield content(middleware)
            elif name not in above:
                yield from self._opened(middleware.chain.middlewares, (*above, name))

    # What a rung leads to, as a whole ----------------------------------------------------------------------------------

    def signature(self, way: Way) -> object:
        """Equal for two ways, of whatever side, only if they do the same to every request."""
        cookie = self._cookie(way.binding.cookie) if way.binding is not None else None
        return self.passed(way.middlewares), cookie, self.node(way.to)

    def node(self, node: Node) -> object:
        """What a service does, whatever it is called."""
        if isinstance(node, Pool):
            servers = tuple(sorted((choice.to, choice.weight, self.to_server(node.name, choice.to)) for choice in node.servers))
            cookie = next((choice.binding.cookie for choice in node.servers if choice.binding is not None), None)
            return self.passed(node.middlewares), servers, self._cookie(cookie)
        if isinstance(node, Fork):
            ways = tuple((choice.weight, choice.binding is not None, self.node(choice.to)) for choice in node.variants)
            return self.passed(node.middlewares), ways, self._cookie(node.cookie), node.keeps_zero, node.redraws
        return node.name

    def _cookie(self, cookie: Cookie | None) -> str:
        return set_cookie(self.pools[cookie.name][0], "") if cookie is not None else ""


def terms(document: Document, tls: Tls | None) -> tuple[str, ...]:
    """What TLS options say, in words of their own: a client's certificate, and all else that is not as usual."""
    if tls is None or not tls.terminate or tls.passthrough:
        return ()
    name = str(tls.options or "default")
    options = document.tls_options.get(name)
    if options is None:
        return (f"tls_options {name}",) if tls.options is not None and name != "default" else ()
    said = options.model_dump(mode="json", exclude_defaults=True)
    certificate = {key: said.pop(key) for key in ("client_auth_type", "client_auth_ca_files") if key in said}
    asked = certificate.get("client_auth_type") not in (None, "NoClientCert", "RequestClientCert")
    found = [f"client_certificate {json.dumps(certificate, sort_keys=True)}"] if asked else []
    return (*found, *([f"tls_options {json.dumps(said, sort_keys=True)}"] if said else []))


def content(middleware: Middleware) -> str:
    """What a middleware does: its kind, and its settings as JSON. What may be a secret stands there as its digest: a difference is
    printed, also into comments."""
    kind = next((name for name, value in middleware if name != "metadata" and value is not None), "nothing")
    tree = middleware.model_dump(mode="json", exclude={"metadata"}, exclude_none=True, by_alias=True)[kind]
    if kind == "basic_auth":
        tree["users"] = [f"{name}:{_digest(hashed)}" for name, _, hashed in (user.partition(":") for user in tree.get("users", ()))]
    elif kind == "headers":
        for name, value in tree.get("request", {}).items():
            if value and name.lower() in _SECRET:
                tree["request"][name] = _digest(value)
    elif kind == "other":
        tree = {"kind": tree["kind"], "config": _digest(json.dumps(tree.get("config"), sort_keys=True))}
    return f"{kind} {json.dumps(tree, ensure_ascii=False, sort_keys=True)}"


_SECRET = frozenset(("authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token"))


def _digest(text: str) -> str:
    return f"#{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
