"""What cannot be built, and what is said about it."""

from __future__ import annotations

import pytest

from pinfeather.model.build import build
from pinfeather.model.document import Document
from pinfeather.model.normal import normal, precedence

SERVICE = {"servers": [{"url": "http://127.0.0.1:1"}]}


def document(**parts: object) -> dict[str, object]:
    return {"pinfeather": "v1", **parts}


def route(**parts: object) -> dict[str, object]:
    return {"name": "r", "to": "s", **parts}


WRONG = {
    "no version": ({}, "input.value", (), "pinfeather: v1"),
    "another version": ({"pinfeather": "v2"}, "input.value", ("pinfeather",), "v2"),
    "no mapping": ([], "input.value", (), "mapping"),
    "wrong key": (document(routes=[route(hots=["a"])]), "unread.unknown", ("routes", 0, "hots"), "hosts"),
    "wrong key in a service": (document(services={"s": {**SERVICE, "stiky": {}}}), "unread.unknown", ("services", "s", "stiky"), "sticky"),
    "wrong condition": (document(routes=[route(match={"hots": "a"})], services={"s": SERVICE}), "unread.unknown", ("routes", 0, "match", "hots"), "host"),
    "number as text": (document(routes=[route(priority="1")], services={"s": SERVICE}), "input.value", ("routes", 0, "priority"), "whole number"),
    "truth as number": (document(routes=[route(priority=True)], services={"s": SERVICE}), "input.value", ("routes", 0, "priority"), "number"),
    "nothing to go to": (document(routes=[{"name": "r"}]), "input.value", ("routes", 0), "`to`"),
    "weights of nothing": (document(routes=[{"name": "r", "split": [{"to": "s", "weight": 0}]}], services={"s": SERVICE}), "input.weights", ("routes", 0), "sum to nothing"),
    "a child twice": (document(services={"a": {"split": [{"to": "s"}, {"to": "s"}]}, "s": SERVICE}), "input.weights", ("services", "a"), "twice"),
    "unknown service": (document(routes=[route(to="shop_v2")], services={"shop-v1": SERVICE}), "input.reference", ("routes", 0, "to"), "shop-v1"),
    "split to nowhere": (document(services={"a": {"split": [{"to": "nowhere"}]}}), "input.reference", ("services", "a", "split", 0, "to"), "nowhere"),
    "middleware nowhere": (document(routes=[route(middlewares=["m"])], services={"s": SERVICE}), "input.reference", ("routes", 0, "middlewares", 0), "m"),
    "chain nowhere": (document(middlewares={"c": {"chain": {"middlewares": ["m"]}}}), "input.reference", ("middlewares", "c", "chain", "middlewares", 0), "m"),
    "chain in a circle": (document(middlewares={"c": {"chain": {"middlewares": ["c"]}}}), "input.reference", ("middlewares", "c"), "circle"),
    "split in a circle": (document(services={"a": {"split": [{"to": "a"}]}}), "input.reference", ("services", "a"), "circle"),
    "name twice": (document(routes=[route(), route()], services={"s": SERVICE}), "input.name-clash", ("routes", 1, "name"), "taken"),
    "no token": (document(services={"s": {**SERVICE, "sticky": {"cookie": {"name": "a b"}}}}), "input.value", ("services", "s", "sticky", "cookie", "name"), "token"),
    "none without secure": (document(services={"s": {**SERVICE, "sticky": {"cookie": {"name": "a", "same_site": "none"}}}}), "input.cookie", ("services", "s", "sticky", "cookie"), "secure: true"),
    "host prefix with domain": (document(services={"s": {**SERVICE, "sticky": {"cookie": {"name": "__Host-a", "secure": True, "domain": "x.y"}}}}), "input.cookie", ("services", "s", "sticky", "cookie"), "__Host-"),
    "look-around": (document(routes=[route(match={"header": {"name": "A", "regex": "(?=a)"}})], services={"s": SERVICE}), "input.regex", ("routes", 0, "match", "header", "regex"), "RE2"),
    "any byte": (document(routes=[route(match={"host_regex": "\\C"})], services={"s": SERVICE}), "input.regex", ("routes", 0, "match", "host_regex"), "\\C"),
    "port in a host": (document(routes=[route(hosts=["a.b:80"])], services={"s": SERVICE}), "input.value", ("routes", 0, "hosts", 0), "port"),
    "path without a slash": (document(routes=[route(path={"prefix": "x"})], services={"s": SERVICE}), "input.value", ("routes", 0, "path", "prefix"), "begin with"),
    "newline in a name": (document(routes=[route(name="a\nb")], services={"s": SERVICE}), "input.value", ("routes", 0, "name"), "control character"),
    "sni over http": (document(routes=[route(match={"sni": "a.b"})], services={"s": SERVICE}), "input.value", ("routes", 0), "TCP"),
    "cookie over tcp": (document(tcp_services={"s": {"servers": [{"address": "a:1"}], "sticky": {"cookie": {"name": "a"}}}}), "input.value", ("tcp_services", "s"), "source_address"),
    "two kinds of middleware": (document(middlewares={"m": {"compress": {}, "retry": {"attempts": 1}}}), "input.value", ("middlewares", "m"), "one kind"),
    "unknown entry point": (document(entry_points={"web": 80}, routes=[route(entry_points=["wbe"])], services={"s": SERVICE}), "input.reference", ("routes", 0, "entry_points", 0), "web"),
    "one cookie on two levels": (
        document(routes=[{"name": "r", "split": [{"to": "s"}], "sticky": {"cookie": {"name": "c"}}}], services={"s": {**SERVICE, "sticky": {"cookie": {"name": "c"}}}}),
        "lint.cookie-nested", ("routes", 0, "sticky", "cookie", "name"), "two names",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_one_message_names_the_place_and_the_remedy(case: str) -> None:
    tree, code, path, word = WRONG[case]
    made, found = build(tree)  # type: ignore[arg-type]
    assert made is None
    assert [(finding.code, finding.path) for finding in found] == [(code, path)], found
    assert word in f"{found[0].message} {found[0].instead}"


def test_every_error_of_a_document_is_reported() -> None:
    _, found = build(document(routes=[route(hots=[]), route(name="x", paht={})]))  # type: ignore[arg-type]
    assert [finding.path for finding in found] == [("routes", 0, "hots"), ("routes", 1, "paht")]


def test_a_broken_item_does_not_make_its_list_too_short() -> None:
    tree = document(services={"s": {"split": [{"to": "x", "wait": 1}]}}, routes=[route(match={"all": [{"hots": "a"}]})])
    _, found = build(tree)  # type: ignore[arg-type]
    assert [finding.path for finding in found] == [("routes", 0, "match", "all", 0, "hots"), ("services", "s", "split", 0, "wait")]
    _, found = build(document(services={"s": {"split": []}}))  # type: ignore[arg-type]
    assert [finding.path for finding in found] == [("services", "s", "split")]


def test_a_template_may_stand_for_text_and_number() -> None:
    template = {"template": "{{ .Values.x }}"}
    made, found = build(document(routes=[route(hosts=[template], priority=template)], services={"s": SERVICE}))  # type: ignore[arg-type]
    assert not found
    assert made is not None
    again, _ = build(made.model_dump(mode="json", exclude_defaults=True) | {"pinfeather": "v1"})
    assert again == made
    plain, _ = build(document(routes=[route(hosts=["{{ .Values.x }}"])], services={"s": SERVICE}))  # type: ignore[arg-type]
    assert plain is None


def test_durations_have_one_spelling() -> None:
    made = Document.model_validate(
        document(services={"s": {**SERVICE, "health_check": {"path": "/", "interval": "1m30s", "timeout": "0.5s"}}})
    )
    check = made.services["s"].health_check  # type: ignore[union-attr]
    assert check is not None
    assert (check.interval, check.timeout) == ("90s", "500ms")


def test_the_order_is_priority_then_specificity_then_place() -> None:
    routes = [
        route(name="any"),
        route(name="prefix", hosts=["a.b"], path={"prefix": "/"}),
        route(name="longer", hosts=["a.b"], path={"prefix": "/long"}),
        route(name="exact", hosts=["a.b"], path={"exact": "/"}),
        route(name="wild", hosts=["*.b"], path={"exact": "/"}),
        route(name="first", priority=1, canaries=[{"when": {"method": "GET"}, "to": "s"}]),
    ]
    made = Document.model_validate(document(routes=routes, services={"s": SERVICE}))
    named = [(made.routes[rung.route].name, rung.canary) for rung in precedence(made)]
    assert named == [("first", 0), ("first", None), ("exact", None), ("longer", None), ("prefix", None), ("wild", None), ("any", None)]


def test_a_canary_is_the_route_it_means() -> None:
    with_canary = document(
        routes=[route(hosts=["a.b"], canaries=[{"name": "c", "when": {"method": "GET"}, "to": "s"}])], services={"s": SERVICE}
    )
    as_routes = document(
        routes=[route(hosts=["a.b"]), route(name="c", match={"all": [{"host": "a.b"}, {"method": "GET"}]}, priority=5)],
        services={"s": SERVICE},
    )
    one, other = (normal(Document.model_validate(tree)) for tree in (with_canary, as_routes))
    assert one == other
    assert normal(one) == one


def test_a_template_for_a_priority_stays_itself() -> None:
    template = {"template": "{{ .Values.priority }}"}
    tree = document(routes=[route(priority=template), route(name="other", priority=2)], services={"s": SERVICE})
    made = Document.model_validate(tree)
    assert [each.name for each in normal(made).routes] == ["other", "r"]
    assert normal(made).routes[1].priority == made.routes[0].priority
    assert normal(made) != normal(
        Document.model_validate(document(routes=[route(), route(name="other", priority=2)], services={"s": SERVICE}))
    )
