"""The rule grammar: what is read, what is written, and that both undo each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import re2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

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
from pinfeather.model.noun import Template
from pinfeather.translators._syntax import rule, rule_grammar
from pinfeather.translators._syntax.go_template import escape_actions, first_action, has_action, unescape_actions
from pinfeather.translators._syntax.rule import RuleError, Unsayable, flat, parse_http, parse_tcp, print_http, print_tcp
from pinfeather.translators._syntax.rule_cookie import cookie_regex_fits, read_pattern, write_regex, write_value
from pinfeather.translators._syntax.rule_v2 import PORT_NOTE, QUERY_NOTE, parse_http_v2, parse_tcp_v2


def host(name: str) -> Host:
    return Host(host=name)


def path(**kind: str) -> PathIs:
    return PathIs(path=PathMatch(**kind))


def header(name: str, **kind: str) -> Header:
    return Header(header=HeaderMatch(name=name, **kind))


def cookie(name: str, **kind: str) -> Cookie:
    return Cookie(cookie=CookieMatch(name=name, **kind))


def query(name: str, **kind: str) -> Query:
    return Query(query=ValueMatch(name=name, **kind))


def no(match: Match) -> Not:
    return Not.model_validate({"not": match})


def every(*parts: Match) -> AllOf:
    return AllOf(all=parts)


def some(*parts: Match) -> AnyOf:
    return AnyOf(any=parts)


A, B, C, D = host("a.io"), host("b.io"), path(prefix="/c"), Method(method="GET")

CANONICAL: list[tuple[str, Match]] = [
    ("Host(`a.io`)", A),
    ("Host(`*`)", host("*")),
    ("Host(`*.a.io`)", host("*.a.io")),
    (r"HostRegexp(`^a\.(io|com)$`)", HostRegex(host_regex=r"^a\.(io|com)$")),
    ("Path(`/x`)", path(exact="/x")),
    ("PathPrefix(`/x`)", path(prefix="/x")),
    ("PathRegexp(`^/x/[0-9]+$`)", path(regex="^/x/[0-9]+$")),
    ("PathRegexp(`(?:)`)", path(regex="")),
    ("Method(`GET`)", D),
    ("Header(`X-A`, `b c`)", header("X-A", value="b c")),
    ("HeaderRegexp(`X-A`, `^$`)", header("X-A", value="")),
    ("HeaderRegexp(`X-A`, `^b`)", header("X-A", regex="^b")),
    ("HeaderRegexp(`X-A`, `(?:)`)", header("X-A", regex="")),
    ("Query(`k`)", query("k", value="")),
    ("Query(`k`, `v`)", query("k", value="v")),
    ("QueryRegexp(`k`, `^v`)", query("k", regex="^v")),
    ("ClientIP(`10.0.0.0/8`)", ClientIP(client_ip="10.0.0.0/8")),
    ("ClientIP(`::1`)", ClientIP(client_ip="::1")),
    (r"HeaderRegexp(`Cookie`, `(?:^|;)[ \t]*canary=v2[ \t]*(?:;|$)`)", cookie("canary", value="v2")),
    (r"HeaderRegexp(`Cookie`, `(?:^|;)[ \t]*a\.b=v\.2[ \t]*(?:;|$)`)", cookie("a.b", value="v.2")),
    (r"HeaderRegexp(`Cookie`, `(?:^|;)[ \t]*c=[ \t]*(?:;|$)`)", cookie("c", value="")),
    (r"HeaderRegexp(`Cookie`, `(?:^|;)[ \t]*c=[^;]*(?:beta)`)", cookie("c", regex="beta")),
    (r"HeaderRegexp(`Cookie`, `(?:^|;)[ \t]*c=(?:(v2|v3))[ \t]*(?:;|$)`)", cookie("c", regex="^(v2|v3)$")),
    (r"HeaderRegexp(`Cookie`, `(?:^|;)[ \t]*c=(?:user-[^;]*)`)", cookie("c", regex="^user-.*")),
    (r"HeaderRegexp(`Cookie`, `.*canary=v2.*`)", header("Cookie", regex=".*canary=v2.*")),
    (r"HeaderRegexp(`Cookie`, `(^|;\s*)canary=v2(;|$)`)", header("Cookie", regex=r"(^|;\s*)canary=v2(;|$)")),
    ("Host(`a.io`) && PathPrefix(`/c`) && Method(`GET`)", every(A, C, D)),
    ("Host(`a.io`) && PathPrefix(`/c`) || Host(`b.io`)", some(every(A, C), B)),
    ("(Host(`a.io`) || Host(`b.io`)) && PathPrefix(`/c`)", every(some(A, B), C)),
    ("!Host(`a.io`) && !(Host(`b.io`) || PathPrefix(`/c`))", every(no(A), no(some(B, C)))),
    ("!!Host(`a.io`)", no(no(A))),
    ('PathPrefix("/`x")', path(prefix="/`x")),
    ('Header(`X`, "`\\"\\\\")', header("X", value='`"\\')),
    ("PathPrefix(`/é/😀`)", path(prefix="/é/😀")),
    ('PathRegexp("\\x0a\\x7f\\u00e9\\U0001f600`")', path(regex="\n\x7fé😀`")),
    ('PathRegexp("\\x0d")', path(regex="\r")),
    ('Path(`/{{ env "HOME" }}`)', path(exact='/{{ env "HOME" }}')),
    ("Path(`/x') || PathPrefix('/`)", path(exact="/x') || PathPrefix('/")),
]


@pytest.mark.parametrize(("text", "match"), CANONICAL, ids=[text for text, _ in CANONICAL])
def test_canonical_text_is_read_and_written(text: str, match: Match) -> None:
    assert parse_http(text) == match
    assert print_http(match) == text


SPELLINGS: list[tuple[str, Match]] = [
    ('Host("A.io")', A),
    ('Host("\\x61\\u002e\\151\\U0000006f")', A),
    ("host(`a.io`)", A),
    ("HOST(`a.io`)", A),
    ("Pathprefix(`/c`) ", C),
    ("hostregexp(`x`)", HostRegex(host_regex="x")),
    ("  Host ( `a.io` , ) // the shop\n\n", A),
    ("Host(`a.io`) && // first\n PathPrefix(`/c`)", every(A, C)),
    ("Host(`a.io`) /* and */ && PathPrefix(`/c`)", every(A, C)),
    ("(\nHost(\n`a.io`,\n) ||\n Host(`b.io`))\n", some(A, B)),
    ("Host(`a.io`) || Host(`b.io`) && PathPrefix(`/c`)", some(A, every(B, C))),
    ("Host(`a.io`) && (Host(`b.io`) && (PathPrefix(`/c`)))", every(A, B, C)),
    ("((((Host(`a.io`)))))", A),
    ("PathPrefix(`/\rc`)", C),
    ("Method(`get`)", D),
    ("QueryRegexp(`k`)", query("k", value="")),
    ("ClientIP(`10.1.2.3/8`)", ClientIP(client_ip="10.0.0.0/8")),
    (r"HeaderRegexp(`cookie`, `(^|;\s*)canary=v2\s*(;|$)`)", cookie("canary", value="v2")),
    (r"HeaderRegexp(`Cookie`, `(?:^|;\s*)canary=v\-2[ \t]*(;|$)`)", cookie("canary", value="v-2")),
    ('HeaderRegexp("Cookie", "(^|;)[ \\\\t]*canary=v2[ \\\\t]*($|;)")', cookie("canary", value="v2")),
]


@pytest.mark.parametrize(("text", "match"), SPELLINGS, ids=[text for text, _ in SPELLINGS])
def test_other_spellings_are_read(text: str, match: Match) -> None:
    assert parse_http(text) == match


REFUSED: list[tuple[str, int, str]] = [  # the offset, and a part of the message or of what to write instead
    ("", 0, "empty"),
    (" \n", 0, "empty"),
    ("Host('a.io')", 5, "backquotes"),
    ("Host(`a.io`) & Host(`b.io`)", 13, "write &&"),
    ("Host(`a.io`) | Host(`b.io`)", 13, "write ||"),
    ("Host(`a.io`) and Host(`b.io`)", 13, "write &&"),
    ("Host(`a.io`) OR Host(`b.io`)", 13, "write ||"),
    ("Host(`a.io`), Host(`b.io`)", 12, "join matchers"),
    ("Host(`a.io`) Host(`b.io`)", 13, "join matchers"),
    ("Host(`a.io`);PathPrefix(`/`)", 12, "join matchers"),
    ("Host:a.io", 4, "Traefik 1"),
    ("Host(`a.io`) == Host(`b.io`)", 13, "'='"),
    ("Host(`a.io`)\n&& Host(`b.io`)", 12, "end of the line"),
    ("(Host(`a.io`)\n)", 13, "end of the line"),
    ("Host(`a.io`\n)", 11, "comma"),
    ("Host(`a.io`) /* x\n */ && Host(`b.io`)", 13, "end of the line"),
    ("Host\n(`a.io`)", 0, "write Host"),
    ("Host(`a.io`, `b.io`)", 0, "1 argument, not 2"),
    ("Header(`X`)", 0, "2 arguments, not 1"),
    ("Query(`a`, `b`, `c`)", 0, "1 or 2 arguments"),
    ("Host()", 0, "no argument"),
    ("Host(``)", 5, "empty"),
    ("Header(`X`, ``)", 12, "empty"),
    ("Hots(`a.io`)", 0, "write Host"),
    ("Headers(`a`, `b`)", 0, "write Header"),
    ("HostHeader(`a`)", 0, "write Host"),
    ("pathPrefix(`/a`)", 0, "write PathPrefix"),
    ("Cookie(`a`, `b`)", 0, "no matcher"),
    ("Host", 0, "no parenthesis"),
    ("`a.io`", 0, "inside a matcher"),
    ("Host(Host(`a`))", 5, "text in backquotes"),
    ("Host((`a`))", 5, "text in backquotes"),
    ("Host(`a.io`", 11, "')' is wanted"),
    ("(Host(`a.io`)", 13, "')' is wanted"),
    ("Host(`a.io`) &&", 15, "end of the rule"),
    ("!", 1, "matcher"),
    ("Host(`a.io", 5, "closing"),
    ('Host("a.io)', 5, "closing"),
    ('Host("a\nb")', 5, "closing"),
    ("Host(`a`) /* x", 10, "no end"),
    ('Host("\\q")', 6, "no escape"),
    ('Host("\\x4")', 6, "digits"),
    ('Host("\\400")', 6, "byte"),
    ('Host("\\ud800")', 6, "no character"),
    ('PathPrefix("/\\xff")', 11, "UTF-8"),
    ("Host(`a\0`)", 7, "U+0000"),
    ("Host(`a\ud800`)", 7, "U+D800"),
    ("Host(`a.io:80`)", 5, "port"),
    ("Host(`é.io`)", 5, "punycode"),
    ("HostRegexp(`é`)", 11, "ASCII"),
    ("Path(`x`)", 5, "begin with '/'"),
    ("Header(`a b`, `c`)", 7, "token"),
    ("HeaderRegexp(`a`, `(`)", 18, "RE2 refuses"),
    ("PathRegexp(`(?!x)`)", 11, "RE2 refuses"),
    ("Method(`G T`)", 7, "token"),
    ("ClientIP(`x`)", 9, "IP address"),
    ("ClientIP(`fe80::1%eth0`)", 9, "IP address"),
    ("ClientIP(`10.0.0.0/255.0.0.0`)", 9, "IP address"),
    ("(" * 200 + "Host(`a`)" + ")" * 200, rule.DEPTH, "deep"),
    ("!" * 200 + "Host(`a`)", rule.DEPTH, "deep"),
    ("(" * 100_000, rule.LENGTH, "characters"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "offset", "words"), REFUSED, ids=[text[:40] for text, _, _ in REFUSED])
def test_refused(text: str, offset: int, words: str) -> None:
    with pytest.raises(RuleError) as refusal:
        parse_http(text)
    problem = refusal.value
    assert words in f"{problem.message}; {problem.instead}"
    assert problem.offset == offset


TCP: list[tuple[str, Match]] = [
    ("HostSNI(`*`)", ServerNameIs(sni="*")),
    ("HostSNI(`a.io`) && !ClientIP(`10.0.0.1`)", every(ServerNameIs(sni="a.io"), no(ClientIP(client_ip="10.0.0.1")))),
    (r"HostSNIRegexp(`^a\.`) || ALPN(`h2`)", some(ServerNameRegex(sni_regex=r"^a\."), Alpn(alpn="h2"))),
]


@pytest.mark.parametrize(("text", "match"), TCP)
def test_tcp(text: str, match: Match) -> None:
    assert parse_tcp(text) == match
    assert print_tcp(match) == text


@pytest.mark.parametrize("text", ["Host(`a`)", "ALPN(`acme-tls/1`)", "HostSNI(`a`, `b`)", "HostSNIRegexp(`é`)"])
def test_tcp_refused(text: str) -> None:
    with pytest.raises(RuleError):
        parse_tcp(text)


@pytest.mark.parametrize(
    ("match", "words"),
    [
        (HostRegex(host_regex="é"), "ASCII"),
        (cookie("c", regex="a b"), "cookie"),
        (cookie("c", regex="^a|b"), "cookie"),
        (ServerNameIs(sni="a"), "TCP"),
        (host(Template("{{ .h }}")), "template"),
        (every(A, header("X", value=Template("{{ .h }}"))), "template"),
        (ClientIP(client_ip="fe80::1%eth0"), "zone"),
    ],
)
def test_unsayable_in_http(match: Match, words: str) -> None:
    with pytest.raises(Unsayable):
        print_http(match)
    assert words in (rule.why_not_http(match) or "")


def test_unsayable_in_tcp() -> None:
    assert "HTTP" in (rule.why_not_tcp(A) or "")
    assert "protocol" in (rule.why_not_tcp(Alpn(alpn="acme-tls/1")) or "")
    assert rule.why_not_tcp(Alpn(alpn="h2")) is None


def test_priorities() -> None:
    assert rule.rule_length("Path(`/é`)") == 11
    assert [rule.tcp_rule_length(text) for text in ("HostSNI(`*`)", '!hostsni("*")', "HostSNI(`*.io`)", "HostSNI(")] == [-1, -1, 15, 8]


# v2 --------------------------------------------------------------------------------------------------------------------

V2: list[tuple[str, Match, tuple[str, ...]]] = [
    ("Host(`A.io`, `b.io`)", some(A, B), ()),
    ("HostHeader(`a.io`)", A, ()),
    ("Host(`a.io`, `b.io`) && !PathPrefix(`/c`)", every(some(A, B), no(C)), ()),
    ("HostRegexp(`a.io`, `{sub:[a-z]+}.b.io`)", some(A, HostRegex(host_regex=r"^(?:[a-z]+)\.b\.io$")), ()),
    ("HostRegexp(`{sub}.B.io`)", HostRegex(host_regex=r"(?i)^[^.]+\.B\.io$"), ()),
    ("HostRegexp(`{x:a{1,2}}.io`)", HostRegex(host_regex=r"^(?:a{1,2})\.io$"), ()),
    ("HostRegexp(`*.io`)", HostRegex(host_regex=r"^\*\.io$"), ()),
    ("HostRegexp(`{x:.+}:8080`)", HostRegex(host_regex="^(?:.+):8080$"), (PORT_NOTE,)),
    ("Path(`/a`, `/b/{id:[0-9]+}/{rest}`)", some(path(exact="/a"), path(regex="^/b/(?:[0-9]+)/[^/]+$")), ()),
    ("PathPrefix(`/c`)", C, ()),
    ("PathPrefix(`/v{n:(1|2)}.0`)", path(regex=r"^/v(?:(1|2))\.0"), ()),
    ("Method(`GET`, `PUT`)", some(D, Method(method="PUT")), ()),
    ("ClientIP(`10.0.0.0/8`, `::1`)", some(ClientIP(client_ip="10.0.0.0/8"), ClientIP(client_ip="::1")), ()),
    ("Headers(`A`, `1`, `B`, `2`)", every(header("A", value="1"), header("B", value="2")), ()),
    ("Headers(`A`, `1`, `A`, `2`)", header("A", value="2"), ()),
    ("HeadersRegexp(`A`, `^1`)", header("A", regex="^1"), ()),
    (r"HeadersRegexp(`Cookie`, `(^|;\s*)canary=v2\s*(;|$)`)", cookie("canary", value="v2"), ()),
    ("Query(`a=1`, `b=`)", every(query("a", value="1"), query("b", regex="^.*$")), (QUERY_NOTE,)),
    ("Query(`a`, `1`)", query("a", value="1"), (QUERY_NOTE,)),
    ("Query(`a={n:[0-9]+}x`)", query("a", regex="^(?:[0-9]+)x$"), (QUERY_NOTE,)),
]


@pytest.mark.parametrize(("text", "match", "notes"), V2, ids=[text for text, _, _ in V2])
def test_v2(text: str, match: Match, notes: tuple[str, ...]) -> None:
    assert parse_http_v2(text) == (match, notes)
    assert parse_http(print_http(match)) == match


V2_REFUSED: list[tuple[str, int, str]] = [
    ("Host(`*`)", 5, "wildcard"),
    ("Host(`a.io`, `*.b.io`)", 13, "wildcard"),
    ("Header(`a`, `b`)", 0, "write Headers"),
    ("Headers(`a`)", 0, "pairs"),
    ("Query(`a`)", 0, "odd"),
    ("Query(`{a}=1`)", 6, "template"),
    ("Path(`a`)", 5, "begin with '/'"),
    ("Path(`{a}`)", 5, "begin with '/'"),
    ("Path(`/a{`)", 5, "balanced"),
    ("Path(`/a}{`)", 5, "balanced"),
    ("Path(`/{}`)", 5, "lacks"),
    ("Path(`/{a:}`)", 5, "lacks"),
    ("Path(`/{a:(}`)", 5, "RE2 refuses"),
    ("Path(`/{a:x)|(y}`)", 5, "RE2 refuses"),
    ("Path(`/a`, `/b`, ``)", 17, "empty"),
    ("HostRegexp(`é`)", 11, "ASCII"),
    ("PathRegexp(`a`)", 0, "no matcher"),
]


@pytest.mark.parametrize(("text", "offset", "words"), V2_REFUSED, ids=[text for text, _, _ in V2_REFUSED])
def test_v2_refused(text: str, offset: int, words: str) -> None:
    with pytest.raises(RuleError) as refusal:
        parse_http_v2(text)
    assert words in f"{refusal.value.message}; {refusal.value.instead}"
    assert refusal.value.offset == offset


def test_v2_tcp() -> None:
    assert parse_tcp_v2("HostSNI(`a.io`, `b.io`)")[0] == some(ServerNameIs(sni="a.io"), ServerNameIs(sni="b.io"))
    assert parse_tcp_v2("HostSNI(`*`)")[0] == ServerNameIs(sni="*")
    assert parse_tcp_v2("HostSNIRegexp(`{a}.b.io`) && ALPN(`h2`, `x`)")[0] == every(
        ServerNameRegex(sni_regex=r"^[^.]+\.b\.io$"), some(Alpn(alpn="h2"), Alpn(alpn="x"))
    )
    with pytest.raises(RuleError, match="beside other names"):
        parse_tcp_v2("HostSNI(`a.io`, `*`)")


# Cookies ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("regex", "fits"),
    [
        ("v2", True), ("^v2$", True), ("^(v2|v3)$", True), ("a|b", True), (r"v\.2", True), ("[a-z_.-]+", True), (r"^\d{2,3}", True),
        ("", True), ("^$", True), ("^user-.*$", True), ("(?i)beta", True), (r"\bv2\b", True), ("(?i:a)|b", True),
        (".", False), ("v.", False), (".+", False), ("^a|b$", False), ("a$b", False), ("(^a)", False), (r"\s", False), (r"\W", False),
        ("[^a]", False), ("[ -z]", False), ("[+-~]", False), ("a b", False), ("a;b", False), (r"\;", False), (r"\x3b", False),
        (r"\b.*a", False), (r"\B", False), ("(?s)a", False), (r"a\$", True), (r"\A", False), ("[[:alpha:]]", False), ("(?P<a>b)", False),
    ],
)  # fmt: skip
def test_which_cookie_regexes_fit(regex: str, fits: bool) -> None:
    assert cookie_regex_fits(regex) is fits


def values_of(name: str, header_value: str) -> list[str]:
    """The values of a cookie in one header, as the model has it, written apart from the product."""
    pairs = (part.strip(" \t").partition("=") for part in header_value.split(";"))
    return [value for found, equals, value in pairs if equals and found == name]


_PIECES = st.sampled_from(["v2", "v", "2", "a", "b", "-", ".", "=", "c=", "c=v2", "xc=v2", ";", "; ", " ;", " ", "\t", "é", "B"])
_HEADER = st.lists(_PIECES, max_size=12).map(lambda pieces: "".join(pieces).strip(" \t"))
_REGEX = st.recursive(
    st.sampled_from(["v2", "a", "[a-b]", r"\d", r"\w", ".*", r"\b", "2", "(?i)b", r"\.", "-", "é"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        inner.map(lambda one: f"(?:{one})?"),
        inner.map(lambda one: f"(?:{one})+"),
    ),
    max_leaves=5,
)


def found(pattern: str, text: str) -> bool:
    return re2.search(pattern, text) is not None


@settings(max_examples=1500, deadline=None)
@given(regex=_REGEX, start=st.sampled_from(["", "^"]), end=st.sampled_from(["", "$"]), text=_HEADER)
def test_a_cookie_regex_in_the_header_finds_what_it_finds_in_the_value(regex: str, start: str, end: str, text: str) -> None:
    pattern = write_regex("c", start + regex + end)
    if pattern is not None:
        assert found(pattern, text) == any(found(start + regex + end, value) for value in values_of("c", text))


@settings(max_examples=500, deadline=None)
@given(value=st.sampled_from(["v2", "", "v", "c=v2", "a b", "é", ".", "v.2"]), text=_HEADER)
def test_an_exact_cookie_is_found_exactly(value: str, text: str) -> None:
    pattern = write_value("c", value)
    assert found(pattern, text) == (value in values_of("c", text))
    for spelling in (r"(^|;\s*)", r"(?:^|;)\s*"):
        other = spelling + pattern.removeprefix(r"(?:^|;)[ \t]*")
        assert read_pattern(other) == read_pattern(pattern)
        assert found(other, text) == found(pattern, text)


# Laws ------------------------------------------------------------------------------------------------------------------

_HOSTILE = st.text(
    st.one_of(
        st.sampled_from(list("`\"'\\{}()|&!,;/*\n\r\t\x00\x7f\x85\ufeff\u2028\u202e😀é $^.?+[]=%")),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=12,
) | st.sampled_from(["x`) || PathPrefix(`/", 'x") || Host("', "{{ env `A` }}", "{{`{{`}}", "\\", "\\`", "`", "//", "/*", "(?:)", "^$"])


def _if_built(make: object, *arguments: str) -> Match | None:
    assert callable(make)
    try:
        built: Match = make(*arguments)
    except ValidationError:
        return None
    return built


def _leaves(*makes: object) -> st.SearchStrategy[Match]:
    def of(make: object) -> st.SearchStrategy[Match]:
        name = st.sampled_from(["X-A", "cookie", "Cookie", "k", "a|b", "$^"])
        return st.tuples(name, _HOSTILE).map(lambda pair: _if_built(make, *pair)).filter(lambda leaf: leaf is not None)  # type: ignore[return-value]

    return st.one_of([of(make) for make in makes])


def _quoted(text: str) -> str:
    return re2.escape(text) if text.isascii() and "\0" not in text else text


_PLAIN: list[Match] = [A, B, C, D, host("*.c.io"), ClientIP(client_ip="::1"), cookie("c", regex="^v.*$")]
_PLAIN_TCP: list[Match] = [ServerNameIs(sni="*"), ServerNameIs(sni="a.io"), ClientIP(client_ip="10.0.0.0/8")]
_HTTP_LEAF = _leaves(
    lambda _, text: path(exact="/" + text),
    lambda _, text: path(prefix="/" + text),
    lambda _, text: path(regex=text),
    lambda _, text: path(regex=_quoted(text)),
    lambda _, text: HostRegex(host_regex=_quoted(text)),
    lambda name, text: header(name, value=text),
    lambda name, text: header(name, regex=text),
    lambda name, text: header("Cookie", regex=write_value(name, text)),
    lambda name, text: header("Cookie", regex=rf"(?:^|;)[ \t]*{name}=[^;]*(?:{text})"),
    lambda name, text: cookie(name, value=text),
    lambda name, text: cookie(name, regex=text),
    lambda name, text: query(text, value=name),
    lambda name, text: query(name, value=text),
    lambda name, text: query(name, regex=_quoted(text)),
) | st.sampled_from(_PLAIN)
_TCP_LEAF = _leaves(
    lambda _, text: ServerNameRegex(sni_regex=_quoted(text)),
    lambda _, text: Alpn(alpn=text),
) | st.sampled_from(_PLAIN_TCP)


def _trees(leaf: st.SearchStrategy[Match]) -> st.SearchStrategy[Match]:
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: every(*parts)),
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: some(*parts)),
            inner.map(no),
        ),
        max_leaves=8,
    )


_SETTINGS = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@_SETTINGS
@given(_trees(_HTTP_LEAF))
def test_what_is_printed_is_read_back(match: Match) -> None:
    if rule.why_not_http(match) is None:
        text = print_http(match)
        assert parse_http(text) == flat(match)
        assert print_http(parse_http(text)) == text


@_SETTINGS
@given(_trees(_TCP_LEAF))
def test_what_is_printed_for_tcp_is_read_back(match: Match) -> None:
    if rule.why_not_tcp(match) is None:
        assert parse_tcp(print_tcp(match)) == flat(match)


def refusal_of(parse: Callable[[str], object], text: str) -> RuleError | None:
    try:
        parse(text)
    except RuleError as problem:
        return problem
    return None


_BITS = st.sampled_from(
    ["Host", "Path", "HeaderRegexp", "Query", "HostSNI", "(", ")", "`", '"', "'", ",", "&&", "||", "!", "\n", " ", "\\", "\\x", "\\u00",
     "//", "/*", "*/", "`/a`", "`a`", "{", "}", "{a:", "=", "*", "&", "é", "\0", "\ud800", "`Cookie`", r"(?:^|;)[ \t]*a=[^;]*(?:", ")("]
)  # fmt: skip
_GARBAGE = st.lists(_BITS, max_size=25).map("".join) | st.text(max_size=60)


@settings(max_examples=1500, deadline=None)
@given(_GARBAGE)
def test_garbage_raises_rule_errors_only(text: str) -> None:
    for parse in (parse_http, parse_tcp, parse_http_v2, parse_tcp_v2):
        problem = refusal_of(parse, text)
        assert problem is None or (problem.message and 0 <= problem.offset <= len(text))


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(["Path(%s)", "PathRegexp(%s)", "HeaderRegexp(`Cookie`, %s)", "Host(%s)", "Query(%s)"]), _HOSTILE)
def test_any_argument_raises_rule_errors_only(shape: str, text: str) -> None:
    written = shape % rule.quote_go(text)
    for parse in (parse_http, parse_http_v2):
        problem = refusal_of(parse, written)
        assert problem is None or (problem.message and 0 <= problem.offset <= len(written))


@settings(max_examples=1000, deadline=None)
@given(_HOSTILE)
def test_quotes_are_undone(text: str) -> None:
    assert rule.unquote_go(rule.quote_go(text)) == text
    assert all(c >= " " and c != "\x7f" for c in rule.quote_go(text))


@settings(max_examples=1000, deadline=None)
@given(st.text("{}`a \n", max_size=20) | _HOSTILE)
def test_actions_are_escaped(text: str) -> None:
    escaped = escape_actions(text)
    assert unescape_actions(escaped) == text
    assert not has_action(escaped)
    if "`" not in text:
        assert has_action(text) == ("{{" in text)


def test_first_action() -> None:
    assert first_action("a {{`{{`}} {{ env `X` }}") == 11
    assert first_action("a {{`{{`}} b") is None
    assert first_action("{{{`{{`}}") == 0


_TOKENS = ("Host", "x1", "(", ")", "`a.io`", "``", "`a\r`", '"b"', "`", " && ", "&&", " || ", "!", ", ", ",", " ", "\n", "// c", "²", "_")


@given(st.lists(st.sampled_from((*_TOKENS, "Host(`a`)", "Header(`a`, `b`)", "A(`a`,`b`)", "A(`a`, `b`, `c`)")), max_size=8).map("".join))
@settings(max_examples=500)
def test_a_plain_rule_is_read_as_token_by_token(text: str) -> None:
    def tried(read: Callable[[str], object]) -> object:
        try:
            return read(text)
        except RuleError as refusal:
            return refusal.message, refusal.offset, refusal.instead

    assert tried(rule_grammar.read) == tried(rule_grammar.read_tokens)


@given(_trees(_HTTP_LEAF))
def test_what_is_flat_is_the_same_object(match: Match) -> None:
    once = flat(match)
    assert flat(once) is once
