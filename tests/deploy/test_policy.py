"""A policy refuses what it forbids, lets pass what lies on its border, and says how to allow the rest for once."""

from __future__ import annotations

import json
import re

import pytest
from pydantic import JsonValue, ValidationError

from pinfeather.deploy.policy import Policy, refusals, unchecked
from pinfeather.deploy.traffic import Target, Traffic, traffic
from pinfeather.model.document import Document

Tree = dict[str, JsonValue]
MIDDLEWARES: Tree = {
    "users": {"basic_auth": {"users": ["anna:$apr1$x$y"]}},
    "more": {"basic_auth": {"users": ["anna:$apr1$x$y", "bert:$apr1$x$z"]}},
    "ask": {"forward_auth": {"address": "http://auth.internal"}},
    "inside": {"ip_allow_list": {"source_ranges": ["10.0.0.0/8"]}},
    "strange": {"other": {"kind": "plugin", "config": {"a": 1}}},
    "gzip": {"compress": {}},
}


def document(*routes: Tree, **more: JsonValue) -> Document:
    services: Tree = {name: {"servers": [{"url": f"http://{name}.internal"}]} for name in ("v1", "v2", "v3")}
    tree = {"services": services, "middlewares": MIDDLEWARES, **more, "routes": list(routes)}
    return Document.model_validate_json(json.dumps(tree))


def shop(weight: int = 10, second: str = "v2", **more: JsonValue) -> Tree:
    split: list[JsonValue] = [{"to": "v1", "weight": 100 - weight}, {"to": second, "weight": weight}]
    return {"name": "shop", "hosts": ["shop.example"], "split": split, "sticky": {"cookie": {"name": "variant"}}, **more}


def route(name: str = "a", host: str = "a.example", *middlewares: str, **more: JsonValue) -> Tree:
    return {"name": name, "hosts": [host], "to": "v1", "middlewares": list(middlewares), **more}


def change(before: Document, after: Document) -> Traffic:
    return traffic(Target(before), Target(after))


def policy(**rules: JsonValue) -> Policy:
    return Policy.model_validate_json(json.dumps(rules))


def told(rules: Policy, found: Traffic) -> list[str]:
    return list(refusals(rules, found))


# What may be written ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "kept"), [("20%", "20%"), ("12.5 %", "12.5 %"), (20, "20%"), (12.5, "12.5%"), (0, "0%"), (100, "100%")])
def test_a_share_is_a_text_or_a_number_of_per_cent(given: JsonValue, kept: str) -> None:
    rules = policy(max_moved_share=given)
    assert rules.max_moved_share == kept
    assert Policy.model_validate_json(rules.model_dump_json()) == rules


@pytest.mark.parametrize("given", ["20", "1/5", "101%", 101, -1, "-1%", True, "", "%", "٢٠%", 1e300])
def test_what_is_no_share(given: JsonValue) -> None:
    with pytest.raises(ValidationError):
        policy(max_moved_share=given)


def test_what_is_no_policy() -> None:
    for wrong in ({"max_deletions": -1}, {"max_deletions": 1.5}, {"keep_pins": "yes"}, {"keeppins": True}):
        with pytest.raises(ValidationError):
            Policy.model_validate_json(json.dumps(wrong))


def test_no_policy_refuses_nothing() -> None:
    found = change(document(shop(10), route("a", "a.example", "users")), document(shop(90, "v3"), route()))
    assert told(Policy(), found) == []


# Shares and pins ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", ["20%", 20, 20.0, "20.000001%", "100%"])
def test_20_of_100_is_within_20_per_cent(allowed: JsonValue) -> None:
    assert told(policy(max_moved_share=allowed), change(document(shop(10)), document(shop(30)))) == []


def test_a_hair_less_is_not() -> None:
    assert told(policy(max_moved_share="19.999999%"), change(document(shop(10)), document(shop(30)))) == [
        "20 % of the new clients of one class of requests go elsewhere, and 19.999999% may; "
        "if it is meant: pulumi config set --path pinfeather:policy.max_moved_share 20%"
    ]


def test_what_it_says_lets_the_change_pass() -> None:
    """A third is no whole per cent: what is proposed is rounded up, so that it is enough."""
    thirds: list[list[JsonValue]] = [[{"to": "v1", "weight": 3}], [{"to": "v1", "weight": 2}, {"to": "v2", "weight": 1}]]
    before, after = (document({"name": "s", "hosts": ["s.example"], "split": split}) for split in thirds)
    (said,) = told(policy(max_moved_share="33%"), change(before, after))
    assert said.startswith("1/3 of the new clients")
    proposed = re.search(r"max_moved_share (\S+)$", said)
    assert proposed is not None
    assert told(policy(max_moved_share=proposed[1]), change(before, after)) == []


def test_pinned_clients_count_like_new_ones() -> None:
    renamed = change(document(shop()), document(shop(sticky={"cookie": {"name": "other"}})))
    assert told(policy(max_moved_share="99%"), renamed)[0].startswith("100 % of the pinned clients of one class of requests go elsewhere")
    replaced = change(document(shop(10)), document(shop(10, "v3")))
    assert told(policy(max_moved_share="10%"), replaced) == []
    assert len(told(policy(max_moved_share="9%"), replaced)) == 1


def test_keep_pins() -> None:
    rules = policy(keep_pins=True)
    assert told(rules, change(document(shop(10)), document(shop(30)))) == []
    assert told(rules, change(document(shop(10)), document(shop(10, "v3")))) == [
        "10 % of the pinned clients of one class of requests do not stay where they are; "
        "if it is meant: pulumi config set --path pinfeather:policy.keep_pins false"
    ]
    drained = [shop(0, weight_zero="drop"), shop(0, weight_zero="drop", split=[{"to": "v1", "weight": 100}])]
    (said,) = told(rules, change(*map(document, drained)))
    assert said.startswith("those whom the cookie variant pins to v2 do not stay where they are; ")
    kept = [{**each, "weight_zero": "keep"} for each in drained]  # these still come to v2, and would go to v1
    assert told(rules, change(*map(document, kept)))[0].startswith("100 % of the pinned clients")
    refused = change(document(shop()), document(shop(hosts=["elsewhere.example"])))
    assert told(rules, refused)[0].startswith("100 % of the pinned clients")


# Wider --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guard", ["users", "ask", "inside", "strange"])
def test_a_guard_less_is_wider_and_one_more_is_not(guard: str) -> None:
    open_, guarded = document(route()), document(route("a", "a.example", guard))
    (said,) = told(policy(never_wider=True), change(guarded, open_))
    assert said.startswith("more is let in than before: let in without ")
    assert said.endswith("; if it is meant: pulumi config set --path pinfeather:policy.never_wider false")
    assert told(policy(never_wider=True), change(open_, guarded)) == []


def test_a_client_certificate_less_is_wider() -> None:
    options: Tree = {"strict": {"client_auth_type": "RequireAndVerifyClientCert", "client_auth_ca_files": ["/ca.pem"]}}
    asked = document(route(tls={"options": "strict"}), tls_options=options)
    free = document(route(tls={}), tls_options=options)
    assert told(policy(never_wider=True), change(asked, free))
    assert told(policy(never_wider=True), change(free, asked)) == []


def test_what_guards_nobody_may_go() -> None:
    assert told(policy(never_wider=True), change(document(route("a", "a.example", "gzip")), document(route()))) == []


def test_other_users_are_wider() -> None:
    assert told(policy(never_wider=True), change(document(route("a", "a.example", "users")), document(route("a", "a.example", "more"))))


def test_a_guard_behind_another_name_is_the_same() -> None:
    chain: Tree = {**MIDDLEWARES, "both": {"chain": {"middlewares": ["users", "inside"]}}}
    flat = document(route("a", "a.example", "users", "inside"), middlewares=chain)
    assert told(policy(never_wider=True), change(flat, document(route("b", "a.example", "both"), middlewares=chain))) == []


OLD = route("a", "a.example", path={"prefix": "/app"})
WIDE = {"name": "w", "hosts": ["*.example"], "to": "v1", "path": {"prefix": "/app"}}


@pytest.mark.parametrize(
    ("before", "after", "wider"),
    [
        ([OLD], [OLD, route("b", "new.example")], False),
        ([OLD], [OLD, route("b", "a.example")], True),
        ([OLD], [OLD, route("b", "a.example", "users")], False),
        ([OLD], [route("renamed", "a.example")], True),
        ([OLD], [OLD, {**route("b"), "hosts": ["0.example", "a.example"]}], True),  # the one that is shown is of the new host
        ([OLD], [OLD, {**route("b"), "hosts": []}], True),
        ([OLD], [OLD, route("b", "*.example")], True),
        ([OLD], [OLD, route("b", "*.other")], False),
        ([WIDE], [WIDE, route("b", "b.example")], True),
        ([WIDE], [WIDE, route("b", "b.c.example")], False),
        ([OLD], [OLD, route("b", "A.example.")], True),
        ([{**route("r", path={"prefix": "/app"}), "hosts": [], "match": {"host_regex": "^.+\\.test$"}}], [route("b", "x.test")], True),
        ([], [{**route("b"), "hosts": []}], False),
        ([OLD], [route("a", "a.example", path={"prefix": "/app/x"})], False),
    ],
)
def test_a_new_host_is_new_traffic_and_more_of_a_known_one_is_wider(before: list[Tree], after: list[Tree], wider: bool) -> None:
    assert bool(told(policy(never_wider=True), change(document(*before), document(*after)))) is wider


def test_a_service_that_gets_its_first_server_is_repaired() -> None:
    empty: Tree = {"v1": {"servers": []}}
    rules = policy(never_wider=True)
    assert told(rules, change(document(route(), services=empty), document(route()))) == []
    was = document(route("a", "a.example", "users"), services=empty)
    assert told(rules, change(was, document(route())))  # and who may come in is not asked any more
    assert told(rules, change(was, document(route("a", "a.example", "users")))) == []


# Losses and deletions -----------------------------------------------------------------------------------------------------


def test_new_losses() -> None:
    same = document(shop())
    found = traffic(Target(same, losses=("loss.a",)), Target(same, losses=("loss.a", "loss.b\nx", "loss.c")))
    assert told(policy(no_new_losses=True), found) == [
        "there is a new loss: loss.b\\nx (and 1 more); if it is meant: pulumi config set --path pinfeather:policy.no_new_losses false"
    ]
    assert told(policy(no_new_losses=True), traffic(Target(same, losses=("a", "b")), Target(same, losses=("b",)))) == []


def test_deletions() -> None:
    same = document(shop())
    found = traffic(Target(same, objects=[f"Service shop/s{n}" for n in range(7)]), Target(same, objects=["Service shop/s6"]))
    assert told(policy(max_deletions=6), found) == []
    assert told(policy(max_deletions=5), found) == [
        "6 objects would be deleted, and 5 may: Service shop/s0, Service shop/s1, Service shop/s2, Service shop/s3, Service shop/s4; "
        "if it is meant: pulumi config set --path pinfeather:policy.max_deletions 6"
    ]


def test_every_rule_that_is_broken_is_said() -> None:
    before = Target(document(shop(10), route("a", "a.example", "users")), losses=("a",), objects=("one", "two"))
    after = Target(document(shop(60, "v3"), route()), losses=("b",))
    rules = policy(max_moved_share=1, no_new_losses=True, keep_pins=True, never_wider=True, max_deletions=1)
    said = told(rules, traffic(before, after))
    assert [re.search(r"policy\.(\w+) \S+$", each)[1] for each in said] == [  # type: ignore[index]
        "max_moved_share", "no_new_losses", "keep_pins", "never_wider", "max_deletions"
    ]  # fmt: skip
    assert all(each.isprintable() for each in said)


def test_what_cannot_be_compared_is_said_to_be_unchecked_and_losses_and_deletions_are_held() -> None:
    found = traffic(Target(None, losses=("a",), objects=("one",)), Target(document(shop()), losses=("b",)))
    rules = policy(max_moved_share=1, no_new_losses=True, never_wider=True, max_deletions=0)
    assert unchecked(rules, found) == ("max_moved_share", "never_wider")
    assert len(told(rules, found)) == 2
    assert unchecked(rules, change(document(shop(10)), document(shop(30)))) == ()
    assert unchecked(policy(max_deletions=0), found) == ()
