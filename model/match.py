"""What a request must be: a tree of conditions.

A leaf is a mapping with one key, which names it: `{cookie: {name: canary, value: v2}}`. Regexes are RE2 and search
(they are not anchored). A path prefix is by character, as in Traefik (`/a` holds for `/abc`). A host ignores case and
port; `*.example.com` stands for one label, `*` for every host. A cookie condition holds if any pair of that name in any
`Cookie` header does; its value is compared byte for byte, quotes kept.
"""

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from pinfeather.model.noun import Many, Noun, OrTemplate, Regex, Template, Text, Token, printable, refuse, token

_HOST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._:[]")


def _host(text: str) -> str:
    host = text.lower()
    if host == "*":
        return host
    name = host.removeprefix("*.")
    if not name or len(host) > 253 or not _HOST.issuperset(name):
        raise refuse(
            "value",
            f"{text!r} is not a host: ASCII letters, digits, '-' and '.', a leading '*.' at most (write IDNs in punycode)",
        )
    if ":" in name and not (name.startswith("[") and name.endswith("]")):
        raise refuse("value", f"{text!r} is not a host: leave the port out, hosts are compared without it")
    return host


def _sni(text: str) -> str:
    host = _host(text)
    if host.startswith("["):
        raise refuse("value", f"{text!r}: an address is never a server name")
    return host


def _path(text: str) -> str:
    if not printable(text).startswith("/"):
        raise refuse("value", f"the path {text!r} must begin with '/'")
    return text


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False)) if "/" in text else str(ipaddress.ip_address(text))
    except ValueError:
        raise refuse("value", f"{text!r} is neither an IP address nor a network such as 10.0.0.0/8") from None


def _method(text: str) -> str:
    return token(text).upper()


HostName = Annotated[str, OrTemplate(_host)]
ServerName = Annotated[str, OrTemplate(_sni)]
PathText = Annotated[str, OrTemplate(_path)]
Network = Annotated[str, OrTemplate(_network)]
MethodName = Annotated[str, OrTemplate(_method)]


def _one_of(noun: Noun, *names: str) -> None:
    given = [name for name in names if getattr(noun, name) is not None]
    if len(given) != 1:
        said = f"both {given[0]} and {given[1]} are given" if given else "none is given"
        raise refuse("value", f"exactly one of {', '.join(names)} must be given; {said}")


class PathMatch(Noun):
    """A condition on the path: `{exact: /x}`, `{prefix: /x}` (by character) or `{regex: ^/x}` (searched)."""

    exact: PathText | None = None
    prefix: PathText | None = None
    regex: Regex | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        _one_of(self, "exact", "prefix", "regex")
        return self


class ValueMatch(Noun):
    """A named value (header, cookie, query parameter) that equals `value` or in which `regex` is found."""

    name: Text
    value: Text | None = None
    regex: Regex | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        _one_of(self, "value", "regex")
        if not self.name:
            raise refuse("value", "the name is empty")
        return self


class HeaderMatch(ValueMatch):
    """A header. Its name ignores case; any of several headers of that name may hold."""

    name: Token


class CookieMatch(ValueMatch):
    """A cookie of the request."""

    name: Token

    @model_validator(mode="after")
    def _pair(self) -> Self:
        value = None if isinstance(self.value, Template) else self.value
        if value is not None and (";" in value or value != value.strip(" \t")):
            raise refuse("cookie", f"no cookie can have the value {value!r}: ';' ends it and spaces at its ends are cut")
        return self


class AllOf(Noun):
    all: Many["Match"] = Field(min_length=1)


class AnyOf(Noun):
    any: Many["Match"] = Field(min_length=1)


class Not(Noun):
    none: "Match" = Field(alias="not")


class Host(Noun):
    host: HostName


class HostRegex(Noun):
    host_regex: Regex


class PathIs(Noun):
    path: PathMatch


class Method(Noun):
    method: MethodName


class Header(Noun):
    header: HeaderMatch


class Cookie(Noun):
    cookie: CookieMatch


class Query(Noun):
    query: ValueMatch


class ClientIP(Noun):
    """The address of the connection's other end, never a header."""

    client_ip: Network


class ServerNameIs(Noun):
    """TCP only: the server name of the TLS hello. `*` holds for every connection, without TLS too."""

    sni: ServerName


class ServerNameRegex(Noun):
    """TCP only."""

    sni_regex: Regex


class Alpn(Noun):
    """TCP only: a protocol that the TLS hello offers."""

    alpn: Text


LEAVES: dict[str, type[Noun]] = {
    "host": Host,
    "host_regex": HostRegex,
    "path": PathIs,
    "method": Method,
    "header": Header,
    "cookie": Cookie,
    "query": Query,
    "client_ip": ClientIP,
    "sni": ServerNameIs,
    "sni_regex": ServerNameRegex,
    "alpn": Alpn,
}
KEYS = ("all", "any", "not", *LEAVES)
_TAGS: dict[type[object], str] = {AllOf: "<all>", AnyOf: "<any>", Not: "<not>", **{noun: f"<{key}>" for key, noun in LEAVES.items()}}
_KEY_TAGS: dict[object, str] = {key: f"<{key}>" for key in KEYS}


def _kind(value: object) -> str | None:
    if isinstance(value, dict):
        for key in value:
            if key in _KEY_TAGS:
                return _KEY_TAGS[key]
        return None
    return _TAGS.get(type(value))


Match = Annotated[
    Annotated[AllOf, Tag("<all>")]
    | Annotated[AnyOf, Tag("<any>")]
    | Annotated[Not, Tag("<not>")]
    | Annotated[Host, Tag("<host>")]
    | Annotated[HostRegex, Tag("<host_regex>")]
    | Annotated[PathIs, Tag("<path>")]
    | Annotated[Method, Tag("<method>")]
    | Annotated[Header, Tag("<header>")]
    | Annotated[Cookie, Tag("<cookie>")]
    | Annotated[Query, Tag("<query>")]
    | Annotated[ClientIP, Tag("<client_ip>")]
    | Annotated[ServerNameIs, Tag("<sni>")]
    | Annotated[ServerNameRegex, Tag("<sni_regex>")]
    | Annotated[Alpn, Tag("<alpn>")],
    Discriminator(
        _kind,
        custom_error_type="pinfeather_match",
        custom_error_message="a condition is a mapping with one of the keys " + ", ".join(KEYS),
    ),
]
Leaf = Host | HostRegex | PathIs | Method | Header | Cookie | Query | ClientIP | ServerNameIs | ServerNameRegex | Alpn
Side = Literal["http", "tcp"]

TCP_LEAVES = (ServerNameIs, ServerNameRegex, Alpn)


GROUPS = frozenset({AllOf, AnyOf, Not})
"""Every condition that holds others. Asking for a type is several times as fast as `isinstance`, and no noun is inherited from here."""


def leaves(match: Match) -> list[Leaf]:
    """Every leaf of a tree, from left to right."""
    if isinstance(match, AllOf):
        return [leaf for part in match.all for leaf in leaves(part)]
    if isinstance(match, AnyOf):
        return [leaf for part in match.any for leaf in leaves(part)]
    return leaves(match.none) if isinstance(match, Not) else [match]


def conjuncts(match: Match | None) -> tuple[Match, ...]:
    """The parts that must all hold, nested `all`s opened."""
    if match is None:
        return ()
    if type(match) is not AllOf:
        return (match,)
    if AllOf not in map(type, match.all):
        return match.all
    return tuple(inner for part in match.all for inner in conjuncts(part))


def alternatives(match: Match) -> tuple[Match, ...]:
    """The parts of which one must hold, nested `any`s opened."""
    if type(match) is not AnyOf:
        return (match,)
    if AnyOf not in map(type, match.any):
        return match.any
    return tuple(inner for part in match.any for inner in alternatives(part))


def both(parts: tuple[Match, ...]) -> Match | None:
    """The conjunction: nothing, the one part, or an `all`."""
    return None if not parts else parts[0] if len(parts) == 1 else AllOf.model_construct(all=parts)


def either(parts: tuple[Match, ...]) -> Match:
    """The disjunction of at least one part."""
    return parts[0] if len(parts) == 1 else AnyOf.model_construct(any=parts)
