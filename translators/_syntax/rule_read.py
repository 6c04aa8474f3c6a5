"""Traefik's rules in the v3 syntax to match trees. The way back is `rule_print.py`; both are offered by `rule.py`."""

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
)
from pinfeather.model.noun import Template
from pinfeather.translators._syntax.rule_cookie import read_pattern
from pinfeather.translators._syntax.rule_grammar import Argument, Call, Negation, Node, RuleError, read

_EMPTY_REGEX = "(?:)"
_EMPTY_VALUE = "^$"
_ACME = "acme-tls/1"


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


# A condition on something that is valid is valid: this spares pydantic a second look.
def _path(path: PathMatch) -> Match:
    return PathIs.model_construct(path=path)


def _header(header: HeaderMatch) -> Match:
    return Header.model_construct(header=header)


def _cookie(cookie: CookieMatch) -> Match:
    return Cookie.model_construct(cookie=cookie)


def _query_is(query: ValueMatch) -> Match:
    return Query.model_construct(query=query)


def _regex(text: str) -> str:
    return "" if text == _EMPTY_REGEX else text


@lru_cache(maxsize=1 << 10)
def read_header_regex(name: str, regex: str) -> Match:
    """The condition that a regex on a header is: on a cookie, or on the header."""
    if isinstance(regex, Template) or isinstance(name, Template):
        return _header(HeaderMatch(name=name, regex=regex))
    if name.lower() == "cookie" and (pattern := read_pattern(regex)) is not None:
        with suppress(ValidationError):  # a value that no cookie of the model has: it stays a regex
            return _cookie(CookieMatch(name=pattern.name, value=pattern.value, regex=pattern.regex))
    if regex == _EMPTY_VALUE:
        return _header(HeaderMatch(name=name, value=""))
    return _header(HeaderMatch(name=name, regex=_regex(regex)))


def _query(a: Sequence[str]) -> Match:
    return _query_is(ValueMatch(name=a[0], value=a[1] if len(a) == 2 else ""))


def _query_regex(a: Sequence[str]) -> Match:
    return _query_is(ValueMatch(name=a[0], regex=_regex(a[1]))) if len(a) == 2 else _query(a)


_HTTP: Matchers = {
    "Host": ((1,), lambda a: Host(host=a[0])),
    "HostRegexp": ((1,), lambda a: HostRegex(host_regex=_ascii(_regex(a[0])))),
    "Path": ((1,), lambda a: _path(PathMatch(exact=a[0]))),
    "PathPrefix": ((1,), lambda a: _path(PathMatch(prefix=a[0]))),
    "PathRegexp": ((1,), lambda a: _path(PathMatch(regex=_regex(a[0])))),
    "Method": ((1,), lambda a: Method(method=a[0])),
    "Header": ((2,), lambda a: _header(HeaderMatch(name=a[0], value=a[1]))),
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


@lru_cache(maxsize=1 << 12)
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
    opened: list[Match] = []
    for part in parts:
        opened += conjuncts(part) if every else alternatives(part)
    if len(opened) == 1:
        return opened[0]
    return AllOf.model_construct(all=tuple(opened)) if every else AnyOf.model_construct(any=tuple(opened))


@lru_cache(maxsize=8)
def _spellings(known: tuple[str, ...]) -> Mapping[str, str]:
    """The own name of every spelling. Traefik takes a name exact, in lower, upper or title case."""
    return {each: name for name in reversed(known) for each in (name, name.lower(), name.upper(), name.lower().capitalize())}


def matcher_name(call: Call, known: tuple[str, ...]) -> str:
    """The matcher's own name. Raises RuleError."""
    if (name := _spellings(known).get(call.name)) is not None:
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
    counts, make = matchers.get(call.name) or matchers[matcher_name(call, tuple(matchers))]
    arguments = full_arguments(call)
    if len(arguments) not in counts:
        wanted = " or ".join(map(str, counts))
        instead = f"write {call.name}(…) || {call.name}(…)" if counts == (1,) else ""
        raise RuleError(f"{call.name} takes {wanted} argument{'s' * (counts != (1,))}, not {len(arguments)}", call.offset, instead)
    texts = [argument.text for argument in arguments]
    if expressions is not None:
        texts = [templated(text, expressions) for text in texts]
    try:
        return _made(make, tuple(texts))
    except ValueError as refusal:
        raise _refused(refusal, arguments) from None


@lru_cache(maxsize=1 << 12)
def _made(make: Make, texts: tuple[str, ...]) -> Match:
    """One condition. A rule and its canaries' rules have most of theirs in common, and what is one object is compared for nothing."""
    return make(texts)


def built(make: Callable[[], Match], arguments: Sequence[Argument]) -> Match:
    """What `make` makes of the arguments; a noun's refusal becomes a RuleError at the argument it is about."""
    try:
        return make()
    except ValueError as refusal:
        raise _refused(refusal, arguments) from None


def _refused(refusal: ValueError, arguments: Sequence[Argument]) -> RuleError:
    if not isinstance(refusal, ValidationError):
        return RuleError(str(refusal), arguments[-1].offset)
    first = refusal.errors(include_url=False, include_context=False, include_input=False)[0]
    about = arguments[0] if first["loc"][-1:] == ("name",) else arguments[-1]
    return RuleError(first["msg"], about.offset)


# The form that a rule keeps --------------------------------------------------------------------------------------------


_FOLDED = frozenset((Header, HostRegex, ServerNameRegex, PathIs, Query))


def flat(match: Match) -> Match:
    """The form of a match that a rule keeps: no `all` inside an `all`, no group of one, and the one noun where two
    say the same (a regex on the Cookie header that is a cookie, a header regex `^$`, an empty regex).

    What has this form already is the same object.
    """
    if isinstance(match, AllOf):
        return _flat_group(match, match.all)
    if isinstance(match, AnyOf):
        return _flat_group(match, match.any)
    if isinstance(match, Not):
        inner = flat(match.none)
        return match if inner is match.none else negated(inner)
    return _folded(match)


def _flat_group(group: AllOf | AnyOf, parts: Sequence[Match]) -> Match:
    made = [flat(part) for part in parts]
    same = all(one is other for one, other in zip(made, parts, strict=True))
    if same and len(made) > 1 and type(group) not in map(type, made):
        return group
    return _group(isinstance(group, AllOf), made)


def _folded(leaf: Leaf) -> Match:
    if type(leaf) not in _FOLDED:
        return leaf
    if isinstance(leaf, Header) and (regex := leaf.header.regex) is not None and not isinstance(regex, Template):
        made = leaf if isinstance(leaf.header.name, Template) else read_header_regex(leaf.header.name, regex)
        return leaf if made == leaf else made
    if isinstance(leaf, HostRegex) and leaf.host_regex == _EMPTY_REGEX:
        return HostRegex(host_regex="")
    if isinstance(leaf, ServerNameRegex) and leaf.sni_regex == _EMPTY_REGEX:
        return ServerNameRegex(sni_regex="")
    if isinstance(leaf, PathIs) and leaf.path.regex == _EMPTY_REGEX:
        return _path(PathMatch(regex=""))
    if isinstance(leaf, Query) and leaf.query.regex == _EMPTY_REGEX:
        return _query_is(ValueMatch(name=leaf.query.name, regex=""))
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
