"""The decision core against the plain reading of a document: every rung in order, every condition one by one."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from fractions import Fraction
from urllib.parse import unquote

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfeather.model.decide import (
    DRAWS,
    Binding,
    Decision,
    Effect,
    Kind,
    Request,
    State,
    Status,
    Table,
    UndecidedError,
    decide,
    normal_path,
    normal_query,
    outcomes,
    trace,
)
from pinfeather.model.document import Document
from pinfeather.model.match import AllOf, AnyOf, Match, Not, PathMatch, ValueMatch
from pinfeather.model.normal import Rung, normal, precedence
from pinfeather.model.noun import Template
from pinfeather.model.request import query_pairs
from pinfeather.model.routes import Route
from pinfeather.model.services import LoadBalancer, Split
from pinfeather.model.sticky import Cookie

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


@settings(max_examples=150, deadline=None)
@given(data=st.data(), document=documents())
def test_the_same_as_the_linear_reading(data: st.DataObject, document: Document) -> None:
    table, state = Table.of(document), data.draw(states(document))
    for request in data.draw(st.lists(requests, min_size=1, max_size=8)):
        found = outcomes(table, request, state)
        rung = linear(document, request, state)
        for part in found.parts:
            assert (part.decision.route, part.decision.canary) == (
                (document.routes[rung.route].name, rung.canary) if rung else (None, None)
            )
        assert found.shares == linear_shares(document, request, state)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), document=documents(max_routes=30))
def test_the_index_finds_what_the_linear_reading_finds_among_many(data: st.DataObject, document: Document) -> None:
    table = Table.of(document)
    for request in data.draw(st.lists(requests, min_size=4, max_size=12)):
        rung = linear(document, request, State())
        decision = decide(table, request, State(), 0)
        assert decision.route == (document.routes[rung.route].name if rung else None)
        assert decision.canary == (rung.canary if rung else None)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), document=documents(), request=requests)
def test_decide_is_the_outcome_that_holds_the_draw(data: st.DataObject, document: Document, request: Request) -> None:
    table, state = Table.of(document), data.draw(states(document))
    found = outcomes(table, request, state)
    assert found.parts[0].low == 0
    assert found.parts[-1].high == 1
    assert all(left.high == right.low for left, right in zip(found.parts, found.parts[1:], strict=False))
    assert all(part.low < part.high for part in found.parts)
    assert sum(found.shares.values()) == 1
    draws = {data.draw(st.integers(0, DRAWS - 1))}
    for part in found.parts:
        first = -(-part.low * DRAWS // 1)  # the first whole draw that is not below
        draws |= {int(first) + step for step in (-1, 0, 1)}
    for draw in draws:
        if 0 <= draw < DRAWS:
            place = Fraction(draw, DRAWS)
            expected = [part.decision for part in found.parts if part.low <= place < part.high]
            assert [decide(table, request, state, draw)] == expected
            assert found.at(draw) == expected[0]


@settings(max_examples=80, deadline=None)
@given(data=st.data(), document=documents())
def test_the_normal_form_means_the_same(data: st.DataObject, document: Document) -> None:
    one, other = normal(document), Table.of(document)
    table, state = Table.of(one), data.draw(states(document))
    for request in data.draw(st.lists(requests, min_size=1, max_size=6)):
        assert outcomes(table, request, state).shares == outcomes(other, request, state).shares


@settings(max_examples=80, deadline=None)
@given(data=st.data(), document=documents(), request=requests)
def test_the_trace_ends_where_the_draw_does(data: st.DataObject, document: Document, request: Request) -> None:
    table, state = Table.of(document), data.draw(states(document))
    steps, found = trace(table, request, state), outcomes(table, request, state)
    for step in steps:
        _resolve(document, step.path)
    rungs = [step for step in steps if step.kind in (Kind.ROUTE, Kind.CANARY)]
    assert [step.holds for step in rungs[:-1]] == [False] * (len(rungs) - 1)
    decision = found.parts[0].decision
    assert rungs[-1].holds is (decision.route is not None)
    if decision.route is not None:
        assert document.routes[int(rungs[-1].path[1])].name == decision.route
        forwarded = sum((part.high - part.low for part in found.parts if part.decision.status == 200), Fraction(0))
        assert sum((step.share or 0 for step in steps if step.kind is Kind.SERVER and step.holds), Fraction(0)) == forwarded


def _resolve(document: Document, path: tuple[str | int, ...]) -> None:
    node: object = document.model_dump(by_alias=True)
    for part in path:
        node = node[part]  # type: ignore[index]


# The ladder, rung by rung -------------------------------------------------------------------------------------------------

SHOP: dict[str, object] = {
    "pinfeather": "v1",
    "routes": [
        {
            "name": "shop",
            "hosts": ["shop.example.com"],
            "middlewares": ["first"],
            "canaries": [{"when": {"cookie": {"name": "canary", "value": "v2"}}, "to": "v2"}],
            "split": [{"to": "v1", "weight": 90}, {"to": "v2", "weight": 10}],
            "sticky": {"cookie": {"name": "variant"}},
        }
    ],
    "services": {
        "v1": {
            "servers": [{"url": "http://a:80"}, {"url": "http://b:80"}],
            "sticky": {"cookie": {"name": "srv1"}},
            "middlewares": ["second"],
        },
        "v2": {"servers": [{"url": "http://c:80"}, {"url": "http://d:80", "weight": 3}], "sticky": {"cookie": {"name": "srv2"}}},
    },
    "middlewares": {"first": {"compress": {}}, "second": {"compress": {}}},
}


def shop(**route: object) -> Table:
    routes = SHOP["routes"]
    assert isinstance(routes, list)
    assert isinstance(routes[0], dict)
    return Table.of(Document.model_validate({**SHOP, "routes": [{**routes[0], **route}]}))


def ask(table: Table, draw: float = 0.0, *, cookie: str = "", state: State | None = None, **bindings: str) -> Decision:
    headers = (("cookie", cookie),) if cookie else ()
    request = Request("shop.example.com", "/", headers=headers, bindings=bindings)
    return decide(table, request, state or State(), int(draw * DRAWS))


def cookies(decision: Decision) -> list[tuple[str, str]]:
    return [(binding.cookie.name, binding.value) for binding in decision.set_cookies]


def test_a_fresh_client_is_drawn_and_bound_on_both_levels() -> None:
    decision = ask(shop(), 0.1)
    assert decision == Decision(
        200,
        "shop",
        None,
        ("first", "second"),
        "v1",
        0,
        "http://a:80",
        (Binding(Cookie(name="variant"), "v1"), Binding(Cookie(name="srv1"), "http://a:80")),
    )
    assert cookies(ask(shop(), 0.95)) == [("variant", "v2"), ("srv2", "http://d:80")]
    found = outcomes(shop(), Request("shop.example.com", "/"), State())
    assert [(str(part.low), str(part.high)) for part in found.parts] == [("0", "9/20"), ("9/20", "9/10"), ("9/10", "37/40"), ("37/40", "1")]


def test_a_bound_client_stays_and_gets_no_cookie() -> None:
    decision = ask(shop(), 0.99, variant="v1", srv1="http://b:80")
    assert (decision.service, decision.server, decision.set_cookies) == ("v1", 1, ())


def test_a_cookie_of_the_inner_level_alone_does_not_choose_the_variant() -> None:
    assert ask(shop(), 0.0, srv2="http://d:80").service == "v1"
    decision = ask(shop(), 0.91, srv2="http://d:80")
    assert (decision.server_key, cookies(decision)) == ("http://d:80", [("variant", "v2")])


def test_a_canary_comes_before_the_binding_and_binds_to_its_server_only() -> None:
    decision = ask(shop(), 0.0, cookie="a=b; canary=v2", variant="v1")
    assert (decision.canary, decision.service, cookies(decision)) == (0, "v2", [("srv2", "http://c:80")])
    assert ask(shop(), 0.0, cookie="notcanary=v22").canary is None
    assert ask(shop(), 0.0, cookie='canary="v2"').canary is None


def test_a_canary_that_binds_sets_the_variant_once() -> None:
    canary: object = [{"when": {"cookie": {"name": "canary", "value": "v2"}}, "to": "v2", "binds": True}]
    table = shop(canaries=canary)
    assert cookies(ask(table, 0.0, cookie="canary=v2", variant="v1")) == [("variant", "v2"), ("srv2", "http://c:80")]
    assert cookies(ask(table, 0.0, cookie="canary=v2", variant="v2")) == [("srv2", "http://c:80")]


def test_binding_first_asks_no_canary_of_a_bound_client() -> None:
    table = shop(order="binding_first")
    assert ask(table, 0.0, cookie="canary=v2", variant="v1").service == "v1"
    assert ask(table, 0.0, cookie="canary=v2").canary == 0
    assert ask(table, 0.0, cookie="canary=v2", variant="gone").canary == 0


@pytest.mark.parametrize(("weight_zero", "service"), [("keep", "v2"), ("drop", "v1")])
def test_weight_zero(weight_zero: str, service: str) -> None:
    table = shop(split=[{"to": "v1"}, {"to": "v2", "weight": 0}], weight_zero=weight_zero)
    assert ask(table, 0.999, variant="v2").service == service
    assert {part.decision.service for part in outcomes(table, Request("shop.example.com", "/"), State()).parts} == {"v1"}


def test_a_split_entry_that_does_not_bind() -> None:
    table = shop(split=[{"to": "v1"}, {"to": "v2", "binds": False}])
    assert cookies(ask(table, 0.9)) == [("srv2", "http://d:80")]


def test_a_variant_without_a_server() -> None:
    down = State({"v1": (DOWN, DOWN)})
    for bindings in ({}, {"variant": "v1"}):
        failed = ask(shop(), 0.0, state=down, **bindings)
        assert (failed.status, failed.service, failed.set_cookies, failed.reason) == (503, "v1", (), "no server")
        again = ask(shop(when_down="redraw"), 0.0, state=down, **bindings)
        assert cookies(again) == [("variant", "v2"), ("srv2", "http://c:80")]
    everyone = State({"v1": (DOWN, DOWN), "v2": (DRAINING, DOWN)})
    assert ask(shop(when_down="redraw"), 0.5, state=everyone).status == 503
    kept = ask(shop(when_down="redraw"), 0.5, state=everyone, variant="v2", srv2="http://c:80")
    assert (kept.status, kept.server, kept.set_cookies) == (200, 0, ())


def test_draining_keeps_its_clients_and_gets_no_new_ones() -> None:
    state = State({"v1": (DRAINING, UP)})
    assert ask(shop(), 0.0, state=state, variant="v1", srv1="http://a:80").server == 0
    assert ask(shop(), 0.0, state=state, variant="v1").server == 1
    moved = ask(shop(), 0.0, state=State({"v1": (DOWN, UP)}), variant="v1", srv1="http://a:80")
    assert (moved.server, cookies(moved)) == (1, [("srv1", "http://b:80")])


def test_another_providers_service_is_no_server_of_ours() -> None:
    decision = ask(shop(split=[], sticky=None, canaries=[], to="v9@docker"))
    assert (decision.status, decision.service, decision.reason) == (503, "v9@docker", "external")


def test_nested_splits_bind_on_every_level_the_outer_first() -> None:
    services: dict[str, object] = {
        "inner": {"split": [{"to": "a"}, {"to": "b"}], "sticky": {"cookie": {"name": "in"}}},
        "a": {"servers": [{"url": "http://a:80"}], "sticky": {"cookie": {"name": "srv"}}},
        "b": {"servers": [{"url": "http://b:80"}], "sticky": {"cookie": {"name": "srv"}}},
    }
    route = {"name": "r", "split": [{"to": "a"}, {"to": "inner", "weight": 3}], "sticky": {"cookie": {"name": "out"}}}
    table = Table.of(Document.model_validate({"pinfeather": "v1", "routes": [route], "services": services}))
    assert cookies(ask(table, 0.25)) == [("out", "inner"), ("in", "a"), ("srv", "http://a:80")]
    assert cookies(ask(table, 0.625)) == [("out", "inner"), ("in", "b"), ("srv", "http://b:80")]
    assert cookies(ask(table, 0.2)) == [("out", "a"), ("srv", "http://a:80")]
    assert cookies(decide(table, Request("h", "/", bindings={"out": "inner", "in": "b"}), State(), 0)) == [("srv", "http://b:80")]


def test_many_paths_of_one_host_and_of_none() -> None:
    letters = "abcabcab"
    paths: list[object] = [{"prefix": "/" + letters[:length]} for length in range(8)]
    paths += [{"exact": "/" + letters[:length]} for length in range(8)]
    paths += [{"regex": "c$"}, None]
    routes = [
        {
            "name": f"{host}{index}",
            "hosts": [host],
            "path": path,
            "priority": (index * 7 + len(host)) % 5,
            "to": "e@x",
            "entry_points": ["web"],
        }
        for host in ("h", "*", "*.h")
        for index, path in enumerate(paths)
    ]
    document = Document.model_validate({"pinfeather": "v1", "routes": routes})
    table = Table.of(document)
    found = set()
    for host in ("h", "a.h", "other"):
        for path in ("/", *("/" + letters[:length] for length in range(1, 9)), "/abx", "/x"):
            request = Request(host, path, entry_point="web")
            rung = linear(document, request, State())
            assert rung is not None
            assert decide(table, request, State(), 0).route == document.routes[rung.route].name
            found.add(rung)
    assert len(found) > 12


def test_no_route() -> None:
    decision = decide(shop(), Request("other.example.com", "/"), State(), 0)
    assert (decision.status, decision.route, decision.reason) == (404, None, "no route")


@pytest.mark.parametrize("draw", [-1, DRAWS])
def test_a_draw_outside_is_refused(draw: int) -> None:
    with pytest.raises(ValueError, match="draw"):
        decide(shop(), Request("shop.example.com", "/"), State(), draw)


def test_a_state_of_other_servers_is_refused() -> None:
    with pytest.raises(ValueError, match="v1"):
        ask(shop(), state=State({"v1": (UP,)}))


def test_a_template_is_refused_with_its_place() -> None:
    match: object = {"not": {"header": {"name": "x", "value": {"template": "{{ .v }}"}}}}
    with pytest.raises(UndecidedError, match="in its place") as caught:
        shop(match=match)
    assert caught.value.path == ("routes", 0, "match", "not", "header", "value")
    assert caught.value.template == str(Template("{{ .v }}"))


def test_kubernetes_servers_are_bound_by_key() -> None:
    servers: object = [{"kubernetes": {"service": "s", "port": 80}}]
    document = {**SHOP, "services": {"v1": {"servers": servers, "sticky": {"cookie": {"name": "srv1"}}}, "v2": {"servers": servers}}}
    routes: object = [{"name": "shop", "to": "v1"}]
    table = Table.of(Document.model_validate({**document, "routes": routes, "middlewares": {}}))
    assert cookies(ask(table)) == [("srv1", "kubernetes:/s:80")]
    assert cookies(ask(table, srv1="kubernetes:/s:80")) == []


def test_the_trace_names_the_condition_that_failed() -> None:
    when: object = {"all": [{"path": {"prefix": "/"}}, {"cookie": {"name": "canary", "value": "v2"}}]}
    table = shop(canaries=[{"when": when, "to": "v2"}])
    steps = trace(table, Request("shop.example.com", "/", bindings={"variant": "v2", "srv2": "gone"}), State())
    assert [(step.kind, step.path, step.holds) for step in steps] == [
        (Kind.CANARY, ("routes", 0, "canaries", 0, "when", "all", 1, "cookie"), False),
        (Kind.ROUTE, ("routes", 0), True),
        (Kind.BINDING, ("routes", 0, "sticky", "cookie"), True),
        (Kind.SPLIT, ("routes", 0, "split", 1), True),
        (Kind.BINDING, ("services", "v2", "sticky"), False),
        (Kind.SERVER, ("services", "v2", "servers", 0), True),
        (Kind.SERVER, ("services", "v2", "servers", 1), True),
    ]
    (canary, route, none) = trace(table, Request("other", "/"), State())
    assert (canary.path, route.path, none.holds) == (("routes", 0, "hosts"), ("routes", 0, "hosts"), False)


# How the texts of a request are read --------------------------------------------------------------------------------------


@given(st.text(alphabet="/.%2eEfF5aA \\?#ü\x00;", max_size=24) | st.text())
def test_a_normal_path_stays(raw: str) -> None:
    path = normal_path(raw)
    assert normal_path(path) == path
    assert path.isascii()
    assert path == "*" or path.startswith("/")
    assert "//" not in path
    assert not {".", ".."} & set(path.split("/"))


def test_a_semicolon_parts_parameters_for_traefik_and_so_for_its_servers() -> None:
    assert normal_query("a=1;b=2&c") == "a=1&b=2&c"
    assert query_pairs("a=1;b=2") == query_pairs(normal_query("a=1;b=2"))


def test_query_pairs_as_go_reads_them() -> None:
    assert query_pairs("a=1&b=%zz&c+d=e%20f;g&=h&&i==j") == (("a", "1"), ("c d", "e f"), ("g", ""), ("", "h"), ("i", "=j"))


@pytest.mark.parametrize(
    ("when", "request_", "holds"),
    [
        ({"header": {"name": "X-A", "value": "ü"}}, Request("h", "/", headers=(("x-a", "\xc3\xbc"),)), True),
        ({"header": {"name": "X-A", "value": "ü"}}, Request("h", "/", headers=(("x-a", "\xfc"),)), False),
        ({"header": {"name": "X-A", "regex": "^.$"}}, Request("h", "/", headers=(("x-a", "\xfc"),)), True),
        ({"header": {"name": "X-A", "value": "a, b"}}, Request("h", "/", headers=(("x-a", "a"), ("x-a", "b"))), False),
        ({"header": {"name": "Host", "value": "h"}}, Request("h", "/", headers=(("host", "h"),)), False),
        ({"path": {"exact": "/sp ace"}}, Request("h", "/sp%20ace"), True),
        ({"path": {"exact": "/ü"}}, Request("h", "/%C3%BC"), True),
        ({"path": {"prefix": "/a%2Fb"}}, Request("h", "/a%2Fb"), True),
        ({"path": {"prefix": "/a/b"}}, Request("h", "/a%2Fb"), False),
        ({"path": {"regex": "^/p.q$"}}, Request("h", "/p%FFq"), True),
        ({"host": "[::1]"}, Request("[::1]:8080", "/"), True),
        ({"host": "a.h"}, Request("A.h.:80", "/"), True),
        ({"host": "*.h"}, Request("a.b.h", "/"), False),
        ({"client_ip": "10.0.0.0/8"}, Request("h", "/", client="::ffff:10.1.1.1"), True),
        ({"client_ip": "10.0.0.0/8"}, Request("h", "/", client="a socket"), False),
        ({"cookie": {"name": "c", "value": '"1"'}}, Request("h", "/", headers=(("cookie", 'c="1"'),)), True),
    ],
)
def test_conditions_to_the_letter(when: object, request_: Request, holds: bool) -> None:
    document = {"pinfeather": "v1", "routes": [{"name": "r", "match": when, "to": "s"}], "services": {"s": {"servers": []}}}
    assert decide(Table.of(Document.model_validate(document)), request_, State(), 0).status == (503 if holds else 404)
