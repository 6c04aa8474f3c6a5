"""The decision core once more, linear and slow; and documents and requests of few words, so that they meet."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from fractions import Fraction
from urllib.parse import unquote

import re2
from hypothesis import strategies as st

from pinfeather.model.decide import (
    Binding,
    Effect,
    Request,
    State,
)
from pinfeather.model.document import Document
from pinfeather.model.match import AllOf, AnyOf, Match, Not, PathMatch, ValueMatch
from pinfeather.model.normal import Rung, precedence
from pinfeather.model.request import Status
from pinfeather.model.routes import Route
from pinfeather.model.services import LoadBalancer, Split

UP, DRAINING, DOWN = Status.UP, Status.DRAINING, Status.DOWN

# The oracle: linear, and slow -------------------------------------------------------------------------------------------


def linear(document: Document, request: Request, state: State) -> Rung | None:
    """The first rung whose conditions hold, found by asking one after the other."""
    for rung in precedence(document):
        route = document.routes[rung.route]
        if not _route_holds(route, request):
            continue
        if rung.canary is None:
            return rung
        if route.order == "binding_first" and _bound_variant(document, route, request, state) is not None:
            continue
        if _holds(route.canaries[rung.canary].when, request):
            return rung
    return None


def _route_holds(route: Route, request: Request) -> bool:
    if route.entry_points and request.entry_point not in route.entry_points:
        return False
    if route.tls is not None and route.tls.terminate != request.tls:
        return False
    if route.hosts and not any(_host(name, request.host) for name in route.hosts):
        return False
    if route.path is not None and not _path(route.path, request.path):
        return False
    return route.match is None or _holds(route.match, request)


def _holds(match: Match, request: Request) -> bool:
    if isinstance(match, AllOf):
        return all(_holds(part, request) for part in match.all)
    if isinstance(match, AnyOf):
        return any(_holds(part, request) for part in match.any)
    if isinstance(match, Not):
        return not _holds(match.none, request)
    ((kind, wanted),) = match.__dict__.items()
    if kind == "host":
        return _host(wanted, request.host)
    if kind == "host_regex":
        return bool(re2.search(wanted, request.host.lower().split(":")[0]))
    if kind == "path":
        return _path(wanted, request.path)
    if kind == "method":
        return bool(request.method == wanted)
    if kind == "header":
        return any(name == wanted.name.lower() and _value(wanted, value) for name, value in request.headers)
    if kind == "cookie":
        pieces = [piece.strip(" \t") for name, text in request.headers if name == "cookie" for piece in text.split(";")]
        pairs = [piece.split("=", 1) for piece in pieces if "=" in piece]
        return any(name.strip(" \t") == wanted.name and _value(wanted, value.strip(" \t")) for name, value in pairs)
    if kind == "query":
        pairs = [(piece + "=").split("=", 1) for piece in request.query.split("&") if piece]
        return any(unquote(name) == wanted.name and _value(wanted, unquote(value[:-1])) for name, value in pairs)
    assert kind == "client_ip"
    return ipaddress.ip_address(request.client) in ipaddress.ip_network(wanted)


def _host(wanted: str, host: str) -> bool:
    host = host.lower().split(":")[0]
    if wanted.startswith("*."):
        return host.split(".", 1)[1:] == [wanted[2:]]
    return wanted in ("*", host)


def _path(wanted: PathMatch, path: str) -> bool:
    if wanted.exact is not None:
        return path == wanted.exact
    if wanted.prefix is not None:
        return path[: len(wanted.prefix)] == wanted.prefix
    return bool(re2.search(wanted.regex, path))


def _value(wanted: ValueMatch, value: str) -> bool:
    return value == wanted.value if wanted.regex is None else bool(re2.search(wanted.regex, value))


def _bound_variant(document: Document, split: Route | Split, request: Request, state: State) -> str | None:
    if split.sticky is None or split.sticky.cookie is None:
        return None
    bound = request.bindings.get(split.sticky.cookie.name)
    for entry in split.split:
        usable = entry.weight != 0 or split.weight_zero == "keep"
        if entry.to == bound and usable and (split.when_down == "fail" or _serves(document, bound, request, state)):
            return bound
    return None


def _serves(document: Document, name: str, request: Request, state: State) -> bool:
    """Whether a request that comes to this service can come to a server."""
    if "@" in name:
        return True
    return any(effect.status == 200 or "@" in (effect.service or "") for effect, _ in _service(document, name, request, state, (), ()))


def _service(
    document: Document, name: str, request: Request, state: State, passed: tuple[str, ...], cookies: tuple[Binding, ...]
) -> Iterator[tuple[Effect, Fraction]]:
    if "@" in name:
        yield Effect(503, passed, name, None, ()), Fraction(1)
        return
    service = document.services[name]
    passed += service.middlewares
    if isinstance(service, Split):
        yield from _split(document, service, request, state, passed, cookies)
        return
    yield from _balancer(service, name, request, state, passed, cookies)


def _balancer(
    service: LoadBalancer, name: str, request: Request, state: State, passed: tuple[str, ...], cookies: tuple[Binding, ...]
) -> Iterator[tuple[Effect, Fraction]]:
    statuses = state.servers.get(name, (UP,) * len(service.servers))
    servers = [(s.key, 1 if s.weight is None else int(s.weight), status) for s, status in zip(service.servers, statuses, strict=True)]
    cookie = service.sticky.cookie if service.sticky is not None else None
    bound = request.bindings.get(cookie.name) if cookie is not None else None
    if any(key == bound and weight and status is not DOWN for key, weight, status in servers):
        yield Effect(200, passed, name, bound, cookies), Fraction(1)
        return
    up = [(key, weight) for key, weight, status in servers if weight and status is UP]
    if not up:
        yield Effect(503, passed, name, None, ()), Fraction(1)
    for key, weight in up:
        own = (Binding(cookie, key),) if cookie is not None else ()
        yield Effect(200, passed, name, key, cookies + own), Fraction(weight, sum(w for _, w in up))


def _split(
    document: Document, split: Route | Split, request: Request, state: State, passed: tuple[str, ...], cookies: tuple[Binding, ...]
) -> Iterator[tuple[Effect, Fraction]]:
    if (bound := _bound_variant(document, split, request, state)) is not None:
        yield from _service(document, bound, request, state, passed, cookies)
        return
    entries = [entry for entry in split.split if entry.weight]
    if split.when_down == "redraw":
        entries = [entry for entry in entries if _serves(document, entry.to, request, state)]
    if not entries:
        yield Effect(503, passed, None, None, ()), Fraction(1)
    for entry in entries:
        cookie = split.sticky.cookie if split.sticky is not None else None
        own = (Binding(cookie, entry.to),) if cookie is not None and entry.binds else ()
        for effect, share in _service(document, entry.to, request, state, passed, cookies + own):
            yield effect, share * Fraction(int(entry.weight), sum(int(e.weight) for e in entries))


def linear_shares(document: Document, request: Request, state: State) -> dict[Effect, Fraction]:
    rung = linear(document, request, state)
    if rung is None:
        return {Effect(404, (), None, None, ()): Fraction(1)}
    route = document.routes[rung.route]
    if rung.canary is not None:
        canary = route.canaries[rung.canary]
        cookie = route.sticky.cookie if canary.binds and route.sticky is not None else None
        own = (Binding(cookie, canary.to),) if cookie is not None and request.bindings.get(cookie.name) != canary.to else ()
        found = _service(document, canary.to, request, state, route.middlewares, own)
    elif route.to is not None:
        found = _service(document, route.to, request, state, route.middlewares, ())
    else:
        found = _split(document, route, request, state, route.middlewares, ())
    shares: dict[Effect, Fraction] = {}
    for effect, share in found:
        shares[effect] = shares.get(effect, Fraction(0)) + share
    return shares


# Documents and requests of few words, so that they meet ------------------------------------------------------------------

HOSTS = ("a.x", "b.x", "x", "a.b.x")
PATHS = ("/", "/a", "/ab", "/a/b", "/b")
LEAVES: tuple[dict[str, object], ...] = (
    {"host": "a.x"},
    {"host": "*.x"},
    {"host": "*"},
    {"host_regex": "^[ab]\\.x$"},
    {"path": {"exact": "/a"}},
    {"path": {"prefix": "/a"}},
    {"path": {"regex": "/b$"}},
    {"method": "post"},
    {"header": {"name": "X-V", "value": "1"}},
    {"header": {"name": "X-V", "regex": "^[12]$"}},
    {"header": {"name": "Cookie", "regex": "c=2"}},
    {"cookie": {"name": "c", "value": "1"}},
    {"cookie": {"name": "c", "regex": "."}},
    {"query": {"name": "q", "value": "1 2"}},
    {"query": {"name": "q", "regex": "^$"}},
    {"client_ip": "10.0.0.0/8"},
)
matches = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: (
        st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda part: {"not": part}, inner)
    ),
    max_leaves=4,
)
POOLS = ("p0", "p1", "p2")
FORKS = ("f0", "f1")
weights = st.sampled_from((0, 1, 1, 2, 3, 90, 2**31 - 1))


def _without(mapping: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in mapping.items() if value is not None}


@st.composite
def splits(draw: st.DrawFn, targets: tuple[str, ...]) -> dict[str, object]:
    names = draw(st.lists(st.sampled_from((*targets, "e@docker")), min_size=1, max_size=3, unique=True))
    entries = [{"to": name, "weight": draw(weights), "binds": draw(st.booleans())} for name in names]
    if not any(entry["weight"] for entry in entries):
        entries[0]["weight"] = 1
    return {
        "split": entries,
        "when_down": draw(st.sampled_from(("fail", "redraw"))),
        "weight_zero": draw(st.sampled_from(("keep", "drop"))),
    }


@st.composite
def documents(draw: st.DrawFn, max_routes: int = 4) -> Document:
    services: dict[str, object] = {}
    for name in POOLS:
        servers = [_without({"url": f"http://{name}-{i}:80", "weight": draw(st.none() | weights)}) for i in range(draw(st.integers(0, 3)))]
        if servers and all(server.get("weight") == 0 for server in servers):
            del servers[0]["weight"]
        services[name] = _without(
            {
                "servers": servers,
                "middlewares": draw(st.sampled_from(([], [f"m-{name}"]))),
                "sticky": draw(st.sampled_from((None, {"cookie": {"name": "server"}}))),
            }
        )
    for name, targets, cookie in (("f0", POOLS, "inner"), ("f1", (*POOLS, "f0"), "outer")):
        sticky = draw(st.sampled_from((None, {"cookie": {"name": cookie}})))
        services[name] = _without({**draw(splits(targets)), "sticky": sticky, "middlewares": draw(st.sampled_from(([], [f"m-{name}"])))})
    routes = [_route(draw, f"r{index}") for index in range(draw(st.integers(1, max_routes)))]
    names = [*(f"m-{name}" for name in (*POOLS, *FORKS)), "m"]
    middlewares: object = {name: {"compress": {}} for name in names}
    return Document.model_validate({"pinfeather": "v1", "routes": routes, "services": services, "middlewares": middlewares})


def _route(draw: st.DrawFn, name: str) -> object:
    targets = (*POOLS, *FORKS, "e@docker")
    canaries = [
        _without(
            {
                "when": draw(matches),
                "to": draw(st.sampled_from(targets)),
                "priority": draw(st.sampled_from((None, None, 0, 1, 2))),
                "binds": draw(st.booleans()),
            }
        )
        for _ in range(draw(st.integers(0, 2)))
    ]
    goes = (
        {"to": draw(st.sampled_from(targets))}
        if draw(st.booleans())
        else {**draw(splits(targets[:-1])), "sticky": draw(st.sampled_from((None, {"cookie": {"name": "variant"}})))}
    )
    paths = (None, {"prefix": "/"}, {"prefix": "/a"}, {"prefix": "/ab"}, {"exact": "/a"}, {"regex": "^/a"})
    return _without(
        {
            "name": name,
            "hosts": draw(st.lists(st.sampled_from(("a.x", "b.x", "*.x", "*")), max_size=2, unique=True)),
            "path": draw(st.sampled_from(paths)),
            "match": draw(st.none() | matches),
            "priority": draw(st.sampled_from((None, 1, 2))),
            "entry_points": draw(st.sampled_from(([], [], ["web"], ["tls"]))),
            "tls": draw(st.sampled_from((None, None, {"terminate": True}, {"terminate": False}))),
            "middlewares": draw(st.sampled_from(([], ["m"]))),
            "canaries": canaries,
            "order": draw(st.sampled_from(("rules_first", "binding_first"))),
            **goes,
        }
    )


HEADERS = (("x-v", "1"), ("x-v", "3"), ("cookie", "c=1"), ("cookie", "a=b;c=2 ; c"), ("cookie", "c"))
SERVERS = tuple(f"http://{name}-{i}:80" for name in POOLS for i in range(3))
requests = st.builds(
    Request,
    host=st.sampled_from((*HOSTS, "A.X:8080")),
    path=st.sampled_from(PATHS),
    method=st.sampled_from(("GET", "POST")),
    headers=st.lists(st.sampled_from(HEADERS), max_size=3).map(tuple),
    query=st.sampled_from(("", "q=1%202", "q", "p=1&q=1")),
    entry_point=st.sampled_from(("web", "tls")),
    tls=st.booleans(),
    client=st.sampled_from(("10.1.2.3", "127.0.0.1", "::1")),
    bindings=st.fixed_dictionaries(
        {},
        optional={
            "variant": st.sampled_from((*POOLS, *FORKS, "gone")),
            "outer": st.sampled_from((*POOLS, "f0", "e@docker")),
            "inner": st.sampled_from((*POOLS, "gone")),
            "server": st.sampled_from((*SERVERS, "gone")),
        },
    ),
)


@st.composite
def states(draw: st.DrawFn, document: Document) -> State:
    servers = {}
    for name, service in document.services.items():
        if isinstance(service, LoadBalancer) and draw(st.booleans()):
            count = len(service.servers)
            servers[name] = tuple(draw(st.lists(st.sampled_from((UP, UP, DRAINING, DOWN)), min_size=count, max_size=count)))
    return State(servers)
