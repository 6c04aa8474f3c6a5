"""The rule grammar held against a real Traefik: it takes what we print and what we read, and answers as the rule says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from pinfeather.model.conditions import compiled, http_leaf
from pinfeather.model.match import (
    AllOf,
    Alpn,
    AnyOf,
    ClientIP,
    Cookie,
    CookieMatch,
    Header,
    HeaderMatch,
    Host,
    HostRegex,
    Match,
    Method,
    Not,
    PathIs,
    PathMatch,
    Query,
    ServerNameIs,
    ServerNameRegex,
    ValueMatch,
)
from pinfeather.model.request import Asked, Request, State, normal_path
from pinfeather.testing.traefik import HIT, MISS, Json, Traefik, TraefikError
from pinfeather.translators._syntax.go_template import escape_actions
from pinfeather.translators._syntax.rule import RuleError, parse_http, parse_tcp, print_http, print_tcp, rule_length, tcp_rule_length
from pinfeather.translators._syntax.rule_v2 import parse_http_v2

StartTraefik = Callable[..., Traefik]
Probe = tuple[str, str, list[tuple[str, str]], int]  # host, target, headers, status
_REQUEST: tuple[str, str, list[tuple[str, str]]] = ("a.io", "/", [])


def no(match: Match) -> Not:
    return Not.model_validate({"not": match})


def path(**kind: str) -> PathIs:
    return PathIs(path=PathMatch(**kind))


def header(name: str, **kind: str) -> Header:
    return Header(header=HeaderMatch(name=name, **kind))


def cookie(name: str, **kind: str) -> Cookie:
    return Cookie(cookie=CookieMatch(name=name, **kind))


def query(name: str, **kind: str) -> Query:
    return Query(query=ValueMatch(name=name, **kind))


def file_of(http: Mapping[str, Mapping[str, Json]], tcp: Mapping[str, Mapping[str, Json]] | None = None) -> str:
    """A file for the provider, as JSON, which is YAML where it holds no raw control characters: rules have them escaped."""
    content: dict[str, object] = {}
    if http:
        content["http"] = {"routers": {name: {"service": "noop@internal", **router} for name, router in http.items()}}
    if tcp:
        content["tcp"] = {
            "routers": {name: {"service": "s", **router} for name, router in tcp.items()},
            "services": {"s": {"loadBalancer": {"servers": [{"address": "127.0.0.1:1"}]}}},
        }
    return escape_actions(json.dumps(content, ensure_ascii=False))


HOSTILE = [
    "`", '"', "\\", "`\"\\", "x`) || PathPrefix(`/", 'x") || PathPrefix("/', "{{ env `HOME` }}", "{{", "{{{", "}}", "{{`{{`}}", "é", "😀",
    "`😀", "a b", "//", "/* x */", "'", "%", "${x}", "\\x41", "&& ||", "#: -", "\u00a0`", "\u4e2d",
]  # fmt: skip
CONTROL = ["\n", "\r", "\x7f", "\x00", "\t", "\u0085", "\u2028", "\ufeff", "\u202e", "\x1b"]
PRINTED: list[Match] = [
    *(path(exact="/" + text) for text in HOSTILE),
    *(header("X", value=text) for text in HOSTILE),
    *(path(regex=f"[{text}]") for text in CONTROL),
    *(cookie("a|b^$", value=text) for text in ("v2", "", "v.2", "{{", "`", "é")),
    *(cookie("c", regex=text) for text in ("", "v2", "^v2$", "^(v2|v3)$", "^user-.*$", r"\bbeta\b", "(?i)beta")),
    HostRegex(host_regex=""),
    Host(host="*"),
    Host(host="*.a.io"),
    Host(host="a_b.io"),
    header("X", value=""),
    header("X", regex=""),
    query("k", value=""),
    query("k`", value="{{"),
    query("k", regex="^(a|b)$"),
    ClientIP(client_ip="::1/128"),
    no(AnyOf(any=(Host(host="a.io"), no(AllOf(all=(path(prefix="/"), Method(method="PATCH"))))))),
    AnyOf(any=(AllOf(all=(Host(host="a.io"), AnyOf(any=(path(prefix="/a"), path(prefix="/b"))))), no(no(Host(host="b.io"))))),
]
PRINTED_TCP: list[Match] = [
    ServerNameIs(sni="*"),
    ServerNameIs(sni="a_b.io"),
    ServerNameIs(sni="*.a.io"),
    AllOf(all=(ServerNameRegex(sni_regex=r"^[a-z]+\.io$"), no(ClientIP(client_ip="10.0.0.0/8")))),
    AllOf(all=(ServerNameIs(sni="a.io"), AnyOf(any=(Alpn(alpn="h2"), Alpn(alpn="x`y"))))),
]


def test_every_printed_rule_loads_as_it_was_meant(traefik: StartTraefik) -> None:
    http: dict[str, dict[str, Json]] = {f"r{index}": {"rule": print_http(match)} for index, match in enumerate(PRINTED)}
    tcp: dict[str, dict[str, Json]] = {f"t{i}": {"rule": print_tcp(match), "tls": {}} for i, match in enumerate(PRINTED_TCP)}
    running = traefik({"rules.yml": file_of(http, tcp)})
    for kind, sent, length in (("routers", http, rule_length), ("tcpRouters", tcp, tcp_rule_length)):
        shown = running.items(kind)
        assert set(shown) == set(sent)
        for name, router in shown.items():
            rule = sent[name]["rule"]
            assert isinstance(rule, str)
            assert router["rule"] == rule
            assert (router["status"], router.get("error")) == ("enabled", None), rule
            assert router["priority"] == length(rule)


READ = [
    "host(`a.io`)", "HOST(`a.io`)", "Pathprefix(`/a`)", "Host(`a.io`,)", "Host(\n`a.io`,\n)", "(Host(`a.io`) &&\n Host(`b.io`))\n\n",
    "Host(`a.io`) && // x\n Host(`b.io`) // y", "/* x */ Host(`a.io`)", "!!Host(`a.io`)", '((Host("\\x61\\u002e\\151\\U0000006f")))',
    "QueryRegexp(`k`)", "ClientIP(`10.1.2.3/8`)",
]  # fmt: skip
REFUSED = [
    "Host('a')", "Host(`a`) & Host(`b`)", "Host(`a`) and Host(`b`)", "Host(`a`), Host(`b`)", "Host(`a`) Host(`b`)", "Host(`a`);", "Host:a",
    "Host(`a`) == Host(`b`)", "Host(`a`)\n&& Host(`b`)", "(Host(`a`)\n)", "Host(`a`\n)", "Host(`a`) /* x\n */ && Host(`b`)",
    "Host\n(`a`)", "Host(`a`, `b`)", "Header(`X`)", "Host()", "Host(``)", "Header(`X`, ``)", "Headers(`a`, `b`)", "HostHeader(`a`)",
    "pathPrefix(`/a`)", "Host", "`a`", "Host(Host(`a`))", "Host((`a`))", "Host(`a`", "Host(`a`) &&", "!", "Host(`a", 'Host("\\q")',
    'Host("\\x4")', 'Host("\\ud800")', "Host(`é`)", "HostRegexp(`é`)", "Path(`x`)", "HeaderRegexp(`a`, `(`)", "PathRegexp(`(?!x)`)",
    "ClientIP(`x`)", "ClientIP(`fe80::1%eth0`)", "ClientIP(`10.0.0.0/255.0.0.0`)", "Host(`a`) /* x", "Cookie(`a`, `b`)", "Host(1)",
]  # fmt: skip


def test_traefik_and_our_grammar_take_and_refuse_the_same(traefik: StartTraefik) -> None:
    rules: dict[str, dict[str, Json]] = {f"r{index}": {"rule": rule} for index, rule in enumerate(READ + REFUSED)}
    shown = traefik({"rules.yml": file_of(rules)}).items("routers")
    taken = [rule for index, rule in enumerate(READ + REFUSED) if shown[f"r{index}"]["status"] == "enabled"]
    assert taken == READ
    for rule in READ:
        assert print_http(parse_http(rule))
    for rule in REFUSED:
        with pytest.raises(RuleError):
            parse_http(rule)


CANARY = cookie("canary", value="v2")
BETA = cookie("c", regex="^beta-.*[0-9]$")
ASKED: list[tuple[Match, list[Probe]]] = [
    (CANARY, [
        ("a.io", "/", [("Cookie", "canary=v2")], HIT),
        ("a.io", "/", [("Cookie", "x=y;canary=v2 ; z=1")], HIT),
        ("a.io", "/", [("Cookie", "x=y"), ("Cookie", "canary=v2")], HIT),
        ("a.io", "/", [("Cookie", "notcanary=v22")], MISS),
        ("a.io", "/", [("Cookie", "notcanary=v2")], MISS),
        ("a.io", "/", [("Cookie", 'canary="v2"')], MISS),
        ("a.io", "/", [("Cookie", "canary=V2")], MISS),
        ("a.io", "/", [], MISS),
    ]),
    (BETA, [
        ("a.io", "/", [("Cookie", "c=beta-1")], HIT),
        ("a.io", "/", [("Cookie", "a=b;\tc=beta-x 9 ;d=e")], HIT),
        ("a.io", "/", [("Cookie", "c=beta-; d=9")], MISS),
        ("a.io", "/", [("Cookie", "c=xbeta-1")], MISS),
    ]),
    (cookie("a.b", value=""), [("a.io", "/", [("Cookie", "a.b=")], HIT), ("a.io", "/", [("Cookie", "aXb=")], MISS)]),
    (Host(host="*.a.io"), [("x.a.io", "/", [], HIT), ("X.A.io:80", "/", [], HIT), ("a.io", "/", [], MISS), ("x.y.a.io", "/", [], MISS)]),
    (Host(host="*"), [("any.thing", "/", [], HIT)]),
    (HostRegex(host_regex=r"^a\.(io|com)$"), [("a.io:8080", "/", [], HIT), ("A.COM", "/", [], HIT), ("b.io", "/", [], MISS)]),
    (path(prefix="/a`) || PathPrefix(`/"), [("a.io", "/", [], MISS), ("a.io", "/b", [], MISS)]),
    (path(prefix="/a"), [("a.io", "/abc", [], HIT), ("a.io", "/b", [], MISS)]),
    (path(exact="/{{ x }}"), [("a.io", "/%7B%7B%20x%20%7D%7D", [], HIT), ("a.io", "/x", [], MISS)]),
    (header("X", value='`"\\{{'), [("a.io", "/", [("X", '`"\\{{')], HIT), ("a.io", "/", [("X", "y"), ("x", '`"\\{{')], HIT),
                                   ("a.io", "/", [("X", "`")], MISS)]),
    (header("X", value=""), [("a.io", "/", [("X", "")], HIT), ("a.io", "/", [("X", "y")], MISS), ("a.io", "/", [], MISS)]),
    (header("X", regex=""), [("a.io", "/", [("X", "")], HIT), ("a.io", "/", [("X", "y")], HIT), ("a.io", "/", [], MISS)]),
    (query("k", value=""), [("a.io", "/?k", [], HIT), ("a.io", "/?k=v", [], MISS), ("a.io", "/?k=v&k=", [], HIT)]),
    (query("k", value="a b"), [("a.io", "/?k=a+b", [], HIT), ("a.io", "/?k=a%20b", [], HIT), ("a.io", "/?k=a", [], MISS)]),
    (no(AnyOf(any=(Host(host="a.io"), AllOf(all=(path(prefix="/x"), no(header("Y", value="z"))))))), [
        ("a.io", "/", [], MISS), ("b.io", "/", [], HIT), ("b.io", "/x", [], MISS), ("b.io", "/x", [("Y", "z")], HIT),
    ]),
    (ClientIP(client_ip="127.0.0.0/8"), [("a.io", "/", [("X-Forwarded-For", "9.9.9.9")], HIT)]),
    (ClientIP(client_ip="9.9.9.9"), [("a.io", "/", [("X-Forwarded-For", "9.9.9.9")], MISS)]),
]  # fmt: skip


def says(match: Match, host: str, target: str, headers: list[tuple[str, str]]) -> int:
    """What the model holds of a request."""
    path, _, query = target.partition("?")
    fields = tuple((name.lower(), value.encode().decode("latin-1")) for name, value in headers)
    asked = Asked(Request(host, normal_path(path), headers=fields, query=query), State())
    return HIT if compiled(match, http_leaf)(asked) else MISS


def test_requests_hit_and_miss_as_the_match_says(traefik: StartTraefik) -> None:
    points = [f"e{index}" for index in range(len(ASKED))]
    routers: dict[str, dict[str, Json]] = {
        f"r{index}": {"rule": print_http(match), "entryPoints": [points[index]]} for index, (match, _) in enumerate(ASKED)
    }
    running = traefik({"rules.yml": file_of(routers)}, entry_points=points)
    for point, (match, asked) in zip(points, ASKED, strict=True):
        for host, target, headers, status in asked:
            answer = running.request(target, host=host, headers=headers, entry_point=point)
            assert (answer.status, says(match, host, target, headers)) == (status, status), (print_http(match), host, target, headers)


V2: list[tuple[str, list[tuple[str, str, list[tuple[str, str]]]]]] = [
    ("Host(`a.io`, `B.io`)", [("A.io", "/", []), ("b.io", "/", []), ("c.io", "/", [])]),
    ("HostRegexp(`{sub:[a-z]+}.a.io`, `c.io`)", [("x.a.io", "/", []), ("X.a.io", "/", []), ("x.y.a.io", "/", []), ("C.io", "/", []),
                                                 ("x.aXio", "/", []), ("xx.a.io.b", "/", [])]),
    ("HostRegexp(`{sub}.A.io`)", [("x.a.io", "/", []), ("x.A.io:80", "/", []), ("x.y.a.io", "/", [])]),
    ("HostRegexp(`*.a.io`)", [("x.a.io", "/", [])]),
    ("Path(`/a`, `/b/{id:[0-9]+}/{rest}`)",
     [("a.io", target, []) for target in ("/a", "/a/", "/ab", "/b/1/x", "/b/x/x", "/b/1/x/y")]),
    ("PathPrefix(`/a.b`, `/v{n:(1|2)}`)", [("a.io", target, []) for target in ("/a.bc", "/aXb", "/v1x", "/v3", "/x/v1")]),
    ("Method(`GET`, `PUT`)", [_REQUEST]),
    ("Method(`POST`)", [_REQUEST]),
    ("Headers(`X`, `1`, `Y`, `2`)", [("a.io", "/", [("X", "1"), ("Y", "2")]), ("a.io", "/", [("X", "1")])]),
    ("Headers(`X`, `1`, `X`, `2`)", [("a.io", "/", [("X", "2")]), ("a.io", "/", [("X", "1")])]),
    ("HeadersRegexp(`X`, `b$`)", [("a.io", "/", [("X", "ab")]), ("a.io", "/", [("X", "a"), ("X", "b")]), ("a.io", "/", [("X", "a")])]),
    ("Query(`a=1`, `b=`)", [("a.io", target, []) for target in ("/?a=1&b=x", "/?a=1&b", "/?a=1", "/?a=2&b=x", "/?a=11&b=x")]),
    ("Query(`a`, `1`)", [("a.io", "/?a=1", []), ("a.io", "/?a", [])]),
    ("Query(`a={n:[0-9]+}x`)", [("a.io", "/?a=12x", []), ("a.io", "/?a=x", []), ("a.io", "/?a=12xx", [])]),
    ("Host(`a.io`) && !(Path(`/a`) || Path(`/b`))", [("a.io", target, []) for target in ("/a", "/b", "/c")]),
]  # fmt: skip


def test_a_v2_rule_means_what_we_read_and_write_as_v3(traefik: StartTraefik) -> None:
    routers: dict[str, dict[str, Json]] = {}
    for index, (rule, _) in enumerate(V2):
        routers[f"two{index}"] = {"rule": rule, "ruleSyntax": "v2", "entryPoints": [f"two{index}"]}
        routers[f"three{index}"] = {"rule": print_http(parse_http_v2(rule)[0]), "entryPoints": [f"three{index}"]}
    running = traefik({"rules.yml": file_of(routers)}, entry_points=list(routers))
    statuses = set()
    for index, (rule, asked) in enumerate(V2):
        for host, target, headers in asked:
            two = running.request(target, host=host, headers=headers, entry_point=f"two{index}").status
            three = running.request(target, host=host, headers=headers, entry_point=f"three{index}").status
            meant = says(parse_http_v2(rule)[0], host, target, headers)
            assert two == three == meant, (rule, routers[f"three{index}"]["rule"], host, target, headers)
            statuses.add((index, two))
    assert {status for _, status in statuses} == {HIT, MISS}


def test_tcp_rules_that_traefik_refuses_are_refused(traefik: StartTraefik) -> None:
    rules = ["ALPN(`acme-tls/1`)", "HostSNI(`a`, `b`)", "HostSNIRegexp(`é`)", "HostSNI(`a b`)", "Host(`a`)"]
    tcp: dict[str, dict[str, Json]] = {f"t{index}": {"rule": rule, "tls": {}} for index, rule in enumerate(rules)}
    shown = traefik({"rules.yml": file_of({}, tcp)}).items("tcpRouters")
    assert {router["status"] for router in shown.values()} == {"disabled"}
    for rule in rules:
        with pytest.raises(RuleError):
            parse_tcp(rule)


def test_a_reload_is_waited_for_and_a_refused_file_is_said(traefik: StartTraefik) -> None:
    running = traefik({"a.yml": file_of({"one": {"rule": "Path(`/1`)"}})})
    assert set(running.items("routers")) == {"one"}
    running.write({"a.yml": file_of({"two": {"rule": "Path(`/2`)"}})})
    assert set(running.items("routers")) == {"two"}
    assert [running.request(target).status for target in ("/1", "/2")] == [MISS, HIT]
    with pytest.raises(TraefikError, match="refuses a file"):
        running.write({"a.yml": "http: {routers: {one: {nonsense: 1}}}"})
    running.stop()
    with pytest.raises(ConnectionRefusedError):
        running.request("/2")
