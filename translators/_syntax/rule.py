"""Traefik's rules in the v3 syntax, both ways: text to match trees and back.

Matchers and their arguments after Traefik 3.7 (pkg/muxer/http/matcher.go, pkg/muxer/tcp/matcher.go; names in
pkg/rules/parser.go). Traefik has no matcher for cookies: see `rule_cookie`. Three more conditions have a spelling of
their own because Traefik refuses an empty argument: a header whose value is empty is the regex `^$`, an empty regex is
`(?:)`, and a query parameter without a value has one argument.

`parse_http(print_http(m)) == flat(m)`, and the same for TCP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache

from pydantic import ValidationError

from pinfeather.model.diagnostics import nearest
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
    Leaf,
    Match,
    Method,
    Not,
    PathIs,
    PathMatch,
    Query,
    ServerNameIs,
    ServerNameRegex,
    ValueMatch,
    alternatives,
    conjuncts,
    leaves,
)
from pinfeather.model.noun import Template
from pinfeather.translators._syntax.go_text import LiteralError, quote_go, unquote_go
from pinfeather.translators._syntax.rule_cookie import cookie_regex_fits, read_pattern, write_regex, write_value
from pinfeather.translators._syntax.rule_grammar import DEPTH, LENGTH, Argument, Call, Negation, Node, RuleError, read

_EMPTY_REGEX = "(?:)"
_EMPTY_VALUE = "^$"
_ACME = "acme-tls/1"


class Unsayable(Exception):  # noqa: N818 - the word for what it is
    """A match that a rule cannot say. `leaf` is the condition it fails on (None: the tree as a whole)."""

    def __init__(self, message: str, leaf: Leaf | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.leaf = leaf


# Reading ---------------------------------------------------------------------------------------------------------------

Make = Callable[[Sequence[str]], Match]
Matchers = Mapping[str, tuple[tuple[int, ...], Make]]
"""By name: how many arguments, and the condition they make."""


def _ascii(text: str) -> str:
    if not isinstance(text, Template) and not text.isascii():
        raise ValueError(f"the host regex {text!r} is not ASCII, which Traefik wants; write the host in punycode")
    return text


def read_network(text: str) -> str:
    if isinstance(text, Template):
        return text
    _, slash, bits = text.partition("/")
    if "%" in text or (slash and not (bits.isascii() and bits.isdigit())):
        raise ValueError(f"{text!r} is neither an IP address nor a network such as 10.0.0.0/8")
    return text


def read_alpn(text: str) -> str:
    if text == _ACME:
        raise ValueError(f"Traefik keeps the protocol {_ACME!r} for itself")
    return text


def _regex(text: str) -> str:
    return "" if text == _EMPTY_REGEX else text


def read_header_regex(name: str, regex: str) -> Match:
    """The condition that a regex on a header is: on a cookie, or on the header."""
    if isinstance(regex, Template) or isinstance(name, Template):
        return Header(header=HeaderMatch(name=name, regex=regex))
    if name.lower() == "cookie" and (pattern := read_pattern(regex)) is not None:
        with suppress(ValidationError):  # a value that no cookie of the model has: it stays a regex
            return Cookie(cookie=CookieMatch(name=pattern.name, value=pattern.value, regex=pattern.regex))
    if regex == _EMPTY_VALUE:
        return Header(header=HeaderMatch(name=name, value=""))
    return Header(header=HeaderMatch(name=name, regex=_regex(regex)))


def _query(a: Sequence[str]) -> Match:
    return Query(query=ValueMatch(name=a[0], value=a[1] if len(a) == 2 else ""))


def _query_regex(a: Sequence[str]) -> Match:
    return Query(query=ValueMatch(name=a[0], regex=_regex(a[1]))) if len(a) == 2 else _query(a)


_HTTP: Matchers = {
    "Host": ((1,), lambda a: Host(host=a[0])),
    "HostRegexp": ((1,), lambda a: HostRegex(host_regex=_ascii(_regex(a[0])))),
    "Path": ((1,), lambda a: PathIs(path=PathMatch(exact=a[0]))),
    "PathPrefix": ((1,), lambda a: PathIs(path=PathMatch(prefix=a[0]))),
    "PathRegexp": ((1,), lambda a: PathIs(path=PathMatch(regex=_regex(a[0])))),
    "Method": ((1,), lambda a: Method(method=a[0])),
    "Header": ((2,), lambda a: Header(header=HeaderMatch(name=a[0], value=a[1]))),
    "HeaderRegexp": ((2,), lambda a: read_header_regex(a[0], a[1])),
    "Query": ((1, 2), _query),
    "QueryRegexp": ((1, 2), _query_regex),
    "ClientIP": ((1,), lambda a: ClientIP(client_ip=read_network(a[0]))),
}
_TCP: Matchers = {
    "HostSNI": ((1,), lambda a: ServerNameIs(sni=a[0])),
    "HostSNIRegexp": ((1,), lambda a: ServerNameRegex(sni_regex=_ascii(_regex(a[0])))),
    "ClientIP": ((1,), lambda a: ClientIP(client_ip=read_network(a[0]))),
    "ALPN": ((1,), lambda a: Alpn(alpn=read_alpn(a[0]))),
}
_V2_NAMES = {"Headers": "Header", "HeadersRegexp": "HeaderRegexp", "HostHeader": "Host"}


@lru_cache(maxsize=1 << 15)
def parse_http(text: str, expressions: re.Pattern[str] | None = None) -> Match:
    """The match that a router's rule says. Raises RuleError, and nothing else.

    An argument in which one of the `expressions` is found is a `Template`: some other program fills it in.
    """
    return tree(read(text), lambda call: _leaf(call, _HTTP, expressions))


@lru_cache(maxsize=1 << 12)
def parse_tcp(text: str, expressions: re.Pattern[str] | None = None) -> Match:
    """The match that a TCP router's rule says. Raises RuleError, and nothing else."""
    return tree(read(text), lambda call: _leaf(call, _TCP, expressions))


def tree(node: Node, leaf: Callable[[Call], Match]) -> Match:
    """The flat match of a syntax tree."""
    if isinstance(node, Call):
        return leaf(node)
    if isinstance(node, Negation):
        return negated(tree(node.inner, leaf))
    return _group(node.every, [tree(part, leaf) for part in node.parts])


# Parts that are valid make a group that is: `model_construct` spares pydantic the making of a validator for each kind of group.
def negated(match: Match) -> Not:
    return Not.model_construct(none=match)


def _group(every: bool, parts: Sequence[Match]) -> Match:
    opened = tuple(inner for part in parts for inner in (conjuncts(part) if every else alternatives(part)))
    if len(opened) == 1:
        return opened[0]
    return AllOf.model_construct(all=opened) if every else AnyOf.model_construct(any=opened)


def matcher_name(call: Call, known: Sequence[str]) -> str:
    """The matcher's own name. Traefik takes it exact, in lower, upper or title case. Raises RuleError."""
    for name in known:
        if call.name in (name, name.lower(), name.upper(), name.lower().capitalize()):
            return name
    close = _V2_NAMES.get(call.name) or nearest(call.name, known)
    instead = f"write {close}" if close in known else f"there are {', '.join(known)}"
    raise RuleError(f"there is no matcher {call.name!r}", call.offset, instead)


def full_arguments(call: Call) -> Sequence[Argument]:
    """The arguments, of which there must be one and none empty. Raises RuleError."""
    if not call.arguments:
        raise RuleError(f"{call.name}() has no argument", call.offset, f"write {call.name}(`value`)")
    for argument in call.arguments:
        if not argument.text:
            raise RuleError(f"an argument of {call.name} is empty, which Traefik refuses", argument.offset)
    return call.arguments


def templated(text: str, expressions: re.Pattern[str] | None) -> str:
    """The text, as a `Template` where an expression is found in it."""
    return text if expressions is None or expressions.search(text) is None else Template(text)


def _leaf(call: Call, matchers: Matchers, expressions: re.Pattern[str] | None) -> Match:
    name = matcher_name(call, tuple(matchers))
    counts, make = matchers[name]
    arguments = full_arguments(call)
    if len(arguments) not in counts:
        wanted = " or ".join(map(str, counts))
        instead = f"write {call.name}(…) || {call.name}(…)" if counts == (1,) else ""
        raise RuleError(f"{call.name} takes {wanted} argument{'s' * (counts != (1,))}, not {len(arguments)}", call.offset, instead)
    return built(lambda: make([templated(argument.text, expressions) for argument in arguments]), arguments)


def built(make: Callable[[], Match], arguments: Sequence[Argument]) -> Match:
    """What `make` makes of the arguments; a noun's refusal becomes a RuleError at the argument it is about."""
    try:
        return make()
    except ValidationError as refusal:
        first = refusal.errors(include_url=False, include_context=False, include_input=False)[0]
        about = arguments[0] if first["loc"][-1:] == ("name",) else arguments[-1]
        message = first["msg"]
    except ValueError as refusal:
        about, message = arguments[-1], str(refusal)
    raise RuleError(message, about.offset)


# Writing ---------------------------------------------------------------------------------------------------------------


def print_http(match: Match, *, templates: bool = False) -> str:
    """The rule of an HTTP match, in the v3 syntax. Raises Unsayable: see `why_not_http`.

    With `templates`, those are printed to the letter, between backticks, and the rule is a `Template` itself.
    """
    return _printed(match, _http_call if templates else _without_templates(_http_call))


def print_tcp(match: Match, *, templates: bool = False) -> str:
    """The rule of a TCP match, in the v3 syntax. Raises Unsayable: see `why_not_tcp`."""
    return _printed(match, _tcp_call if templates else _without_templates(_tcp_call))


def why_not_http(match: Match, *, templates: bool = False) -> str | None:
    """Why no rule of an HTTP router says this match, or None if one does."""
    return _why_not(match, _http_call if templates else _without_templates(_http_call))


def why_not_tcp(match: Match, *, templates: bool = False) -> str | None:
    """Why no rule of a TCP router says this match, or None if one does."""
    return _why_not(match, _tcp_call if templates else _without_templates(_tcp_call))


def print_rule(match: Match, call: Callable[[Leaf], str], *, templates: bool) -> str:
    """The rule of a match whose leaves `call` prints. Raises Unsayable."""
    return _printed(match, call if templates else _without_templates(call))


def _why_not(match: Match, call: Callable[[Leaf], str]) -> str | None:
    try:
        _printed(match, call)
    except Unsayable as refusal:
        return refusal.message
    return None


def print_leaf_http(leaf: Leaf) -> str:
    """One condition of an HTTP rule. Raises Unsayable."""
    return _http_call(leaf)


def print_leaf_tcp(leaf: Leaf) -> str:
    """One condition of a TCP rule. Raises Unsayable."""
    return _tcp_call(leaf)


_EITHER, _BOTH, _ONE = range(3)  # how tightly a printed text holds together


def _printed(match: Match, call: Callable[[Leaf], str]) -> str:
    text, _ = _part(flat(match), call, 0)
    if len(text) > LENGTH:
        raise Unsayable(f"its rule has {len(text)} characters, more than {LENGTH}")
    return Template(text) if any(map(_has_template, leaves(match))) else text


def _part(match: Match, call: Callable[[Leaf], str], depth: int) -> tuple[str, int]:
    if depth >= DEPTH:
        raise Unsayable(f"it is nested more than {DEPTH} deep")
    if isinstance(match, AllOf):
        return " && ".join(_held(part, call, _BOTH, depth) for part in match.all), _BOTH
    if isinstance(match, AnyOf):
        return " || ".join(_held(part, call, _EITHER, depth) for part in match.any), _EITHER
    if isinstance(match, Not):
        return "!" + _held(match.none, call, _ONE, depth), _ONE
    return call(match), _ONE


def _held(match: Match, call: Callable[[Leaf], str], tight: int, depth: int) -> str:
    text, tightness = _part(match, call, depth + 1)
    return text if tightness >= tight else f"({text})"


def _call(name: str, *arguments: str) -> str:
    return f"{name}({', '.join(map(_quoted, arguments))})"


def _quoted(argument: str) -> str:
    if not isinstance(argument, Template):
        return quote_go(argument)
    if "`" in argument:
        raise Unsayable("a template with a backtick has no place in a rule until it is bound to a value")
    return f"`{argument}`"


def _http_call(leaf: Leaf) -> str:
    match leaf:
        case Host(host=host):
            return _call("Host", host)
        case HostRegex(host_regex=regex):
            return _call("HostRegexp", _host_regex(regex, leaf))
        case PathIs(path=path):
            return _path(path)
        case Method(method=method):
            return _call("Method", method)
        case Header(header=header):
            return _header(header)
        case Cookie(cookie=cookie):
            return _cookie(cookie, leaf)
        case Query(query=query):
            return _query_call(query)
        case ClientIP(client_ip=network):
            return _client(network, leaf)
    raise Unsayable("a condition on TCP has no place in the rule of an HTTP router", leaf)


def _tcp_call(leaf: Leaf) -> str:
    match leaf:
        case ServerNameIs(sni=name):
            return _call("HostSNI", name)
        case ServerNameRegex(sni_regex=regex):
            return _call("HostSNIRegexp", _host_regex(regex, leaf))
        case ClientIP(client_ip=network):
            return _client(network, leaf)
        case Alpn(alpn=protocol):
            if not protocol or protocol == _ACME:
                raise Unsayable(f"Traefik refuses the protocol {protocol!r}", leaf)
            return _call("ALPN", protocol)
    raise Unsayable("a condition on HTTP has no place in the rule of a TCP router", leaf)


def _without_templates(call: Callable[[Leaf], str]) -> Callable[[Leaf], str]:
    def without(leaf: Leaf) -> str:
        if _has_template(leaf):
            raise Unsayable("a template has no place in a rule until it is bound to a value", leaf)
        return call(leaf)

    return without


def _has_template(leaf: Leaf) -> bool:
    values = (value.__dict__.values() if isinstance(value, (PathMatch, ValueMatch)) else (value,) for value in leaf.__dict__.values())
    return any(isinstance(text, Template) for inner in values for text in inner)


def _host_regex(regex: str, leaf: Leaf) -> str:
    if not isinstance(regex, Template) and not regex.isascii():
        raise Unsayable(f"Traefik refuses the host regex {regex!r}: it is not ASCII", leaf)
    return regex or _EMPTY_REGEX


def _path(path: PathMatch) -> str:
    if path.regex is not None:
        return _call("PathRegexp", path.regex or _EMPTY_REGEX)
    return _call("Path", path.exact) if path.exact is not None else _call("PathPrefix", path.prefix or "/")


def _header(header: HeaderMatch) -> str:
    if header.value:
        return _call("Header", header.name, header.value)
    return _call("HeaderRegexp", header.name, _EMPTY_VALUE if header.regex is None else header.regex or _EMPTY_REGEX)


def _query_call(query: ValueMatch) -> str:
    if query.regex is not None:
        return _call("QueryRegexp", query.name, query.regex or _EMPTY_REGEX)
    return _call("Query", query.name, query.value) if query.value else _call("Query", query.name)


def _cookie(cookie: CookieMatch, leaf: Leaf) -> str:
    if isinstance(cookie.value, Template) or isinstance(cookie.regex, Template) or isinstance(cookie.name, Template):
        raise Unsayable("a template inside of a cookie's pattern has no place in a rule until it is bound to a value", leaf)
    if cookie.value is not None:
        return _call("HeaderRegexp", "Cookie", write_value(cookie.name, cookie.value))
    pattern = write_regex(cookie.name, cookie.regex or "")
    if pattern is None:
        raise Unsayable(f"the regex {cookie.regex!r} cannot be held to one cookie's value inside the Cookie header", leaf)
    return _call("HeaderRegexp", "Cookie", pattern)


def _client(network: str, leaf: Leaf) -> str:
    if "%" in network:
        raise Unsayable(f"Traefik refuses the address {network!r}: it has a zone", leaf)
    return _call("ClientIP", network)


def flat(match: Match) -> Match:
    """The form of a match that a rule keeps: no `all` inside an `all`, no group of one, and the one noun where two
    say the same (a regex on the Cookie header that is a cookie, a header regex `^$`, an empty regex)."""
    if isinstance(match, AllOf):
        return _group(True, [flat(part) for part in match.all])
    if isinstance(match, AnyOf):
        return _group(False, [flat(part) for part in match.any])
    if isinstance(match, Not):
        return negated(flat(match.none))
    return _folded(match)


def _folded(leaf: Leaf) -> Match:
    if isinstance(leaf, Header) and (regex := leaf.header.regex) is not None and not isinstance(regex, Template):
        return leaf if isinstance(leaf.header.name, Template) else read_header_regex(leaf.header.name, regex)
    if isinstance(leaf, HostRegex) and leaf.host_regex == _EMPTY_REGEX:
        return HostRegex(host_regex="")
    if isinstance(leaf, ServerNameRegex) and leaf.sni_regex == _EMPTY_REGEX:
        return ServerNameRegex(sni_regex="")
    if isinstance(leaf, PathIs) and leaf.path.regex == _EMPTY_REGEX:
        return PathIs(path=PathMatch(regex=""))
    if isinstance(leaf, Query) and leaf.query.regex == _EMPTY_REGEX:
        return Query(query=ValueMatch(name=leaf.query.name, regex=""))
    return leaf


# Priority --------------------------------------------------------------------------------------------------------------


def rule_length(text: str) -> int:
    """Traefik's priority of an HTTP router without one: the bytes of its rule's text, blanks and quotes included."""
    return len(text.encode("utf-8", "surrogatepass"))


def tcp_rule_length(text: str) -> int:
    """The same of a TCP router: a rule that is HostSNI(`*`) alone, negated or not, has -1 (pkg/muxer/tcp/mux.go)."""
    try:
        match = parse_tcp(text)
    except RuleError:
        return rule_length(text)
    while isinstance(match, Not):
        match = match.none
    return -1 if match == ServerNameIs(sni="*") else rule_length(text)


__all__ = [
    "DEPTH", "LENGTH", "LiteralError", "RuleError", "Unsayable", "cookie_regex_fits", "flat", "parse_http", "parse_tcp",
    "print_http", "print_leaf_http", "print_leaf_tcp", "print_rule", "print_tcp", "quote_go", "rule_length", "tcp_rule_length",
    "unquote_go", "why_not_http", "why_not_tcp",
]  # fmt: skip
