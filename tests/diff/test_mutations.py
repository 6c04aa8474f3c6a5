"""One edit of the shop at a time: the class that is found, its sentence, and what becomes of pinned clients."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from pinfeather import _curl
from pinfeather.diff import render
from pinfeather.diff.changes import Kind
from pinfeather.diff.pins import Fate
from pinfeather.diff.report import Difference, difference
from pinfeather.diff.sides import Side
from pinfeather.proxy.loading import load_canonical

SHOP = (Path(__file__).parents[2] / "stacks" / "dev" / "shop.yaml").read_text("utf-8")
GUARDED = SHOP.replace("middlewares: [secure-headers]", "middlewares: [auth, secure-headers]") + (
    '  auth: {basic_auth: {users: ["u:$2y$05$abcdefghijklmnopqrstuuzXJrmNnGCgKQHNGGHVnKEcOLLb5uNJ6"]}}\n'
)


def _side(text: str) -> Side:
    return Side(load_canonical("shop.yaml", text))


def _edited(old: str, new: str, text: str = SHOP) -> Difference:
    assert old in text
    return difference(_side(text), _side(text.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "kind", "said", "curl"),
    [
        ("weight: 10}", "weight: 30}", Kind.MOVED, "15 % of new clients go to shop-v2, and no longer to shop-v1", "curl http://shop.localhost/ --entry-point web"),
        ("cookie: {name: canary, value: v2}", "cookie: {name: canary, value: v3}", Kind.MOVED, "90 % of new clients go to shop-v1, and no longer to shop-v2", "curl -b canary=v2 http://shop.localhost/ --entry-point web"),
        ("cookie: {name: canary, value: v2}", "cookie: {name: canary, regex: v2}", Kind.MOVED, "90 % of new clients go to shop-v2, and no longer to shop-v1", "curl -b canary=v22 http://shop.localhost/ --entry-point web"),
        ("cookie: {name: canary, value: v2}", "header: {name: Cookie, regex: '.*canary=v2.*'}", Kind.MOVED, "90 % of new clients go to shop-v2, and no longer to shop-v1", "curl -b notcanary=v22 http://shop.localhost/ --entry-point web"),
        ("hosts: [shop.localhost]", "hosts: [shop.localhost, store.localhost]", Kind.ADMITTED, "let in now", "curl http://store.localhost/ --entry-point web"),
        ("hosts: [shop.localhost]", "hosts: [store.localhost]", Kind.ADMITTED, "let in now", "curl http://store.localhost/ --entry-point web"),
        ("hosts: [shop.localhost]", "hosts: ['*.localhost']", Kind.ADMITTED, "let in now", "curl http://any.localhost/ --entry-point web"),
        ("hosts: [shop.localhost]", "hosts: [shop.localhost]\n    path: {prefix: /shop}", Kind.REFUSED, "refused now", "curl http://shop.localhost/ --entry-point web"),
        ("name: shop_variant, max_age: 3600", "name: shop_variant, max_age: 60", Kind.COOKIES, "given other cookies", "curl http://shop.localhost/ --entry-point web"),
        ("    middlewares: [secure-headers]\n", "", Kind.PASSES, "passed through other middlewares", "curl http://shop.localhost/ --entry-point web"),
        ("8102", "8105", Kind.MOVED, "45 % of new clients go to http://127.0.0.1:8105, and no longer to http://127.0.0.1:8102", "curl http://shop.localhost/ --entry-point web"),
        ("entry_points: [web]", "entry_points: [web]\n    tls: {}", Kind.REFUSED, "refused now", "curl http://shop.localhost/ --entry-point web"),
    ],
    ids=str,
)  # fmt: skip
def test_one_edit_is_one_sentence(old: str, new: str, kind: Kind, said: str, curl: str) -> None:
    found = _edited(old, new)
    first = found.classes[0]
    assert (first.change.kind, render.headline(first.found), _curl.line(render.asked(first.found))) == (kind, said, curl)


def test_weights_from_10_to_30_move_a_fifth_of_new_clients_and_nobody_who_is_pinned() -> None:
    found = difference(_side(SHOP), _side(SHOP.replace("weight: 90", "weight: 70").replace("weight: 10", "weight: 30")))
    (only,) = found.classes
    assert render.headline(only.found) == "20 % of new clients go to shop-v2, and no longer to shop-v1"
    assert only.change.moved == Fraction(1, 5)
    assert only.pinned == ((Fate.KEPT, Fraction(1)),)
    assert not found.pools


def test_who_passed_a_password_and_does_not_now_comes_first() -> None:
    text = GUARDED.replace("weight: 90", "weight: 70")
    found = difference(_side(GUARDED), _side(text.replace("[auth, secure-headers]", "[secure-headers]")))
    assert found.classes[0].change.kind is Kind.UNGUARDED
    assert render.headline(found.classes[0].found) == "let in without basic_auth, which was asked for before"


def test_a_password_that_is_asked_for_only_now_is_said_so() -> None:
    found = difference(_side(GUARDED.replace("[auth, secure-headers]", "[secure-headers]")), _side(GUARDED))
    assert render.headline(found.classes[0].found) == "asked for basic_auth now"


def test_a_door_that_leads_nowhere_any_more_lets_nobody_in() -> None:
    """Refused is no way round the password."""
    found = difference(
        _side(GUARDED), _side(GUARDED.replace("- name: shop\n    hosts: [shop.localhost]", "- name: shop\n    hosts: [store.localhost]"))
    )
    at = {each.found.region.request.host: each.change.kind for each in found.classes}
    assert at["shop.localhost"] is Kind.REFUSED


def test_a_password_on_one_of_two_variants() -> None:
    """Of new clients not everybody was asked for it, but all who were sent to those servers."""
    text = GUARDED.replace("[auth, secure-headers]", "[secure-headers]")
    one = text.replace("  shop-v1:\n", "  shop-v1:\n    middlewares: [auth]\n")
    first = difference(_side(one), _side(text)).classes[0]
    assert first.change.kind is Kind.UNGUARDED
    assert render.headline(first.found) == "90 % more of new clients are let in without basic_auth"
    back = difference(_side(text), _side(one)).classes[0]
    assert back.change.kind is Kind.GUARDED
    other = one.replace("  shop-v1:\n    middlewares: [auth]\n", "  shop-v1:\n").replace(
        "  shop-v2:\n", "  shop-v2:\n    middlewares: [auth]\n"
    )
    assert difference(_side(one), _side(other)).classes[0].change.kind is Kind.UNGUARDED  # on the way to the other servers it is no excuse
    (moved, *_) = difference(_side(one), _side(one.replace("weight: 90", "weight: 10"))).classes
    assert moved.change.kind is Kind.UNGUARDED  # more are let in without it, though each variant is as it was
    (fewer, *_) = difference(_side(one.replace("weight: 90", "weight: 10")), _side(one)).classes
    assert fewer.change.kind is Kind.GUARDED
    assert render.headline(moved.found) == "40 % more of new clients are let in without basic_auth"


def test_other_users_are_another_password() -> None:
    found = difference(_side(GUARDED), _side(GUARDED.replace("u:$2y", "root:$2y")))
    assert found.classes[0].change.kind is Kind.OTHERWISE_GUARDED


def test_a_renamed_cookie_loses_every_pin() -> None:
    found = _edited("shop_variant", "variant")
    (pool,) = found.pools
    assert (pool.cookie, pool.kept, pool.lost) == ("shop_variant", (), ("shop-v1", "shop-v2"))
    assert pool.why == "no cookie is called 'shop_variant' any more"
    assert dict(found.classes[0].pinned)[Fate.REDRAWN] == 1


def test_a_server_that_goes_takes_its_pins_with_it() -> None:
    found = _edited('      - {url: "http://127.0.0.1:8102"}\n', "")
    (pool,) = found.pools
    assert pool.lost == ("http://127.0.0.1:8102",)
    assert pool.why == "what it stands for is not there any more"
    assert dict(found.classes[0].pinned) == {Fate.KEPT: Fraction(55, 100), Fate.REDRAWN: Fraction(45, 100)}


def test_weight_0_drops_those_who_are_pinned_there() -> None:
    found = _edited("weight: 10", "weight: 0")
    assert dict(found.classes[0].pinned) == {Fate.KEPT: Fraction(9, 10), Fate.REDRAWN: Fraction(1, 10)}


def test_names_are_no_difference() -> None:
    text = (
        SHOP.replace("shop-v1", "stable")
        .replace("shop-v2", "next")
        .replace("secure-headers", "safe")
        .replace("- name: shop\n", "- name: store\n")
    )
    assert difference(_side(SHOP), _side(text)).equal


def test_routes_of_one_priority_that_change_places() -> None:
    both = """
pinfeather: v1
routes:
  - {name: a, hosts: [x.example], path: {prefix: /}, priority: 1, to: a}
  - {name: b, hosts: [x.example], path: {prefix: /}, priority: 2, to: b}
services:
  a: {servers: [{url: "http://10.0.0.1:80"}]}
  b: {servers: [{url: "http://10.0.0.2:80"}]}
"""
    found = difference(_side(both), _side(both.replace("priority: 2", "priority: 0")))
    assert render.headline(found.classes[0].found) == "everybody goes to a, and no longer to b"


def test_a_difference_that_only_a_combination_shows() -> None:
    """Two headers that must come together, on one side of them with a cookie."""
    text = """
pinfeather: v1
routes:
  - name: a
    hosts: [x.example]
    match: {all: [{header: {name: A, value: "1"}}, {not: {header: {name: B, value: "2"}}}]}
    to: a
  - {name: b, hosts: [x.example], to: b}
services:
  a: {servers: [{url: "http://10.0.0.1:80"}]}
  b: {servers: [{url: "http://10.0.0.2:80"}]}
"""
    other = text.replace('{header: {name: B, value: "2"}}', '{all: [{header: {name: B, value: "2"}}, {cookie: {name: c, value: v}}]}')
    (only,) = difference(_side(text), _side(other)).classes
    assert _curl.line(render.asked(only.found)) == "curl -H 'a: 1' -H 'b: 2' http://x.example/"


@pytest.mark.parametrize("text", ["/a`b", "/a b", "/caf\u00e9", "/a%2Fb", "/a%b"])
def test_paths_are_sent_as_they_must_be_written(text: str) -> None:
    """Conditions see the decoded text; what is shown can be sent."""
    document = f"""
pinfeather: v1
routes: [{{name: a, hosts: [x.example], path: {{exact: "{text}"}}, to: a}}]
services: {{a: {{servers: [{{url: "http://10.0.0.1:80"}}]}}}}
"""
    found = difference(
        _side(document),
        _side(
            document.replace("routes: [", "routes: [").replace("to: a}]", "to: a, middlewares: [m]}]")
            + "middlewares: {m: {headers: {response: {A: b}}}}\n"
        ),
    )
    if text == "/a%b":  # a `%` that begins no encoding is matched as `%25`: nobody can ask for this one
        assert found.equal
    else:
        assert len(found.classes) == 1


MANY = """
pinfeather: v1
routes:
  - {name: a, hosts: [x.example], match: {all: [VALUES]}, to: a}
  - {name: b, hosts: [x.example], to: b}
services:
  a: {servers: [{url: "http://10.0.0.1:80"}]}
  b: {servers: [{url: "http://10.0.0.2:80"}]}
"""


def _with(*values: str) -> str:
    return MANY.replace("VALUES", ", ".join(f'{{header: {{name: A, value: "{value}"}}}}' for value in values))


@pytest.mark.parametrize(
    ("before", "after"),
    [("12", "13"), ("123", "124"), ("12345", "12346"), ("12345", "")],
    ids=["two", "three", "five", "five or none"],
)
def test_a_header_that_must_come_several_times(before: str, after: str) -> None:
    """Any of its values may be the one, so several conditions on one name can all hold."""
    found = difference(_side(_with(*before)), _side(_with(*after) if after else _with(*before).replace("to: a}", "to: b}"))).classes
    sent = [{value for name, value in each.found.region.request.headers if name == "a"} for each in found]
    assert set(before) in sent


def test_the_order_of_two_values_of_one_header() -> None:
    rows = [
        f'  - {{name: r{n}, hosts: [x.example], match: {{header: {{name: A, value: "{n}"}}}}, to: {to}}}\n' for n, to in enumerate("caba")
    ]
    services = "".join(f'  {name}: {{servers: [{{url: "http://10.0.0.{n}:80"}}]}}\n' for n, name in enumerate("abc"))

    def side(*order: int) -> Side:
        return _side(f"pinfeather: v1\nroutes:\n{''.join(rows[n] for n in order)}services:\n{services}")

    (only,) = difference(side(0, 1, 2, 3), side(0, 2, 1, 3)).classes
    assert {value for name, value in only.found.region.request.headers if name == "a"} == {"1", "2"}


def test_networks_are_told_apart_at_their_edges() -> None:
    text = """
pinfeather: v1
routes:
  - {name: a, match: {client_ip: 10.0.0.0/8}, to: a}
  - {name: b, to: b}
services:
  a: {servers: [{url: "http://10.0.0.1:80"}]}
  b: {servers: [{url: "http://10.0.0.2:80"}]}
"""
    (only,) = difference(_side(text), _side(text.replace("10.0.0.0/8", "10.0.0.0/9"))).classes
    assert only.found.region.request.client == "10.255.255.255"


TCP = """
pinfeather: v1
tcp_routes:
  - {name: db, sni: [db.example.com], entry_points: [pg], tls: {passthrough: true, terminate: false}, split: [{to: a, weight: 9}, {to: b, weight: 1}]}
tcp_services: {a: {servers: [{address: "10.0.0.1:5432"}]}, b: {servers: [{address: "10.0.0.2:5432"}]}}
"""


def test_connections_too() -> None:
    (only,) = difference(_side(TCP), _side(TCP.replace("weight: 9", "weight: 3"))).tcp
    assert (only.connection.sni, only.connection.tls, only.connection.entry_point) == ("db.example.com", True, "pg")
    assert dict(only.before[1]) == {
        "10.0.0.1:5432, TLS passed through": Fraction(9, 10),
        "10.0.0.2:5432, TLS passed through": Fraction(1, 10),
    }
    moved = difference(_side(TCP), _side(TCP.replace("[db.example.com]", "['*.example.com']"))).tcp
    assert [each.connection.sni for each in moved] == ["any.example.com"]


def test_too_many_combinations_are_said() -> None:
    rows = "".join(
        f"  - {{name: r{n}, hosts: [x.example], match: {{any: [{', '.join(f'{{header: {{name: H{m}, value: v{n}}}}}' for m in range(9))}]}}, to: {'ab'[n % 2]}}}\n"
        for n in range(9)
    )
    services = 'services:\n  a: {servers: [{url: "http://10.0.0.1:80"}]}\n  b: {servers: [{url: "http://10.0.0.2:80"}]}\n'
    text = f"pinfeather: v1\nroutes:\n{rows}{services}"
    turned = text.replace("to: a", "to: x").replace("to: b", "to: a").replace("to: x", "to: b")
    found = difference(_side(text), _side(turned))
    assert found.cut
    assert not found.equal
    assert "There is more than was looked at" in render.text(found, ("a", "b"))
