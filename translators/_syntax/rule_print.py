"""Match trees to Traefik's rules in the v3 syntax. The way there is `rule_read.py`; both are offered by `rule.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

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
    leaves,
)
from pinfeather.model.noun import Template
from pinfeather.translators._syntax.go_text import quote_go
from pinfeather.translators._syntax.rule_cookie import write_regex, write_value
from pinfeather.translators._syntax.rule_grammar import DEPTH, LENGTH
from pinfeather.translators._syntax.rule_read import flat

_EMPTY_REGEX = "(?:)"
_EMPTY_VALUE = "^$"
_ACME = "acme-tls/1"


class Unsayable(Exception):  # noqa: N818 - the word for what it is
    """A match that a rule cannot say. `leaf` is the condition it fails on (None: the tree as a whole)."""

    def __init__(self, message: str, leaf: Leaf | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.leaf = leaf


def print_http(match: Match, *, templates: bool = False) -> str:
    """The rule of an HTTP match, in the v3 syntax. Raises Unsayable: see `why_not_http`.

    With `templates`, those are printed to the letter, between backticks, and the rule is a `Template` itself.
    """
    return print_rule(match, _http_call, templates=templates)


def print_tcp(match: Match, *, templates: bool = False) -> str:
    """The rule of a TCP match, in the v3 syntax. Raises Unsayable: see `why_not_tcp`."""
    return print_rule(match, _tcp_call, templates=templates)


def why_not_http(match: Match, *, templates: bool = False) -> str | None:
    """Why no rule of an HTTP router says this match, or None if one does."""
    return _why_not(match, _http_call, templates=templates)


def why_not_tcp(match: Match, *, templates: bool = False) -> str | None:
    """Why no rule of a TCP router says this match, or None if one does."""
    return _why_not(match, _tcp_call, templates=templates)


def print_rule(match: Match, call: Callable[[Leaf], str], *, templates: bool) -> str:
    """The rule of a match whose leaves `call` prints. Raises Unsayable."""
    text, _ = _part(flat(match), call if templates else _without_templates(call), 0)
    if len(text) > LENGTH:
        raise Unsayable(f"its rule has {len(text)} characters, more than {LENGTH}")
    return Template(text) if templates and any(map(_has_template, leaves(match))) else text


def _why_not(match: Match, call: Callable[[Leaf], str], *, templates: bool) -> str | None:
    try:
        print_rule(match, call, templates=templates)
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


def _part(match: Match, call: Callable[[Leaf], str], depth: int) -> tuple[str, int]:
    if depth >= DEPTH:
        raise Unsayable(f"it is nested more than {DEPTH} deep")
    if isinstance(match, AllOf):
        return " && ".join([_held(part, call, _BOTH, depth) for part in match.all]), _BOTH
    if isinstance(match, AnyOf):
        return " || ".join([_held(part, call, _EITHER, depth) for part in match.any]), _EITHER
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
    if (call := _HTTP.get(type(leaf))) is None:
        raise Unsayable("a condition on TCP has no place in the rule of an HTTP router", leaf)
    return call(leaf)


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


@lru_cache(maxsize=8)
def _without_templates(call: Callable[[Leaf], str]) -> Callable[[Leaf], str]:
    def without(leaf: Leaf) -> str:
        if _has_template(leaf):
            raise Unsayable("a template has no place in a rule until it is bound to a value", leaf)
        return call(leaf)

    return without


def _has_template(leaf: Leaf) -> bool:
    for value in leaf.__dict__.values():
        if isinstance(value, Template):
            return True
        if isinstance(value, (PathMatch, ValueMatch)) and any(isinstance(text, Template) for text in value.__dict__.values()):
            return True
    return False


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


_HTTP: Mapping[type, Callable[[Any], str]] = {
    Host: lambda leaf: _call("Host", leaf.host),
    HostRegex: lambda leaf: _call("HostRegexp", _host_regex(leaf.host_regex, leaf)),
    PathIs: lambda leaf: _path(leaf.path),
    Method: lambda leaf: _call("Method", leaf.method),
    Header: lambda leaf: _header(leaf.header),
    Cookie: lambda leaf: _cookie(leaf.cookie, leaf),
    Query: lambda leaf: _query_call(leaf.query),
    ClientIP: lambda leaf: _client(leaf.client_ip, leaf),
}
