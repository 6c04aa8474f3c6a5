"""The conditions of an Ingress rule, both ways: a host, a path and its kind, and what Traefik makes of them.

After pkg/provider/kubernetes/ingress/kubernetes.go of 2.11, 3.0, 3.3, 3.5, 3.6 and 3.7, as observed. What the API server takes for
a host is after Kubernetes 1.33 (pkg/apis/networking/validation/validation.go).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from pinfeather.model.match import AnyOf, HostRegex, Match, PathIs, PathMatch, conjuncts
from pinfeather.model.normal import lifted
from pinfeather.model.routes import Route
from pinfeather.translators._syntax.go_text import quote_go

_HOST = re.compile(r"(?:\*\.)?[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")


class Instance(NamedTuple):
    """How an instance takes rules: `strictPrefixMatching`, and wildcard hosts as it did before 3.7."""

    strict: bool
    wildcards_are_regexes: bool


class Place(NamedTuple):
    """Matcher, path and hosts, as an Ingress holds them."""

    matcher: str
    path: str
    hosts: tuple[str, ...]


# Writing ---------------------------------------------------------------------------------------------------------------


def where(route: Route, options: Instance) -> Place | None:
    """What of an Ingress rule means the route's conditions; None: it asks for more than hosts and one path, or for another one."""
    form = lifted(route)
    rest, hosts = list(conjuncts(form.match)), tuple(map(str, form.hosts))
    if options.wildcards_are_regexes and not hosts:
        found = [part for part in rest if isinstance(part, HostRegex) and _wildcard(part.host_regex)]
        if len(found) == 1:
            rest.remove(found[0])
            hosts = (_wildcard(found[0].host_regex),)
    if options.strict and form.path is None and len(rest) == 1:
        pair = _strict_pair(rest[0])
        return None if pair is None else Place("PathPrefix", pair, hosts)
    if rest:
        return None
    path = form.path or PathMatch.model_construct(prefix="/")
    for matcher, text in (("Path", path.exact), ("PathPrefix", path.prefix), ("PathRegexp", path.regex)):
        if text is not None:
            held = options.strict and matcher == "PathPrefix" and text != "/"
            return None if held or not text.startswith("/") else Place(matcher, str(text), hosts)
    return None


def wildcard_regex(host: str) -> str:
    """What Traefik makes of `*.example.com` before 3.7 (pkg/provider/kubernetes/ingress/kubernetes.go, buildHostRule)."""
    return f"^[a-zA-Z0-9-]+{host[1:].replace('.', chr(92) + '.')}$"


def _wildcard(regex: str) -> str:
    """The host that Traefik makes such a regex of; the empty text: it is none of them."""
    host = "*" + regex.removeprefix("^[a-zA-Z0-9-]+").removesuffix("$").replace("\\.", ".")
    return host if wildcard_regex(host) == regex and is_host(host) else ""


def _strict_pair(match: Match) -> str | None:
    """`/a` for what `strictPrefixMatching` makes of the prefix `/a`: the path itself, and what is below it."""
    if not isinstance(match, AnyOf) or len(match.any) != 2:
        return None
    first, second = match.any
    if not isinstance(first, PathIs) or not isinstance(second, PathIs):
        return None
    exact, prefix = first.path.exact, second.path.prefix
    return exact if exact and prefix == f"{exact}/" and not exact.endswith("/") else None


@lru_cache(maxsize=1024)
def is_host(text: str) -> bool:
    address = text.rpartition(".")[2].isdigit()
    return len(text) <= 253 and not address and all(len(part) <= 63 for part in text.split(".")) and _HOST.fullmatch(text) is not None


# Reading ---------------------------------------------------------------------------------------------------------------


def rule_text(host: str, path: str, matcher: str, instance: Instance, version: tuple[int, int], *, v2: bool) -> str:
    """The rule as Traefik builds it; its length is the priority where none is annotated."""
    parts = []
    if host.startswith("*.") and v2:
        parts.append(f"HostRegexp({_quoted('{subdomain:[a-zA-Z0-9-]+}.' + host[2:])})")
    elif host.startswith("*.") and instance.wildcards_are_regexes:
        regex = wildcard_regex(host)
        parts.append(f"HostRegexp({_quoted(regex) if version >= (3, 6) else quote_go(regex)})")
    elif host:
        parts.append(f"Host({_quoted(host)})")
    if path and path != "/" and matcher == "PathPrefix" and instance.strict:
        bare = path.removesuffix("/")
        parts.append(f"(Path({_quoted(bare)}) || PathPrefix({_quoted(bare + '/')}))")
    elif path:
        parts.append(f"{matcher}({_quoted(path)})")
    return " && ".join(parts)


def _quoted(text: str) -> str:
    """As Go's %q, whose length counts where no priority is written."""
    literal = quote_go(text)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' if literal.startswith("`") else literal
