"""Traefik's spelling of the nouns, as tables that are read and written alike: one row for one key.

Keys and defaults after Traefik 3.7 (pkg/config/dynamic/http_config.go, tcp_config.go). `take` reads the keys of a table
out of a `Taking` into the plain tree of a noun, `put` writes them from the noun; neither knows which surface it serves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum, auto
from functools import cached_property
from hashlib import sha1
from itertools import groupby
from typing import NamedTuple

from pinfeather.model.diagnostics import Code, Diagnostic, Edit, Fix, Path, Severity, Span, info, warning
from pinfeather.model.noun import TOKEN, Noun
from pinfeather.translators._syntax.taking import Taking
from pinfeather.translators._syntax.tree import Spans, Tree
from pinfeather.translators._traefik.label_edits import label_edits
from pinfeather.translators.contract import NOTHING


class Kind(Enum):
    """What stands under a key."""

    TEXT = auto()
    INTEGER = auto()
    BOOLEAN = auto()
    DURATION = auto()
    TEXTS = auto()
    TEXT_MAP = auto()


class Key(NamedTuple):
    """One row: the field of the noun, and Traefik's key for it."""

    field: str
    key: str
    kind: Kind = Kind.TEXT
    inside: str = ""
    """The mapping that the key stands in, if it is not the noun's own."""
    absent: tuple[Tree, ...] = ()
    """Values that mean the same to Traefik as no key at all."""
    default: Tree = None
    """What Traefik takes where the key is absent and the noun cannot be without it."""
    section: str = ""
    """Of a reference: where the named thing is defined (`http.middlewares`)."""


class Reader(NamedTuple):
    """What the reading of one file, container or object has to know, and where it writes down what stood where."""

    provider: str
    version: tuple[int, int]
    spans: Spans
    text: str = ""
    known: Mapping[str, Collection[str]] = NOTHING
    """The names that this run defines, by section."""
    expressions: re.Pattern[str] | None = None
    """What another program fills in: a text, or an argument of a rule, in which it is found is a `Template`."""
    texts: Mapping[str, str] = NOTHING
    """The texts of a run whose nouns are put together from several files, by file."""
    resolve: Callable[[str, str, str], str] | None = None
    """Where a run has several providers: provider, section and reference to the name in the document."""
    labels: bool = False
    """Whether each value is a label of its own, and servers may be containers."""

    def text_of(self, file: str) -> str:
        return self.texts.get(file, self.text)

    def local(self, reference: str, section: str) -> str:
        """A reference without its provider, if that is the own one and the thing is in this run."""
        if self.resolve is not None:
            return self.resolve(self.provider, section, reference)
        name, at, provider = reference.partition("@")
        return name if at and provider == self.provider and name in self.known.get(section, ()) else reference

    def with_spans(self, spans: Spans) -> Reader:
        return Reader(
            self.provider, self.version, spans, self.text, self.known, self.expressions, self.texts, self.resolve, self.labels
        )  # fmt: skip

    def mark(self, path: Path, node: Taking, key: str, value: Tree = None) -> None:
        """Writes down where the value of a key, and each thing in it, stands."""
        spots = self.spans.spots
        spots[path] = node.spot_of(key)
        if isinstance(value, list | dict):
            for step in value if isinstance(value, dict) else range(len(value)):
                spots[(*path, step)] = node.spot_of(key, step)


_TAKERS: Mapping[Kind, Callable[[Taking, str], Tree]] = {
    Kind.TEXT: Taking.text,
    Kind.INTEGER: Taking.number,
    Kind.BOOLEAN: Taking.boolean,
    Kind.DURATION: Taking.duration,
    Kind.TEXTS: Taking.text_list,  # type: ignore[dict-item] # a list of texts is a list of trees here: nobody adds to it
    Kind.TEXT_MAP: Taking.text_map,  # type: ignore[dict-item]
}


class _Group(NamedTuple):
    """The rows of a table that follow one another in the same mapping."""

    inside: str
    names: dict[str, None]
    rows: tuple[tuple[Key, Callable[[Taking, str], Tree]], ...]
    defaults: bool


class Table(tuple[Key, ...]):
    """Rows that are read again and again."""

    @cached_property
    def groups(self) -> tuple[_Group, ...]:
        made = ((inside, tuple(keys)) for inside, keys in groupby(self, lambda key: key.inside))
        return tuple(
            _Group(
                inside,
                {key.key: None for key in keys},
                tuple((key, _TAKERS[key.kind]) for key in keys),
                any(key.default is not None for key in keys),
            )
            for inside, keys in made
        )


def take(node: Taking, keys: Iterable[Key], at: Path, reader: Reader) -> dict[str, Tree]:
    """The keys of a table that are there, as the plain tree of the noun at `at`."""
    found: dict[str, Tree] = {}
    holders: dict[str, Taking | None] = {"": node}
    for inside, names, rows, defaults in (keys if isinstance(keys, Table) else Table(keys)).groups:
        if inside not in holders:
            holders[inside] = node.map(inside)
        holder = holders[inside]
        here = () if holder is None else holder.present(names)
        for key, taker in rows if here or defaults else ():
            value = taker(holder, key.key) if holder is not None and key.key in here else None
            if value is None or (not value and value in ([], {})) or value in key.absent:
                if key.default is not None:
                    found[key.field] = key.default
                continue
            assert holder is not None
            if key.section:
                value = _local(value, key.section, reader)
            found[key.field] = value
            reader.mark((*at, key.field), holder, key.key, value)
    return found


def _local(value: Tree, section: str, reader: Reader) -> Tree:
    if isinstance(value, list):
        return [_local(item, section, reader) for item in value]
    return reader.local(value, section) if isinstance(value, str) else value


def put(noun: Noun, keys: Iterable[Key]) -> dict[str, Tree]:
    """What is set in a noun, under Traefik's keys, in the order of the table."""
    out: dict[str, Tree] = {}
    for key in keys:
        value = getattr(noun, key.field)
        if value is None or value in ((), {}):
            continue
        holder = out.setdefault(key.inside, {}) if key.inside else out
        assert isinstance(holder, dict)
        holder[key.key] = list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, dict) else value
    return out


def strangers(value: Tree, keys: Collection[Key]) -> bool:
    """Whether a mapping has a key that the table does not know, so that a noun made by it would lose something."""
    if not isinstance(value, dict):
        return True
    own = {key.key.lower() for key in keys if not key.inside}
    inner = {key.inside.lower() for key in keys if key.inside}
    for name, child in value.items():
        low = name.lower()
        if low in inner and low not in own:
            if strangers(child, [Key(key.field, key.key, key.kind) for key in keys if key.inside.lower() == low]):
                return True
        elif low not in own:
            return True
    return False


# The tables ------------------------------------------------------------------------------------------------------------

TEXT, INTEGER, BOOLEAN, DURATION, TEXTS, TEXT_MAP = Kind
COOKIE = Table(
    (
        Key("name", "name"),
        Key("max_age", "maxAge", INTEGER, absent=(0,)),
        Key("secure", "secure", BOOLEAN),
        Key("http_only", "httpOnly", BOOLEAN),
        Key("same_site", "sameSite", absent=("",)),
        Key("path", "path"),
        Key("domain", "domain", absent=("",)),
    )
)
HEALTH_CHECK = Table(
    (
        Key("path", "path", absent=("",), default="/"),
        Key("interval", "interval", DURATION),
        Key("unhealthy_interval", "unhealthyInterval", DURATION),
        Key("timeout", "timeout", DURATION),
        Key("method", "method", absent=("",)),
        Key("status", "status", INTEGER, absent=(0,)),
        Key("port", "port", INTEGER, absent=(0,)),
        Key("scheme", "scheme", absent=("",)),
        Key("hostname", "hostname"),
        Key("mode", "mode", absent=("",)),
        Key("follow_redirects", "followRedirects", BOOLEAN),
        Key("headers", "headers", TEXT_MAP),
    )
)
PASSIVE_HEALTH_CHECK = Table(
    (
        Key("failure_window", "failureWindow", DURATION),
        Key("max_failed_attempts", "maxFailedAttempts", INTEGER),
    )
)
LOAD_BALANCER = Table(
    (
        Key("strategy", "strategy", absent=("",)),
        Key("pass_host_header", "passHostHeader", BOOLEAN),
        Key("servers_transport", "serversTransport", absent=("",), section="http.serversTransports"),
        Key("flush_interval", "flushInterval", DURATION, inside="responseForwarding"),
    )
)
SERVER = Table(
    (
        Key("url", "url"),
        Key("weight", "weight", INTEGER),
        Key("preserve_path", "preservePath", BOOLEAN),
    )
)
CONTAINER = Table((Key("name", "name"), Key("port", "port", INTEGER), Key("scheme", "scheme")))
"""Of a server in labels: the container that carries them."""
SERVICE_MIDDLEWARES = Table((Key("middlewares", "middlewares", TEXTS, section="http.middlewares"),))
SPLIT_ENTRY = Table(
    (
        Key("to", "name", section="http.services"),
        Key("weight", "weight", INTEGER, default=1),
    )
)
TCP_SPLIT_ENTRY = Table(
    (
        Key("to", "name", section="tcp.services"),
        Key("weight", "weight", INTEGER, default=1),
    )
)
TCP_SERVER = Table((Key("address", "address"), Key("tls", "tls", BOOLEAN)))
TCP_LOAD_BALANCER = Table((Key("servers_transport", "serversTransport", absent=("",), section="tcp.serversTransports"),))
TLS = Table(
    (
        Key("passthrough", "passthrough", BOOLEAN),
        Key("options", "options", absent=("",), section="tls.options"),
        Key("resolver", "certResolver"),
    )
)
DOMAIN = Table((Key("main", "main"), Key("sans", "sans", TEXTS)))
OBSERVABILITY = Table(
    (
        Key("access_logs", "accessLogs", BOOLEAN),
        Key("metrics", "metrics", BOOLEAN),
        Key("tracing", "tracing", BOOLEAN),
        Key("trace_verbosity", "traceVerbosity", absent=("",)),
    )
)
TLS_OPTIONS = Table(
    (
        Key("min_version", "minVersion"),
        Key("max_version", "maxVersion"),
        Key("cipher_suites", "cipherSuites", TEXTS),
        Key("curve_preferences", "curvePreferences", TEXTS),
        Key("alpn_protocols", "alpnProtocols", TEXTS),
        Key("sni_strict", "sniStrict", BOOLEAN),
        Key("client_auth_type", "clientAuthType", inside="clientAuth"),
        Key("client_auth_ca_files", "caFiles", TEXTS, inside="clientAuth"),
    )
)


# Cookies ---------------------------------------------------------------------------------------------------------------

SAME_SITE = ("none", "lax", "strict")


def default_cookie_name(service: str) -> str:
    """Traefik's name for a cookie without one; `service` with its provider (pkg/server/cookie/cookie.go, 3.7)."""
    return f"_{sha1(f'_TRAEFIK_BACKEND_{service}'.encode(), usedforsecurity=False).hexdigest()}"[:6]


def sanitised(name: str) -> str:
    """The name that Traefik sends for a cookie's name: what is no token character becomes `_` (the same file)."""
    return name if TOKEN.issuperset(name) else "".join(c if c in TOKEN else "_" for c in name)


def take_sticky(node: Taking, at: Path, reader: Reader, service: str, *, split: bool) -> Tree:
    """The stickiness of a service, as the tree of a `Sticky` at `at`; None where Traefik pins nobody."""
    sticky = node.map("sticky", may_be_true=True)
    if sticky is None:
        return None
    cookie = sticky.map("cookie", may_be_true=True)
    if cookie is None:
        said = "`sticky` without a `cookie` does nothing: Traefik pins nobody"
        node.report(warning(Code.STICKY_EMPTY, said, at, instead="write `cookie: {name: …}` below it", span=node.key_span_of("sticky")))
        return None
    reader.spans[at] = node.spot_of("sticky")
    path = (*at, "cookie")
    reader.spans[path] = sticky.spot_of("cookie")
    tree = take(cookie, COOKIE, path, reader)
    _named(cookie, tree, path, f"{service}@{reader.provider}")
    _same_site(cookie, tree, path, reader, split=split)
    return {"cookie": tree}


def _named(cookie: Taking, tree: dict[str, Tree], path: Path, service: str) -> None:
    written = tree.get("name") or ""
    assert isinstance(written, str)
    name = sanitised(written) or default_cookie_name(service)
    if name != written:
        said = (
            f"Traefik calls the cookie {name!r} instead of {written!r}: a name has token characters only"
            if written
            else f"the cookie has no name: Traefik calls it {name!r}, after the service and its provider"
        )
        span = cookie.span_of("name") if written else cookie.span
        cookie.report(info(Code.ASSUMED, said, (*path, "name"), instead="give it a name, so that it stays the same", span=span))
    tree["name"] = name


def _same_site(cookie: Taking, tree: dict[str, Tree], path: Path, reader: Reader, *, split: bool) -> None:
    written = tree.pop("same_site", None)
    if not isinstance(written, str):
        return
    place = (*path, "same_site")
    site = written.lower() if reader.version >= (3, 6) else written
    if site not in SAME_SITE:
        said = f"sameSite {written!r} is not known: Traefik sends the cookie without it"
        cookie.error(Code.COOKIE, said, "sameSite", instead="write none, lax or strict")
    elif split and reader.version < (3, 0):
        said = "Traefik 2 ignores the sameSite of a weighted service"
        cookie.report(warning(Code.ASSUMED, said, place, instead="read as if it were not there", span=cookie.span_of("sameSite")))
    elif site == "none" and tree.get("secure") is not True:
        said = f"browsers refuse the cookie {tree['name']!r}: SameSite=None needs Secure"
        fix = Fix("set secure", _secure(cookie, reader))
        cookie.report(
            Diagnostic(Code.SAME_SITE_NONE, Severity.ERROR, said, place, "say `secure: true`", cookie.span_of("sameSite"), (fix,))
        )
    else:
        tree["same_site"] = site


def _secure(cookie: Taking, reader: Reader) -> tuple[Edit, ...]:
    """The edit that sets `secure`; none where its place cannot be told (a TOML table)."""
    key, value = cookie.key_span_of("sameSite"), cookie.span_of("secure")
    if reader.labels:
        written = isinstance(cookie.value, dict) and "secure" in cookie.value
        old = "secure" if written else "sameSite"
        begin, end = cookie.key_span_of(old), cookie.span_of(old)
        whole = begin._replace(end_line=end.end_line, end_column=end.end_column)
        return label_edits(reader.text_of(key.file), whole, old.lower(), "secure", "true")
    if value != cookie.span:
        return (Edit(value, "true"),)
    if key.file.endswith(".toml"):
        return ()
    begin = Span(key.file, key.line, key.column, key.line, key.column)
    lines = reader.text_of(key.file).splitlines()
    whole = cookie.span
    flow = lines[whole.line - 1][whole.column - 1 : whole.column] == "{" if whole.line <= len(lines) else False
    return (Edit(begin, "secure: true, " if flow else f"secure: true\n{' ' * (key.column - 1)}"),)
