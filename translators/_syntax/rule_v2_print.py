"""Rules written in the v2 syntax, for Traefik 2.11: what they say is what `rule_v2` reads of them.

The v2 syntax has no regex for a path or a query parameter, and its regexes for hosts are templates that are bound at both
ends, so those are not said. Braces mean a template there, so a path or a query parameter with one is not said either.
"""

from __future__ import annotations

from pinfeather.model.match import ClientIP, Cookie, Header, Host, Leaf, Match, Method, PathIs, PathMatch, Query, ServerNameIs, ValueMatch
from pinfeather.model.noun import Template
from pinfeather.translators._syntax.rule import Unsayable, print_leaf_http, print_leaf_tcp, print_rule

_LATER = "Traefik 2 has no word for it"
_NAMES = {"Header": "Headers", "HeaderRegexp": "HeadersRegexp"}


def print_http_v2(match: Match, *, templates: bool = False) -> str:
    """The rule of an HTTP match. Raises Unsayable: a match that v2 cannot say."""
    return print_rule(match, _http, templates=templates)


def print_tcp_v2(match: Match, *, templates: bool = False) -> str:
    """The rule of a TCP match. Raises Unsayable."""
    return print_rule(match, _tcp, templates=templates)


def _http(leaf: Leaf) -> str:
    match leaf:
        case Host(host=host):
            if "*" in host:
                raise Unsayable(f"{host!r} is no wildcard to Traefik 2", leaf)
        case PathIs(path=path):
            _plain_path(path, leaf)
        case Query(query=query):
            return _query(query, leaf)
        case Header() | Cookie():
            name, _, arguments = print_leaf_http(leaf).partition("(")
            return f"{_NAMES[name]}({arguments}"
        case Method() | ClientIP():
            pass
        case _:
            raise Unsayable(_LATER, leaf)
    return print_leaf_http(leaf)


def _plain_path(path: PathMatch, leaf: Leaf) -> None:
    text = path.exact if path.exact is not None else path.prefix
    if text is None:
        raise Unsayable("Traefik 2 has no regex for paths", leaf)
    if "{" in text or "}" in text:
        raise Unsayable(f"Traefik 2 takes the braces in {text!r} for a template", leaf)


def _query(query: ValueMatch, leaf: Leaf) -> str:
    value = query.value
    templates = isinstance(query.name, Template) or isinstance(value, Template)
    if templates or not value or "=" in query.name or set("{}") & set(query.name + value):
        raise Unsayable("Traefik 2 compares a query parameter with a text, without `=` in its name and without braces", leaf)
    return print_leaf_http(Query(query=ValueMatch(name=f"{query.name}={query.value}", value="")))


def _tcp(leaf: Leaf) -> str:
    if isinstance(leaf, ServerNameIs) and "*" in leaf.sni and leaf.sni != "*":
        raise Unsayable(f"{leaf.sni!r} is no wildcard to Traefik 2", leaf)
    if not isinstance(leaf, ServerNameIs | ClientIP) and type(leaf).__name__ != "Alpn":
        raise Unsayable(_LATER, leaf)
    return print_leaf_tcp(leaf)
