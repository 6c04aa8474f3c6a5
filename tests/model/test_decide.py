"""The decision core against the plain reading of a document: every rung in order, every condition one by one."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfeather.model.decide import (
    DRAWS,
    Binding,
    Decision,
    Kind,
    Request,
    State,
    Table,
    UndecidedError,
    decide,
    normal_path,
    normal_query,
    outcomes,
    trace,
)
from pinfeather.model.document import Document
from pinfeather.model.normal import normal
from pinfeather.model.noun import Template
from pinfeather.model.request import query_pairs
from pinfeather.model.sticky import Cookie
from tests.model.oracle import DOWN, DRAINING, UP, documents, linear, linear_shares, requests, states


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
