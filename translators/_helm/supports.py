"""What values of a chart can say: what Traefik's objects can, and the templates that Helm fills in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pinfeather.model.bind import HELM
from pinfeather.model.diagnostics import Path
from pinfeather.model.document import Document
from pinfeather.model.features import FULL, Feature, Full, Near, Nothing, Support, When, walk
from pinfeather.model.noun import Template
from pinfeather.translators._crd.catalogue import CrdOptions
from pinfeather.translators._crd.supports import crd_supports
from pinfeather.translators._helm.text import holdable
from pinfeather.translators._traefik import supports as says
from pinfeather.translators._traefik.routing import Rules

_RULES = (
    Feature.HOST, Feature.HOST_WILDCARD, Feature.HOST_REGEX, Feature.PATH_REGEX, Feature.HEADER_REGEX, Feature.COOKIE_REGEX,
    Feature.QUERY_REGEX, Feature.CLIENT_IP, Feature.TCP_SNI_REGEX, Feature.TCP_ALPN,
)  # fmt: skip
_CONDITIONS = frozenset({"hosts", "path", "match", "sni", "canaries"})


def values_supports(options: CrdOptions) -> Mapping[Feature, Support]:
    table = crd_supports(options, templates=True)
    if options.version < (3, 0):
        return table
    rule = When(says.says_by(Rules(options.version, templates=True)), "what a rule can hold")
    template = When(_template_says(), "Helm's expressions `{{ … }}`, where the objects have a text or a number")
    return {**table, **dict.fromkeys(_RULES, rule), Feature.TEMPLATE: template}


def _template_says() -> Callable[[Document, Path], Full | Near | Nothing]:
    """Whether a chart can hold the template at a path. The plain texts of a document are gathered once."""
    last: list[tuple[Document, str]] = []

    def check(document: Document, path: Path) -> Full | Near | Nothing:
        text = says.found(document, path)
        assert isinstance(text, Template)
        if why := _no_place(text, path):
            return Nothing(f"{why}: say its value with --bind")
        if not last or last[0][0] is not document:
            last[:] = [(document, "\n".join(_plain(document, ())))]
        if any(match[0] in last[0][1] for match in HELM.finditer(text)):
            return Nothing("a plain text holds the same braces: say its value with --bind")
        if _in_rule(path) and any("{{" in plain for plain in _plain(document, path[:2])):
            return Nothing("plain braces stand beside it in one rule: say its value with --bind")
        return FULL

    return check


def _no_place(text: Template, path: Path) -> str:
    if not holdable(text):
        return "it is no expression that Helm fills in"
    if path[-1] in ("url", "address"):
        return "a Service is made of the address"
    if "users" in path and "basic_auth" in path:
        return "users stand in a Secret"
    if _in_rule(path) and "cookie" in path:
        return "it would stand inside of a regex on the Cookie header"
    return "a rule has no place for a backtick in an expression" if _in_rule(path) and "`" in text else ""


def _in_rule(path: Path) -> bool:
    return path[0] in ("routes", "tcp_routes") and path[2] in _CONDITIONS and path[-1] not in ("to", "priority")


def _plain(document: Document, below: Path) -> Iterator[str]:
    """Every plain text of a document, or of what stands at a path of it."""
    for path, noun in walk(document):
        if path[: len(below)] == below:
            yield from _texts(noun.__dict__)


def _texts(value: object) -> Iterator[str]:
    """Plain texts, but not those of a noun inside: it is walked by itself."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str) and not isinstance(value, Template):
        yield value
