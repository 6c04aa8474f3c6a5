"""What routers do, in one form: as a document says it, and as `/api/rawdata` of a real Traefik shows it.

Names differ from one provider to the next, so a router is what it holds: its rule's meaning, its priority, entry points and TLS,
and the contents of its middlewares and services, down to the servers. What Traefik fills in by itself is left out on both sides.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha1
from typing import NamedTuple

from pinfeather.model.document import Document
from pinfeather.model.match import AllOf, AnyOf, Match, Not, PathIs, PathMatch, ServerNameIs, both, conjuncts, either
from pinfeather.model.normal import conditions, flat
from pinfeather.model.routes import Route, TcpRoute, Tls
from pinfeather.model.services import HealthCheck, LoadBalancer, Server, Split, TcpLoadBalancer, TcpServer, TcpSplit
from pinfeather.model.sticky import Sticky
from pinfeather.testing.traefik import Json
from pinfeather.translators._syntax.rule import parse_http, parse_tcp
from pinfeather.translators._syntax.rule_v2 import parse_http_v2, parse_tcp_v2
from pinfeather.translators._traefik.middlewares import put_middleware
from pinfeather.translators.contract import NOTHING

Addresses = Callable[[Server | TcpServer], Iterable[str]]
"""The URLs (TCP: addresses) behind a server."""
Plain = Mapping[str, object]

DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "ratelimit": {"period": "1s", "burst": "1"},
    "forwardauth": {"maxbodysize": "-1", "maxresponsebodysize": "-1"},
    "compress": {"encodings": "gzip,br,zstd", "minresponsebodybytes": "1024"},
    "circuitbreaker": {"checkperiod": "100ms", "fallbackduration": "10s", "recoveryduration": "10s", "responsecode": "503"},
    "retry": {"maxrequestbodybytes": "2097152"},
}
"""What Traefik 3.7 shows of a middleware in which nobody wrote it."""


ELSEWHERE = re.compile(
    r'"(?P<name>[^"@]+)@(?P<where>[a-z]+)" does not exist|unknown plugin|no plugin definitions|plugin: |no such file or directory'
)
"""Why this instance disables a router that another, with that provider, plugin or file of passwords, would not."""

FOREIGN = frozenset({"docker", "file", "internal"})
"""Providers whose things a document of another names, and does not hold."""
LENGTH = re.compile(r"(?P<minutes>\d+)m(?:(?P<seconds>\d+)s)?")
CONFLICT = re.compile(r"^[\w-]+-conflicted-")
"""How Traefik renames routers of one host with different TLS options."""


class Side(NamedTuple):
    """HTTP or TCP: where each kind of thing is in the raw data, and how a rule is read."""

    routers: str
    services: str
    middlewares: str
    rule: Callable[[str], Match]
    rule_v2: Callable[[str], tuple[Match, tuple[str, ...]]]


HTTP = Side("routers", "services", "middlewares", parse_http, parse_http_v2)
TCP = Side("tcpRouters", "tcpServices", "tcpMiddlewares", parse_tcp, parse_tcp_v2)


def meant(match: Match | None) -> object:
    """A condition without what its way of writing decides: order, nesting, a path that every request has."""
    if match is None:
        return ["all"]
    if isinstance(match, AllOf):
        return ["all", *sorted((meant(part) for part in match.all if not _nothing(part)), key=json.dumps)]
    if isinstance(match, AnyOf):
        return ["any", *sorted((meant(part) for part in match.any), key=json.dumps)]
    if isinstance(match, Not):
        return ["not", meant(match.none)]
    return match.model_dump(mode="json", exclude_defaults=True)


def _nothing(part: Match) -> bool:
    return part in (PathIs(path=PathMatch(prefix="/")), ServerNameIs(sni="*"))


def _rule(match: Match | None) -> object:
    return meant(AllOf.model_construct(all=conjuncts(flat(match)))) if match is not None else meant(None)


def _line(**parts: object) -> str:
    return json.dumps(parts, sort_keys=True)


# What a document says --------------------------------------------------------------------------------------------------


class OfDocument:
    """The routers of a document. `points`: the entry points that a router without any is on."""

    def __init__(self, document: Document, points: Iterable[str], addresses: Addresses, *, numbers: bool = True) -> None:
        """`numbers`: whether priorities are compared as numbers."""
        self._document = document
        self._numbers = numbers
        self._points = sorted(points)
        self._addresses = addresses

    def http(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for route in self._document.routes:
            own = self._split(route.split, route.sticky) if route.to is None else self._service(route.to)
            found[self._router(route, conditions(route), route.priority, own)] += 1
            for canary in route.canaries:
                parts = (*conditions(route), *conjuncts(canary.when))
                found[self._router(route, parts, canary.priority, self._service(canary.to))] += 1
        return found

    def tcp(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for route in self._document.tcp_routes:
            names = (either(tuple(ServerNameIs(sni=name) for name in route.sni)),) if route.sni else ()
            split = [[self._tcp_service(entry.to), entry.weight] for entry in route.split]
            own = self._tcp_service(route.to) if route.to is not None else {"split": split}
            found[self._router(route, (*names, *conjuncts(route.match)), route.priority, own)] += 1
        return found

    def _router(self, route: Route | TcpRoute, parts: tuple[Match, ...], priority: object, service: object) -> str:
        return _line(
            rule=_rule(both(parts)),
            priority=priority if self._numbers else None,
            points=sorted(route.entry_points) or self._points,
            tls=_tls(route.tls),
            middlewares=[each for name in route.middlewares for each in self._middleware(name, tcp=isinstance(route, TcpRoute))],
            service=service,
        )

    def _middleware(self, name: str, *, tcp: bool) -> Iterator[object]:
        known = self._document.tcp_middlewares if tcp else self._document.middlewares
        if name not in known:
            yield {"elsewhere": name}
        elif (chain := known[name].chain) is not None:
            for inner in chain.middlewares:
                yield from self._middleware(inner, tcp=tcp)
        else:
            tree = put_middleware(known[name], tcp=tcp)
            assert isinstance(tree, dict)
            yield _middleware(tree)

    def _service(self, name: str) -> object:
        service = self._document.services.get(name)
        if service is None:
            return {"elsewhere": name}
        if isinstance(service, Split):
            return self._split(service.split, service.sticky)
        return self._balancer(service)

    def _balancer(self, service: LoadBalancer) -> object:
        servers = sorted(
            [url, 1 if server.weight is None else server.weight] for server in service.servers for url in self._addresses(server)
        )
        return {
            "servers": servers,
            "sticky": _cookie(service.sticky),
            "health": _health(service.health_check),
            "host": service.pass_host_header is not False,
            "strategy": service.strategy or "wrr",
            "flush": service.flush_interval or "100ms",
            "transport": service.servers_transport is not None,
        }

    def _split(self, entries: Iterable[object], sticky: Sticky | None) -> object:
        children = [[self._service(entry.to), entry.weight] for entry in entries]  # type: ignore[attr-defined]
        return {"split": children, "sticky": _cookie(sticky)}

    def _tcp_service(self, name: str) -> object:
        service = self._document.tcp_services.get(name)
        if isinstance(service, TcpSplit):
            return {"split": [[self._tcp_service(entry.to), entry.weight] for entry in service.split]}
        if isinstance(service, TcpLoadBalancer):
            return {"servers": sorted(address for server in service.servers for address in self._addresses(server))}
        return {"elsewhere": name}


def _tls(tls: Tls | None) -> object:
    if tls is None or (not tls.terminate and not tls.passthrough):
        return None
    domains = [[domain.main, *domain.sans] for domain in tls.domains]
    return {"passthrough": bool(tls.passthrough), "resolver": tls.resolver, "options": tls.options is not None, "domains": domains}


def _cookie(sticky: Sticky | None) -> object:
    if sticky is None or (cookie := sticky.cookie) is None:
        return None
    said = cookie.model_dump(mode="json", exclude_none=True)
    return {key.replace("_", ""): value for key, value in said.items() if value is not False and (key, value) != ("path", "/")}


def _health(check: HealthCheck | None) -> object:
    if check is None:
        return None
    said = {key.replace("_", ""): value for key, value in check.model_dump(mode="json", exclude_none=True).items()}
    return _without(said, HEALTH)


HEALTH: Plain = {"interval": "30s", "timeout": "5s", "mode": "http", "followredirects": True, "headers": {}, "unhealthyinterval": "30s"}


def _without(said: Plain, defaults: Plain) -> Plain:
    return {key: value for key, value in said.items() if defaults.get(key, ...) != value}


def _middleware(tree: Plain) -> object:
    """A middleware with every value as labels would say it, and keys in small letters."""
    ((kind, config),) = tree.items()
    kind = {"ipwhitelist": "ipallowlist"}.get(kind.lower(), kind.lower())
    said = _small(config) if isinstance(config, dict) else {}
    assert isinstance(said, dict)
    if kind == "errors":  # an object in a cluster, of which Traefik makes a service with a name of its own
        said = {**said, "service": "service" in said}
    return {kind: _without(said, DEFAULTS.get(kind, {}))}


def _small(value: object) -> object:
    """Texts as labels have them; a length of time in Traefik's way of writing."""
    if isinstance(value, dict):
        inner = {key.lower(): _small(each) for key, each in value.items()}
        return {key: each for key, each in inner.items() if each not in ("false", "", {}, "0")}
    if isinstance(value, list):
        return ",".join(str(_small(each)) for each in value)
    text = ",".join(part.strip() for part in str(value).split(","))
    if (time := LENGTH.fullmatch(text)) is not None:
        return f"{60 * int(time['minutes']) + int(time['seconds'] or 0)}s"
    return text.lower() if text in ("True", "False") else text


# What a real Traefik shows ---------------------------------------------------------------------------------------------


class OfTraefik:
    """The routers of one provider, or of several that belong together, in `/api/rawdata`."""

    def __init__(
        self,
        raw: Mapping[str, Json],
        provider: str,
        *,
        v2: bool = False,
        within: str = "",
        numbers: bool = True,
        elsewhere: Mapping[str, str] = NOTHING,
    ) -> None:
        """`provider`: `docker+file` for two. `v2`: the data are of Traefik 2, whose rules have another syntax, and which shows no priority that is not written.

        `within`: what the names of the routers begin with. `elsewhere`: names of what was not written, with their providers.
        """
        self._elsewhere = elsewhere
        self._raw = raw
        self._within = within
        self._numbers = numbers
        self._providers = provider.split("+")
        self._v2 = v2

    def enabled(self, side: Side) -> Counter[str]:
        """Those that this instance disables only because another provider or a plugin is not here count as enabled."""
        return Counter(self._router(name, router, side) for name, router in self._routers(side) if not self._faults(router))

    def disabled(self, side: Side) -> dict[str, list[str]]:
        """The routers that Traefik will not ask, and why."""
        return {name: faults for name, router in self._routers(side) if (faults := self._faults(router))}

    def _faults(self, router: dict[str, Json]) -> list[str]:
        said = router.get("error", [])
        assert isinstance(said, list)
        other = [
            each
            for each in map(str, said)
            if (found := ELSEWHERE.search(each)) and (found["where"] not in self._providers or found["name"] in self._elsewhere)
        ]
        return [each for each in map(str, said) if each not in other] if router.get("status") == "disabled" else []

    def _section(self, key: str) -> Mapping[str, dict[str, Json]]:
        found = self._raw.get(key)
        return {name: each for name, each in found.items() if isinstance(each, dict)} if isinstance(found, dict) else {}

    def _routers(self, side: Side) -> Iterator[tuple[str, dict[str, Json]]]:
        for name, router in self._section(side.routers).items():
            if CONFLICT.sub("", name).startswith(self._within) and name.rpartition("@")[2] in self._providers and "pinfeather-" not in name:
                yield name, router

    def _router(self, name: str, router: dict[str, Json], side: Side) -> str:
        own = name.rpartition("@")[2]
        rule = str(router["rule"])
        match = side.rule_v2(rule)[0] if self._v2 or router.get("ruleSyntax") == "v2" else side.rule(rule)
        middlewares, points = router.get("middlewares", []), router["entryPoints"]
        assert isinstance(middlewares, list)
        assert isinstance(points, list)
        return _line(
            rule=_rule(match),
            priority=None if not self._numbers else router.get("priority", len(rule)) if self._v2 else router["priority"],
            points=sorted(map(str, points)),
            tls=self._tls(router),
            middlewares=[each for reference in middlewares for each in self._middleware(str(reference), own, side)],
            service=self._service(str(router["service"]), own, side),
        )

    def _tls(self, router: dict[str, Json]) -> object:
        if not isinstance(tls := router.get("tls"), dict):
            return None
        domains = [[each["main"], *each.get("sans", [])] for each in tls.get("domains", [])]  # type: ignore[union-attr, index, call-overload, misc]
        said = {"passthrough": tls.get("passthrough", False), "resolver": tls.get("certResolver"), "options": "options" in tls}
        return {**said, "domains": domains}

    def _found(self, reference: str, own: str, key: str) -> dict[str, Json] | None:
        whole = reference if "@" in reference else f"{reference}@{own}"
        name, _, provider = whole.partition("@")
        foreign = provider in FOREIGN and (provider not in self._providers or name in self._elsewhere)
        return None if foreign else self._section(key).get(whole)

    def _named(self, reference: str) -> object:
        """What stands where a reference leads out of what was read."""
        name, _, provider = reference.partition("@")
        return {"elsewhere": self._elsewhere.get(name, name if provider in self._providers else reference)}

    def _middleware(self, reference: str, own: str, side: Side) -> Iterator[object]:
        found = self._found(reference, own, side.middlewares)
        if found is None:
            yield self._named(reference)
            return
        tree = {key: value for key, value in found.items() if key not in ("status", "error", "usedBy")}
        chain = tree.get("chain")
        if isinstance(chain, dict):
            inner = chain["middlewares"]
            assert isinstance(inner, list)
            for each in inner:
                yield from self._middleware(str(each), own, side)
        else:
            yield _middleware(tree)

    def _service(self, reference: str, own: str, side: Side) -> object:
        found = self._found(reference, own, side.services)
        if found is None:
            return self._named(reference)
        weighted, balancer = found.get("weighted"), found.get("loadBalancer")
        if isinstance(weighted, dict):
            children = [[self._service(str(each["name"]), own, side), each.get("weight", 0)] for each in weighted["services"]]  # type: ignore[union-attr, index, call-overload]
            return {"split": children, **({"sticky": self._cookie(weighted, reference, own)} if side is HTTP else {})}
        if not isinstance(balancer, dict):
            return {"kind": next(key for key in found if key not in ("status", "error", "usedBy"))}
        servers = balancer.get("servers", [])
        assert isinstance(servers, list)
        if side is TCP:
            return {"servers": sorted(str(each["address"]) for each in servers)}  # type: ignore[index, call-overload]
        return {
            "servers": sorted([each["url"], each.get("weight", 1)] for each in servers),  # type: ignore[index, call-overload, union-attr]
            "sticky": self._cookie(balancer, reference, own),
            "health": self._health(balancer.get("healthCheck")),
            "host": balancer.get("passHostHeader", False),
            "strategy": balancer.get("strategy", "wrr"),
            "flush": self._flush(balancer),
            "transport": "serversTransport" in balancer,
        }

    def _cookie(self, held: dict[str, Json], reference: str, own: str) -> object:
        sticky = held.get("sticky")
        if not isinstance(sticky, dict) or not isinstance(cookie := sticky.get("cookie"), dict):
            return None
        whole = reference if "@" in reference else f"{reference}@{own}"
        default = f"_{sha1(f'_TRAEFIK_BACKEND_{whole}'.encode()).hexdigest()}"[:6]
        said = {"name": default, **{key.lower(): value for key, value in cookie.items()}}
        return {key: value for key, value in said.items() if value is not False and (key, value) != ("path", "/")}

    def _flush(self, balancer: dict[str, Json]) -> object:
        forwarding = balancer.get("responseForwarding")
        return forwarding["flushInterval"] if isinstance(forwarding, dict) else "100ms"

    def _health(self, check: Json) -> object:
        if not isinstance(check, dict):
            return None
        return _without({key.lower(): value for key, value in check.items()}, HEALTH)
