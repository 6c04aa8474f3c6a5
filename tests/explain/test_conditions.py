"""Which condition failed, why one route comes before another, and where a regex over all cookies is a trap."""

from __future__ import annotations

import pytest

from pinfeather._explain import explain
from pinfeather.model.decide import Request
from pinfeather.model.document import Document


def test_why_one_comes_before_another() -> None:
    base = {"hosts": ["shop.example.com"], "to": "s", "priority": 10}
    pairs = {
        "a higher priority (10 to 2)": ({}, {"priority": 2}),
        "a more exact kind of path (a prefix; this one: every path)": ({"path": {"prefix": "/"}}, {}),
        "a longer path (2 characters to 1)": ({"path": {"prefix": "/a"}}, {"path": {"prefix": "/"}}),
        "a more exact host (a full name; this one: a wildcard)": ({}, {"hosts": ["*.example.com"]}),
        "more conditions (1 to 0)": ({"match": {"method": "GET"}}, {}),
        "stands before it in the document (route 1; this one: route 2)": ({}, {}),
    }
    services = {"s": {"servers": [{"url": "http://10.0.0.1:80"}]}}
    for why, (first, second) in pairs.items():
        routes = [{**base, "name": "a", **first}, {**base, "name": "b", **second}]
        made = Document.model_validate({"routes": routes, "services": services})
        found = explain(made, Request("shop.example.com", "/abc"))
        (lost,) = found.lost
        assert lost.would_hold
        assert why in lost.why


FAILED: dict[str, tuple[dict[str, object], str]] = {
    "host": ({"hosts": ["a.example", "b.example"]}, "it is for the host a.example or b.example"),
    "many hosts": ({"hosts": ["a", "b", "c", "d", "e"]}, "it is for the host a or b or c or 2 more"),
    "path": ({"path": {"exact": "/x"}}, "it is for the path /x"),
    "prefix": ({"path": {"prefix": "/x"}}, "it is for paths that begin with /x"),
    "point": ({"entry_points": ["sec"]}, "it is on the entry point sec, and this comes in at web"),
    "tls": ({"tls": {}}, "it is for TLS, and this is none"),
    "no header": ({"match": {"header": {"name": "X-B", "value": "v"}}}, "it asks for the header X-B: v; this request has none"),
    "header": ({"match": {"header": {"name": "X-A", "value": "v"}}}, "it asks for the header X-A: v; this request has w"),
    "cookie": ({"match": {"cookie": {"name": "c", "value": "v"}}}, "it asks for the cookie c=v; this request has 1 and 2"),
    "query": ({"match": {"query": {"name": "q", "regex": "^v"}}}, "it asks for a parameter q in which ^v is found; this request has a b"),
    "method": ({"match": {"method": "POST"}}, "it asks for the method POST"),
    "client": ({"match": {"client_ip": "10.0.0.0/8"}}, "it asks for a client in 10.0.0.0/8; this one is at 127.0.0.1"),
    "any": (
        {"match": {"any": [{"method": "POST"}, {"all": [{"host": "x"}, {"not": {"method": "GET"}}]}]}},
        "it asks for the method POST or (the host x and not the method GET)",
    ),
    "not": (
        {"match": {"not": {"header": {"name": "X-A", "value": "w"}}}},
        "it asks for a request without the header X-A: w; this one has it",
    ),
    "deep": ({"match": {"all": [{"method": "GET"}, {"host_regex": "^x"}]}}, "it asks for a host in which ^x is found"),
}


@pytest.mark.parametrize("case", FAILED)
def test_which_condition_failed_and_what_the_request_has(case: str) -> None:
    condition, why = FAILED[case]
    services = {"s": {"servers": [{"url": "http://10.0.0.1:80"}]}}
    made = Document.model_validate({"routes": [{"name": "r", "to": "s", **condition}], "services": services})
    headers = (("x-a", "w"), ("cookie", "c=1; c=2"))
    found = explain(made, Request("shop.example.com", "/a", headers=headers, query="q=a+b", entry_point="web"))
    assert [lost.why for lost in found.lost] == [why]
    assert found.leads[0].decision.status == 404


REGEXES = {
    (".*canary=.*", "canary=v2"): False,
    (".*canary=.*", "notcanary=v2"): True,
    ("canary=v[0-9]", "canary=v2"): False,
    ("canary=v[0-9]", "canary=v22"): True,
    ("(^|; ?)canary=v2(;|$)", "canary=v2"): False,
    (".*", "canary=v2"): False,
}


@pytest.mark.parametrize(("regex", "cookie"), REGEXES)
def test_where_a_regex_over_all_cookies_is_a_trap(regex: str, cookie: str) -> None:
    services = {"s": {"servers": [{"url": "http://10.0.0.1:80"}]}}
    route = {"name": "r", "to": "s", "match": {"header": {"name": "cookie", "regex": regex}}}
    made = Document.model_validate({"routes": [route], "services": services})
    found = explain(made, Request("x", "/", headers=(("cookie", f"a=b; {cookie}"),)))
    assert found.won is not None
    assert bool(found.notes) is REGEXES[regex, cookie]
