"""Traefik's annotations on an Ingress and on a Service, both ways: `traefik.ingress.kubernetes.io/router.tls.domains.0.main`.

Traefik takes the prefix off and reads what is left as it reads labels (3.7, pkg/provider/kubernetes/ingress/annotations.go;
paerser 0.2.2, parser/labels_decode.go): keys in any case, sorted as texts, a number between two dots an index of a list.
One key that it does not know, or one value that it cannot read, and it skips the whole object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pinfeather.model.diagnostics import Code, Diagnostic, Edit, Fix, Severity, Span, error, warning
from pinfeather.translators._syntax import paerser
from pinfeather.translators._syntax.kube import KubeObject
from pinfeather.translators._syntax.taking import TRAEFIK_LABELS, Taking
from pinfeather.translators._syntax.tree import Mark, Reading, Tree

PREFIX = "traefik.ingress.kubernetes.io/"
CLASS = "kubernetes.io/ingress.class"
_INDEXED = re.compile(r"(.+)\.(\w+)\.(\d+)\.(.+)", re.ASCII)
_INDEX = re.compile(r"\[\d+\]", re.ASCII)
_SWITCHES = {("router", "tls"), ("router", "observability"), ("service", "sticky"), ("service", "sticky", "cookie")}
"""Mappings that a text may stand for: `true` turns one on, anything else off, with all that stands below it."""
_OLD = {
    "affinity": '`service.sticky.cookie: "true"` on the Service',
    "session-cookie-name": "`service.sticky.cookie.name` on the Service",
    "service-weights": "weights of a TraefikService, named by an IngressRoute",
    "rule-type": "`router.pathmatcher`, with pathType ImplementationSpecific",
    "priority": "`router.priority`",
    "frontend-entry-points": "`router.entrypoints`",
    "preserve-host": "`service.passhostheader` on the Service",
}
"""Traefik 1's annotations, and what says the same now."""


@dataclass
class _Node:
    """One element of the keys: what is written for it, where, and what is below it."""

    value: str | None = None
    key_span: Span | None = None
    span: Span | None = None
    below: dict[str, _Node] = field(default_factory=dict)


def spans_of(held: KubeObject, key: str) -> tuple[Span, Span]:
    """Where an annotation's key and its value stand."""
    node = held.metadata_node
    if node is None:
        return held.node.span, held.node.span
    return node.key_span_of("annotations", key), node.span_of("annotations", key)


def annotations_of(held: KubeObject) -> dict[str, str]:
    """All annotations of an object, those that `kube` keeps apart too."""
    value = held.metadata_node.value if held.metadata_node is not None else None
    found = value.get("annotations") if isinstance(value, dict) else None
    return {key: text for key, text in found.items() if isinstance(text, str)} if isinstance(found, dict) else {}


# Reading ---------------------------------------------------------------------------------------------------------------


class Annotated:
    """Traefik's annotations of one side (`router` of an Ingress, `service` of a Service), as keys that are taken."""

    def __init__(self, held: KubeObject, side: str) -> None:
        self.side = side
        self.held = held
        self.found: list[Diagnostic] = []
        self._keys: dict[Span, str] = {}
        root = _Node()
        for key in sorted(key for key in annotations_of(held) if _is_of(key, side)):
            self._add(root, key, annotations_of(held)[key])
        key_span = next(iter(self._keys), held.node.span)
        tree, mark = self._tree(root, ())
        self._root = Taking.of(Reading(tree, mark, key_span.file), TRAEFIK_LABELS)
        self.node = self._root.map(side)
        """None: there are none."""

    def _add(self, root: _Node, key: str, value: str) -> None:
        key_span, span = spans_of(self.held, key)
        self._keys[key_span] = key
        text = key.removeprefix(PREFIX)
        if _INDEXED.search(text):
            text = _INDEXED.sub(r"\1.\2[\3].\4", text)
        parts = text.split(".")
        if not all(parts):
            said = f"{key!r} has a dot too many: Traefik skips the whole {self.held.kind}"
            self.found.append(error(Code.VALUE, said, span=key_span, instead="take it out"))
            return
        node = root
        for part in parts:
            name, bracket, index = part.partition("[")
            for step in (name, f"[{index}") if bracket else (name,):
                known = next((each for each in node.below if each.lower() == step.lower()), step)
                node = node.below.setdefault(known, _Node())
                node.key_span, node.span = node.key_span or key_span, node.span or span
        node.value, node.key_span, node.span = value, key_span, span

    def _tree(self, node: _Node, path: tuple[str, ...]) -> tuple[Tree, Mark]:
        switch = path in _SWITCHES
        if node.value is not None and switch and (not node.below or not _on(node.value)):
            return self._switch(node), _mark(node.span)
        if not node.below:
            return (node.value if path else {}), _mark(node.span)
        children = [(name, *self._tree(child, (*path, name.lower()))) for name, child in node.below.items()]
        own = _mark(node.span)
        if all(_INDEX.fullmatch(name) for name in node.below):
            return [tree for _, tree, _ in children], (*own[:4], [mark for _, _, mark in children])
        inner = [mark for name, _, mark in children for mark in (_mark(node.below[name].key_span), mark)]
        return {name: tree for name, tree, _ in children}, (*own[:4], inner)

    def _switch(self, node: _Node) -> Tree:
        assert node.value is not None
        if not _on(node.value) and paerser.parse_bool(node.value) is not False:
            said = f"{node.value!r} is not `true`: Traefik turns it off, with all that stands below it"
            self.found.append(warning(Code.SETTING_IGNORED, said, span=node.span, instead='write "true"'))
        return "true" if _on(node.value) else "false"

    def finish(self) -> bool:
        """Says what was found; whether Traefik takes the annotations. Nobody asks for anything after this."""
        self.found += (_named(finding, self._keys) for finding in self._root.diagnostics)
        self.found += (self._unknown(finding) for finding in self._root.left())
        return not any(finding.severity is Severity.ERROR and finding.code in (Code.VALUE, Code.UNKNOWN) for finding in self.found)

    def _unknown(self, finding: Diagnostic) -> Diagnostic:
        span = finding.span or self.held.node.span
        key = self._keys.get(span, ".".join(map(str, finding.path)))
        what = "Ingress: its routes are gone" if self.side == "router" else "Service: every path to it is gone"
        said = f"Traefik knows no annotation {key!r} and skips the whole {what}"
        if self.side == "router" and len(finding.path) > 1 and str(finding.path[1]).lower() == "sticky":
            return error(Code.UNKNOWN, said, span=span, instead="stickiness is an annotation of the Service: `service.sticky.cookie`")
        if not finding.fixes:
            return error(Code.UNKNOWN, said, span=span, instead="take it out")
        meant = f"{key.rpartition('.')[0]}.{finding.fixes[0].edits[0].text.lower()}"
        fix = Fix(f"write {meant}", (Edit(span, meant),))
        return Diagnostic(Code.UNKNOWN, Severity.ERROR, said, (), f"did you mean {meant!r}?", span, (fix,))


def _named(finding: Diagnostic, keys: Mapping[Span, str]) -> Diagnostic:
    """A repair of the nouns' own knows mappings; here every key stands for itself."""
    if finding.code != Code.SAME_SITE_NONE or not finding.fixes or finding.span is None:
        return finding
    edits = finding.fixes[0].edits
    if len(edits) == 1 and edits[0].text == "true":
        return finding._replace(fixes=(Fix("set secure", (edits[0]._replace(text='"true"'),)),))
    site = next((span for span, key in keys.items() if key.lower().endswith("cookie.samesite")), None)
    if site is None:
        return finding._replace(fixes=())
    begin = Span(site.file, site.line, site.column, site.line, site.column)
    line = f'{keys[site][: -len("samesite")]}secure: "true"\n{" " * (site.column - 1)}'
    return finding._replace(fixes=(Fix("set secure", (Edit(begin, line),)),))


def _is_of(key: str, side: str) -> bool:
    return key.startswith(PREFIX) and f"{key.removeprefix(PREFIX).lower()}.".startswith(f"{side}.")


def _on(value: str) -> bool:
    return value == "" or value.lower() == "true"


def _mark(span: Span | None) -> Mark:
    if span is None:
        return (0, 0, 0, 0, ())
    return (span.line - 1, span.column - 1, span.end_line - 1, span.end_column - 1, ())


# What does nothing -----------------------------------------------------------------------------------------------------


def ignored(held: KubeObject) -> Iterator[Diagnostic]:
    """Annotations that Traefik's Ingress provider passes over without a word, one finding each."""
    own, other = ("router", "service") if held.kind == "Ingress" else ("service", "router")
    whose = {"router": "the Ingress", "service": "the Service"}
    foreign: dict[str, list[str]] = {}
    for key in annotations_of(held):
        name = key.removeprefix(PREFIX)
        key_span = spans_of(held, key)[0]
        if key.startswith(PREFIX) and _is_of(key, other):
            said = f"Traefik passes over {key!r} on {whose[own]}"
            yield warning(Code.SETTING_IGNORED, said, span=key_span, instead=f"write it on {whose[other]}")
        elif key.startswith((PREFIX, "ingress.kubernetes.io/")) and not _is_of(key, own):
            old = _OLD.get(name.removeprefix("ingress.kubernetes.io/"))
            said = f"Traefik passes over {key!r}" + (": it is one of Traefik 1" if old or not key.startswith(PREFIX) else "")
            yield warning(Code.SETTING_IGNORED, said, span=key_span, instead=f"say {old}" if old else "take it out")
        elif "/" in key and (controller := key.partition("/")[0]) in _CONTROLLERS:
            foreign.setdefault(controller, []).append(key)
    for controller, keys in foreign.items():
        said = f"Traefik's Ingress provider passes over {len(keys)} of {controller}: {', '.join(sorted(keys))}"
        yield warning(Code.SETTING_IGNORED, said, span=spans_of(held, keys[0])[0], instead="what they say is not done")


_CONTROLLERS = ("nginx.ingress.kubernetes.io", "haproxy.org", "ingress.appscode.com", "alb.ingress.kubernetes.io")


def is_understood(key: str) -> bool:
    """Whether an annotation is Traefik's own, which is written anew and not carried along."""
    return key.startswith((PREFIX, "ingress.kubernetes.io/")) or key == CLASS


# Writing ---------------------------------------------------------------------------------------------------------------


def flattened(tree: Mapping[str, Tree], side: str) -> dict[str, str]:
    """The annotations that say a tree of settings, every mapping and list opened."""
    return dict(_flat(f"{PREFIX}{side}", dict(tree)))


def _flat(key: str, tree: Tree) -> Iterator[tuple[str, str]]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from _flat(f"{key}.{name.lower()}", value)
    elif isinstance(tree, list) and any(isinstance(item, dict) for item in tree):
        width = len(str(len(tree) - 1))  # Traefik sorts the indexes as texts
        for index, item in enumerate(tree):
            yield from _flat(f"{key}.{index:0{width}}", item)
    elif isinstance(tree, list):
        yield key, ",".join(map(str, tree))
    else:
        yield key, paerser.scalar_text(tree) or ""
