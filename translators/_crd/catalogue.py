"""Traefik's Kubernetes objects: their kinds, the catalogue of one run, and how one object names another.

Kinds and keys after Traefik 3.7 (pkg/provider/kubernetes/crd/traefikio/v1alpha1), what it drops after
pkg/provider/kubernetes/crd/kubernetes.go and kubernetes_http.go. A name is looked up in the namespace of the object that
says it; an object without a namespace stands in the one that the options say, or in `default`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

from pinfeather.model.diagnostics import Code, Diagnostic, Edit, Fix, Path, Severity, error, info, nearest
from pinfeather.model.noun import Template
from pinfeather.translators._syntax import kube
from pinfeather.translators._syntax.kube import KubeObject
from pinfeather.translators._syntax.taking import Manner, Taking
from pinfeather.translators._syntax.tree import Spans, Tree
from pinfeather.translators._traefik.nouns import Reader
from pinfeather.translators._traefik.options import KubernetesOptions

GROUP, OLD_GROUP, VERSION = "traefik.io", "traefik.containo.us", "v1alpha1"
API = f"{GROUP}/{VERSION}"
PROVIDER = "kubernetescrd"
OWN = (
    "IngressRoute", "IngressRouteTCP", "TraefikService", "Middleware", "MiddlewareTCP", "TLSOption", "ServersTransport",
    "ServersTransportTCP",
)  # fmt: skip
HELPERS = (("", "Service"), ("", "Endpoints"), ("discovery.k8s.io", "EndpointSlice"), ("", "Secret"), ("cert-manager.io", "Certificate"))
"""Objects of others that ours lean on. Those that nothing of ours needs are handed on."""
SUBJECT = frozenset({*((group, kind) for group in (GROUP, OLD_GROUP) for kind in OWN), *HELPERS})
MANNER = Manner(number_durations=True)
SECTIONS = {
    "TraefikService": "services", "Middleware": "middlewares", "MiddlewareTCP": "tcp_middlewares", "TLSOption": "tls_options",
    "ServersTransport": "servers_transports", "ServersTransportTCP": "servers_transports",
}  # fmt: skip
"""Where the document holds what other objects name."""


class CrdOptions(KubernetesOptions):
    """What one instance is configured for (`providers.kubernetesCRD`); the defaults are Traefik's own."""

    safe_naming: bool = False
    """Names that never collide (`safeNaming`, since 3.7.15)."""
    allow_cross_namespace: bool = False
    """Objects may name others of another namespace."""
    allow_external_name_services: bool = False
    """Services of type ExternalName are taken."""
    allow_empty_services: bool = False
    """A Service without endpoints answers 503; without this its route is dropped."""

    def home(self, namespace: str | None) -> str:
        """The namespace that an object lives in."""
        return str(namespace or self.namespace or "default")


@dataclass(eq=False)
class Named:
    """An object that has a name in the document. `spelled`, `implied`: how often its namespace was said where it was named."""

    obj: KubeObject
    name: str
    spelled: int = 0
    implied: int = 0
    lost: bool = False


@dataclass
class Catalogue:
    """Everything of one run, by kind, namespace and name."""

    options: CrdOptions
    stream: kube.Stream
    spans: Spans
    expressions: re.Pattern[str] | None = None
    things: dict[str, dict[tuple[str, str], Named]] = field(default_factory=dict)
    used: set[KubeObject] = field(default_factory=set)
    """Helpers that were read."""
    applied: dict[KubeObject, str] = field(default_factory=dict)
    """Where an object without a namespace is taken to be applied, by what it names."""
    _by_namespace: dict[str, dict[str, list[Named]]] = field(default_factory=dict)

    def reader(self, obj: KubeObject, spans: Spans | None = None) -> Reader:
        return Reader(PROVIDER, self._version, self.spans if spans is None else spans, obj.text, expressions=self.expressions)

    @cached_property
    def _version(self) -> tuple[int, int]:
        return self.options.version

    def home(self, obj: KubeObject) -> str:
        return self.options.home(obj.namespace)

    def gather(self) -> None:
        """Names every object, each once; says what Traefik does not look at."""
        taken: dict[str, set[str]] = {}
        for obj in self.stream.objects:
            things = self.things.setdefault(obj.kind, {})
            key = (self.home(obj), str(obj.name))
            if obj.kind in OWN:
                _check_group(obj, self.options)
            if not isinstance(obj.name, Template) and not kube.is_subdomain(obj.name):
                at = obj.metadata_node or obj.node
                at.error(Code.VALUE, f"no object can be called {obj.name!r}", "name", instead="write a-z, 0-9, '-' and '.'")
            if is_fragment(obj):
                _say_fragment(obj)
                continue
            if key in things:
                things[key].obj.node.forget()
                first = things[key].obj.node.span
                said = f"{obj.where} stands in {first.file}, line {first.line}, already: the API server keeps the later one"
                obj.node.report(error(Code.NAME_CLASH, said, span=obj.node.span, instead="give it another name, or take one out"))
                things[key] = Named(obj, things[key].name)
                continue
            names = taken.setdefault(SECTIONS.get(obj.kind, obj.kind), set())
            name = free_name(plain_name(obj.name), names)
            names.add(name)
            things[key] = Named(obj, name)

    def of(self, kind: str) -> Iterable[Named]:
        return self.things.get(kind, {}).values()

    def find(self, kind: str, namespace: str, name: str) -> Named | None:
        return self.things.get(kind, {}).get((namespace, str(name)))

    def by(self, kind: str, namespace: str) -> list[Named]:
        """Everything of a kind in one namespace."""
        if kind not in self._by_namespace:
            found: dict[str, list[Named]] = {}
            for (where, _), thing in self.things.get(kind, {}).items():
                found.setdefault(where, []).append(thing)
            self._by_namespace[kind] = found
        return self._by_namespace[kind].get(namespace, [])

    # One object names another.

    def namespace(self, parent: KubeObject, node: Taking) -> str | None:
        """The namespace that a reference asks for (None: its own), or the empty text where Traefik drops what asks; that was said."""
        written = node.text("namespace")
        if not written or self.options.allow_cross_namespace or self.options.home(written) == self.home(parent):
            return written or None
        if parent.namespace is None and not self.options.namespace:
            if parent not in self.applied:
                said = f"{parent.where} says no namespace; it is taken to be applied into {str(written)!r}, whose things it names"
                node.report(info(Code.ASSUMED, said, (*node.path, "namespace"), instead="write it", span=node.span_of("namespace")))
            if self.applied.setdefault(parent, str(written)) == str(written):
                return written
        elif isinstance(written, Template) or isinstance(parent.namespace, Template):
            return written
        said = f"{parent.where} names something in {str(written)!r}: Traefik drops what does so, unless the instance allows it"
        node.error(Code.REFERENCE, said, "namespace", instead="put both into one namespace, or say --allow-cross-namespace if it does")
        return ""

    def refer(self, kind: str, parent: KubeObject, node: Taking) -> str | None:
        """The name, in the document, of the object that `{name, namespace}` names; None where there is none, and that was said."""
        name = node.text("name")
        namespace = self.namespace(parent, node)
        if not name:
            node.error(Code.VALUE, f"a reference to a {kind} without a name", instead="add `name`")
        return self.look_up(kind, parent, name, namespace, node, "name") if name and namespace != "" else None

    def look_up(self, kind: str, parent: KubeObject, name: str, namespace: str | None, node: Taking, key: str) -> str | None:
        """The same for a name and a namespace that were taken already."""
        if "@" in name:
            if name.endswith(f"@{PROVIDER}") and not self.options.allow_cross_namespace:
                said = f"{name!r}: Traefik drops what names its own provider, unless the instance allows other namespaces"
                node.error(Code.REFERENCE, said, key, instead="write `name` and `namespace`, or say --allow-cross-namespace")
                return None
            return name
        home = self.home(parent) if namespace is None else self.options.home(namespace)
        found = self.find(kind, home, name)
        if found is not None:
            found.spelled += namespace is not None
            found.implied += namespace is None
            return None if found.lost else found.name
        if siblings := self.by(kind, home):
            meant = nearest(name, [str(each.obj.name) for each in siblings])
            hint = f"did you mean {meant!r}?" if meant else "add it, or take the reference out"
            node.error(Code.REFERENCE, f"there is no {kind} {home}/{name}: Traefik drops the route", key, instead=hint)
            return None
        reference = f"{home}{self.joint}{name}@{PROVIDER}"
        return Template(reference) if isinstance(name, Template) or isinstance(namespace, Template) else reference

    @property
    def joint(self) -> str:
        """What stands between namespace and name in Traefik's own names."""
        return "_" if self.options.safe_naming else "-"

    # Helpers.

    def hand_on(self) -> None:
        """Hands on the helpers that nobody needed: whole documents, byte for byte."""
        helpers = [obj for obj in self.stream.objects if obj.kind not in OWN]
        left = [obj for obj in helpers if obj not in self.used]
        for obj in left:
            obj.node.forget()
            if obj.metadata_node is not None:
                obj.metadata_node.forget()
            if obj.document:
                self.stream.passed.append(obj.document)
        by_file: dict[str, list[KubeObject]] = {}
        for obj in left:
            by_file.setdefault(obj.node.span.file, []).append(obj)
        for objects in by_file.values():
            kinds = sorted({obj.kind for obj in objects})
            counted = ", ".join(f"{sum(obj.kind == kind for obj in objects)} {kind}" for kind in kinds)
            said = f"needed by no route, left alone: {counted}"
            self.stream.found.append(info(Code.SCOPE, said, span=objects[0].node.span, instead="--pass-through copies them to the output"))


def is_fragment(obj: KubeObject) -> bool:
    """Whether an object lacks what it could not be without: a patch that somebody merges into another."""
    spec = obj.node.value.get("spec") if isinstance(obj.node.value, dict) else None
    if obj.kind == "TraefikService":
        return not isinstance(spec, dict) or not spec.keys() & {"weighted", "mirroring", "highestRandomWeight", "failover"}
    if obj.kind not in ("IngressRoute", "IngressRouteTCP"):
        return False
    routes = spec.get("routes") if isinstance(spec, dict) else None
    return not isinstance(routes, list) or not any(isinstance(route, dict) and "match" in route for route in routes)


def _say_fragment(obj: KubeObject) -> None:
    obj.node.forget()
    said = f"{obj.where} is a part of an object, meant to be merged into another: it says nothing by itself"
    obj.node.report(info(Code.PATCH_FRAGMENT, said, obj.node.path, instead="build the whole first", span=obj.node.span))


def plain_name(name: str) -> str:
    """An object's name as the name of a noun."""
    return kube.object_name(str(name)) if isinstance(name, Template) else name


def free_name(base: str, taken: set[str]) -> str:
    """The name, or the first of `name-2`, `name-3`, … that is free."""
    number, name = 1, base
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def _check_group(obj: KubeObject, options: CrdOptions) -> None:
    if obj.version != VERSION:
        obj.node.error(Code.VALUE, f"there is no {obj.kind} in {obj.group}/{obj.version}", "apiVersion", instead=f"write {API}")
    elif obj.group == OLD_GROUP and options.version >= (3, 0):
        span, path = obj.node.span_of("apiVersion"), (*obj.node.path, "apiVersion")
        said = f"{obj.where} is of the API group of Traefik 2: Traefik 3 does not look at it"
        fix = Fix(f"write {API}", (Edit(span, API),))
        obj.node.report(Diagnostic(Code.OLD_API_GROUP, Severity.ERROR, said, path, f"write `apiVersion: {API}`", span, (fix,)))


def metadata_of(obj: KubeObject) -> dict[str, Tree]:
    """The metadata of a noun; a name that another program fills in is kept as it is written."""
    return {**obj.metadata, **({"object": obj.name} if isinstance(obj.name, Template) else {})}


def mark_metadata(obj: KubeObject, at: Path, catalogue: Catalogue) -> None:
    node = obj.metadata_node
    if node is not None:
        catalogue.spans[(*at, "metadata")] = node.spot
        for key in ("namespace", "labels", "annotations"):
            if key in obj.metadata:
                catalogue.reader(obj).mark((*at, "metadata", key), node, key, obj.metadata[key])


# Traefik's own names ----------------------------------------------------------------------------------------------------


def normalized(*parts: object) -> str:
    """Traefik's names: what is no letter and no digit is one `-` (pkg/provider/provider.go, Normalize)."""
    text = "-".join(map(str, parts))
    return text if _NORMAL.fullmatch(text) is not None else "-".join(part for part in _CUT.split(text) if part)


_NORMAL, _CUT = re.compile(r"[A-Za-z0-9]++(?:-[A-Za-z0-9]++)*+"), re.compile(r"[^\w]|_")


def router_name(home: str, name: str, match: str, index: int, options: CrdOptions) -> str:
    """What Traefik calls the router of a route, and, in legacy naming, the service below it (kubernetes_http.go, makeServiceKey)."""
    if options.safe_naming:
        return f"{home}_{name}_{index}"
    return normalized(home, f"{name}-{sha256(match.encode('utf-8', 'surrogatepass')).hexdigest()[:20]}")


def service_id(home: str, name: str, options: CrdOptions) -> str:
    """What Traefik calls a TraefikService."""
    return f"{home}_{name}" if options.safe_naming else normalized(home, name)


def child_name(holder: str, home: str, service: str, port: object, index: int, options: CrdOptions) -> str:
    """What Traefik calls one Service of several: in legacy naming the same wherever it stands."""
    if options.safe_naming:
        return f"{holder}_wrr_{index}_{home}_{service}_{port}"
    return normalized(home, service, port)
