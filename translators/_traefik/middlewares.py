"""Middlewares in Traefik's spelling: the kinds that are typed, and every other one, carried to the letter.

Kinds and keys after Traefik 3.7 (pkg/config/dynamic/middlewares.go, tcp_middlewares.go). A typed kind with a key that its
noun has no field for is carried whole, so that nothing of it is lost.
"""

from __future__ import annotations

from typing import NamedTuple

from pinfeather.model.diagnostics import Code, Path, error
from pinfeather.model.middlewares import Middleware, Other
from pinfeather.translators._syntax.taking import Taking
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._traefik.nouns import (
    BOOLEAN,
    DURATION,
    INTEGER,
    TEXT_MAP,
    TEXTS,
    Key,
    Reader,
    put,
    strangers,
    take,
)


class Spelling(NamedTuple):
    """One typed kind: the field of `Middleware`, Traefik's key, and the keys below it."""

    field: str
    key: str
    keys: tuple[Key, ...]


SPELLINGS = (
    Spelling("redirect_scheme", "redirectScheme", (Key("scheme", "scheme"), Key("port", "port"), Key("permanent", "permanent", BOOLEAN))),
    Spelling(
        "redirect_regex",
        "redirectRegex",
        (Key("regex", "regex"), Key("replacement", "replacement", default=""), Key("permanent", "permanent", BOOLEAN)),
    ),
    Spelling("strip_prefix", "stripPrefix", (Key("prefixes", "prefixes", TEXTS),)),
    Spelling("add_prefix", "addPrefix", (Key("prefix", "prefix"),)),
    Spelling("replace_path", "replacePath", (Key("path", "path"),)),
    Spelling("replace_path_regex", "replacePathRegex", (Key("regex", "regex"), Key("replacement", "replacement", default=""))),
    Spelling("headers", "headers", (Key("request", "customRequestHeaders", TEXT_MAP), Key("response", "customResponseHeaders", TEXT_MAP))),
    Spelling(
        "basic_auth",
        "basicAuth",
        (
            Key("users", "users", TEXTS),
            Key("users_file", "usersFile"),
            Key("realm", "realm"),
            Key("remove_header", "removeHeader", BOOLEAN),
            Key("header_field", "headerField", absent=("",)),
        ),
    ),
    Spelling(
        "forward_auth",
        "forwardAuth",
        (
            Key("address", "address"),
            Key("trust_forward_header", "trustForwardHeader", BOOLEAN),
            Key("auth_response_headers", "authResponseHeaders", TEXTS),
            Key("auth_response_headers_regex", "authResponseHeadersRegex"),
            Key("auth_request_headers", "authRequestHeaders", TEXTS),
        ),
    ),
    Spelling(
        "ip_allow_list",
        "ipAllowList",
        (
            Key("source_ranges", "sourceRange", TEXTS),
            Key("depth", "depth", INTEGER, inside="ipStrategy", absent=(0,)),
            Key("reject_status", "rejectStatusCode", INTEGER, absent=(0,)),
        ),
    ),
    Spelling(
        "rate_limit",
        "rateLimit",
        (
            Key("average", "average", INTEGER, default=0),
            Key("period", "period", DURATION),
            Key("burst", "burst", INTEGER),
        ),
    ),
    Spelling(
        "compress",
        "compress",
        (
            Key("excluded_content_types", "excludedContentTypes", TEXTS),
            Key("min_response_body_bytes", "minResponseBodyBytes", INTEGER),
        ),
    ),
    Spelling("retry", "retry", (Key("attempts", "attempts", INTEGER), Key("initial_interval", "initialInterval", DURATION))),
    Spelling("chain", "chain", (Key("middlewares", "middlewares", TEXTS, section="http.middlewares"),)),
)
"""The inverse pairs of HTTP."""
TCP_SPELLINGS = (Spelling("ip_allow_list", "ipAllowList", (Key("source_ranges", "sourceRange", TEXTS),)),)
OLD_NAMES = {"ipwhitelist": "ipAllowList"}
"""Traefik 2's names, which 3.7 still reads."""
_OTHERS = (
    "buffering", "circuitBreaker", "contentType", "digestAuth", "encodedCharacters", "errors", "grpcWeb", "inFlightReq",
    "passTLSClientCert", "plugin", "stripPrefixRegex",
)  # fmt: skip
KINDS = (*(spelling.key for spelling in SPELLINGS), "ipWhiteList", *_OTHERS)
"""Every kind of an HTTP middleware that Traefik 3.7 knows."""
TCP_KINDS = ("ipAllowList", "ipWhiteList", "inFlightConn")
MAY_BE_EMPTY = frozenset({"compress", "contentType"})
"""Kinds that may stand without a key; any other makes Traefik refuse the whole file ("cannot be a standalone element")."""


OBJECTS = frozenset(("secret", "certSecret", "caSecret", "certificatesSecrets", "rootCAsSecrets", "configMap"))
"""Keys below which Kubernetes objects are named, in the objects' own spelling: no other surface can look at them."""


def names_objects(tree: Tree) -> bool:
    """Whether something that is carried to the letter names objects of a cluster: a Secret, or a Service (`errors`)."""
    if isinstance(tree, list):
        return any(map(names_objects, tree))
    return isinstance(tree, dict) and (
        not OBJECTS.isdisjoint(tree) or isinstance(tree.get("service"), dict) or any(map(names_objects, tree.values()))
    )


def known_kinds(*, tcp: bool) -> tuple[str, ...]:
    return TCP_KINDS if tcp else KINDS


def spelling_of(kind: str, value: Tree, *, tcp: bool) -> Spelling | None:
    """The typed kind that can hold all of a value, if there is one."""
    name = OLD_NAMES.get(kind.lower(), kind).lower()
    found = next((each for each in (TCP_SPELLINGS if tcp else SPELLINGS) if each.key.lower() == name), None)
    return None if found is None or strangers(value, found.keys) else found


def take_middleware(node: Taking, at: Path, reader: Reader, *, tcp: bool) -> Tree:
    """The tree of the `Middleware` at `at`, or None where there is none to be had and the reason was reported."""
    kinds = known_kinds(tcp=tcp)
    folded = {kind.lower(): kind for kind in kinds}
    value = node.value if isinstance(node.value, dict) else {}
    given = [key for key, child in value.items() if key.lower() in folded and child is not None]
    if not tcp and (sticky := next((key for key in value if key.lower() == "sticky"), None)) is not None:
        _sticky(node, sticky, at)
        return None
    if len(given) != 1:
        _not_one(node, given, kinds)
        return None
    kind = folded[given[0].lower()]
    body = value[given[0]]
    reader.spans[at] = node.spot
    if isinstance(body, bool | str) and kind in MAY_BE_EMPTY:
        body = {}
    spelling = spelling_of(kind, body, tcp=tcp)
    if spelling is None:
        reader.mark((*at, "other"), node, kind)
        config = node.tree(kind)
        if kind == "errors" and isinstance(config, dict) and isinstance(service := config.get("service"), str):
            config = {**config, "service": reader.local(service, "http.services")}
        return {"other": {"kind": kind, "config": config}}
    held = node.map(kind, may_be_true=kind in MAY_BE_EMPTY)
    if held is None:
        return None
    reader.mark((*at, spelling.field), node, kind)
    return {spelling.field: take(held, spelling.keys, (*at, spelling.field), reader)}


def put_middleware(middleware: Middleware, *, tcp: bool) -> Tree:
    """The middleware under Traefik's key."""
    if isinstance(other := middleware.config, Other):
        return {other.kind: other.config}
    spelling = next(each for each in (TCP_SPELLINGS if tcp else SPELLINGS) if each.field == middleware.kind)
    return {spelling.key: put(middleware.config, spelling.keys)}


def _sticky(node: Taking, key: str, at: Path) -> None:
    node.tree(key)
    said = "there is no middleware `sticky`: Traefik refuses the whole file"
    instead = "move it to the service: `http.services.NAME.loadBalancer.sticky.cookie.name`"
    node.report(error(Code.STICKY_MIDDLEWARE, said, at, instead=instead, span=node.key_span_of(key)))


def _not_one(node: Taking, given: list[str], kinds: tuple[str, ...]) -> None:
    """Reports a middleware of several kinds or of none; a key that is no kind is left, and so named by itself."""
    for kind in kinds:
        node.tree(kind)
    if given:
        said = f"a middleware has one kind, not {len(given)} ({', '.join(given)}): Traefik disables what uses it"
        node.error(Code.VALUE, said, instead="make a middleware of each, and a chain of them if you like")
    elif not node.left():
        node.error(Code.VALUE, "a middleware without a kind: Traefik disables what uses it", instead=f"one of {', '.join(kinds)}")
