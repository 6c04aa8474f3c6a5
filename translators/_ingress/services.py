"""The Services behind Ingress paths: their annotations, their ports, and what Traefik makes of both.

After Traefik 3.7 (pkg/provider/kubernetes/ingress/kubernetes.go, loadService). The annotations stand on the Service and hold
for every path of every Ingress that leads there. A Service that is not among the files has none that are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pinfeather.model.diagnostics import Code, Path, Span, error, info, warning
from pinfeather.translators._crd.backends import Asked, Backend, servers_of
from pinfeather.translators._crd.catalogue import Catalogue
from pinfeather.translators._ingress.annotations import Annotated, ignored
from pinfeather.translators._ingress.says import service_name
from pinfeather.translators._syntax.kube import KubeObject
from pinfeather.translators._syntax.taking import Taking
from pinfeather.translators._syntax.tree import Spans, Tree
from pinfeather.translators._traefik.nouns import BOOLEAN, Key, Reader, default_cookie_name, take, take_sticky

PROVIDER = "kubernetes"
SERVICE = (Key("pass_host_header", "passHostHeader", BOOLEAN), Key("servers_transport", "serversTransport", absent=("",)))
_SCHEMES = ("http", "https", "h2c")


class _Said(NamedTuple):
    """What a Service says: the fields of the noun (None: Traefik skips every path to it), and what stood where below it."""

    tree: dict[str, Tree] | None
    scheme: str | None = None
    named: bool = True
    """Whether the sticky cookie has a name of its own."""
    spans: Mapping[Path, Span] = {}


class Services:
    """Those of one run. `tree` is the section `services` of the document."""

    def __init__(self, catalogue: Catalogue, middlewares: Mapping[str, str]) -> None:
        self.tree: dict[str, Tree] = {}
        self._catalogue = catalogue
        self._middlewares = middlewares
        self._said: dict[tuple[str, str], _Said] = {}
        self._backends: dict[KubeObject, Backend] = {}
        self._unseen: dict[tuple[str, str], Span] = {}

    def behind(self, held: KubeObject, node: Taking, called: str = "") -> str | None:
        """The service of an Ingress's backend, by its name in the model; None where there is none, and why was said.

        `called`: Traefik's name of it, if it is not made of the Service's.
        """
        node.known("resource", why="Traefik takes Services alone, and skips the path")
        service = node.map("service")
        if service is None:
            if not isinstance(node.value, dict) or node.value.get("resource") is None:
                node.error(Code.VALUE, "no `service` here: Traefik skips the path", instead="name a Service and its port")
            return None
        name, port = service.text("name"), service.map("port")
        number = None if port is None else port.integer("number", 1, 65535)
        word = None if port is None else port.text("name")
        if not name or (number is None) == (not word):
            service.error(Code.VALUE, "a backend has a `name`, and a `port` with a `number` or a `name`", instead="write both")
            return None
        home = self._catalogue.home(held)
        made = service_name(home, name, word or number or 0)
        said = self._of((home, name), called or made)
        if said.tree is None:
            what = f"Traefik skips this path: see the annotations of the Service {home}/{name}"
            service.error(Code.UNSUPPORTED, what, "name", instead="repair them")
            return None
        found = self._catalogue.find("Service", home, name)
        if found is None:
            self._unseen.setdefault((home, name), service.span_of("name"))
        if found is not None and _is_patch(found.obj):
            ref: dict[str, Tree] = {"service": name, "port": word or number, "namespace": held.namespace, "scheme": said.scheme}
            servers: list[Tree] | None = [{"kubernetes": {key: value for key, value in ref.items() if value}}]
        else:
            asked = Asked(service, held, name, None, word or number or 0, said.scheme)
            servers = servers_of(asked, self._catalogue, self._backends, tcp=False)
        return None if servers is None else self._add(made, called or made, servers, said, service)

    def _add(self, made: str, called: str, servers: list[Tree], said: _Said, node: Taking) -> str | None:
        tree: dict[str, Tree] = {"servers": servers, **(said.tree or {})}
        sticky = tree.get("sticky")
        if not said.named and isinstance(sticky, dict) and isinstance(cookie := sticky["cookie"], dict):
            tree["sticky"] = {"cookie": {**cookie, "name": default_cookie_name(f"{called}@{PROVIDER}")}}
        held = self.tree.setdefault(made, tree)
        if isinstance(held, dict) and held["servers"] != servers:
            what = f"Traefik calls two services {made!r}, this one and one before: the last one wins, and what goes to either goes there"
            node.error(Code.COLLISION, what, "name", instead="give one of the Services another name; the first is read")
            return None
        at: Path = ("services", made)
        spans = self._catalogue.spans
        if at not in spans:
            spans[at] = node.span
            spans.update({(*at, "servers", index): node.span_of("name") for index in range(len(servers))})
            spans.put_below(at, Spans(said.spans))
        return made

    # Their annotations.

    def _of(self, key: tuple[str, str], called: str) -> _Said:
        if key not in self._said:
            found = self._catalogue.find("Service", *key)
            self._said[key] = _Said({}) if found is None else self._read(found.obj, called)
        return self._said[key]

    def _read(self, held: KubeObject, called: str) -> _Said:
        found = Annotated(held, "service")
        spans = Spans()
        reader = Reader(PROVIDER, self._catalogue.options.version, spans, held.text)
        tree: dict[str, Tree] = {}
        scheme, named, node = None, True, found.node
        if node is not None:
            tree = take(node, SERVICE, (), reader)
            if names := middleware_names(found, node, self._middlewares, reader):
                tree["middlewares"] = names
            if (scheme := node.text("serversScheme")) and scheme not in _SCHEMES:
                node.error(Code.VALUE, f"serversscheme {scheme!r} is not known", "serversScheme", instead=f"write {', '.join(_SCHEMES)}")
            if (sticky := take_sticky(node, ("sticky",), reader, called, split=False)) is not None:
                tree["sticky"] = sticky
                named = ("sticky", "cookie", "name") in spans
            _native(node, found, sticky=sticky is not None)
        sound = found.finish()
        for finding in (*found.found, *ignored(held)):
            held.node.report(finding)
        return _Said(tree if sound else None, scheme or None, named, spans)

    def finish(self) -> None:
        """Looks at the Services that no path leads to; those that are the cluster's own are handed on."""
        catalogue = self._catalogue
        for held in (
            each.obj for kind in ("Service", "EndpointSlice", "Endpoints", "Secret", "IngressClass") for each in catalogue.of(kind)
        ):
            if held.kind == "Service":
                self._of((catalogue.home(held), held.name), held.name)
            if held not in catalogue.used:
                held.node.tree("spec")
                if held.kind != "Service":
                    held.node.forget()
                if held.document:
                    catalogue.stream.passed.append(held.document)
        if self._unseen:
            (space, name), span = next(iter(self._unseen.items()))
            more = f" and {len(self._unseen) - 1} more are" if len(self._unseen) > 1 else " is"
            what = f"the Service {space}/{name}{more} not among the files: what annotations say there (stickiness, scheme) is not known"
            catalogue.stream.found.append(info(Code.ASSUMED, what, span=span, instead="give the Services' files too"))


def _is_patch(held: KubeObject) -> bool:
    """Whether an object is a part of a Service, which says nothing of its ports."""
    return not isinstance(held.node.value, dict) or held.node.value.get("spec") is None


def middleware_names(found: Annotated, node: Taking, known: Mapping[str, str], reader: Reader) -> list[Tree]:
    """The middlewares of an annotation: those of the stream by their names in the model, the others as references."""
    names: list[Tree] = []
    for text in node.text_list("middlewares"):
        own, at, provider = text.partition("@")
        if not at or provider == PROVIDER:
            what = f"{text!r} is no middleware: Traefik looks for it in its Ingress provider, which has none, and disables the router"
            found.found.append(error(Code.VALUE, what, span=node.span_of("middlewares"), instead="write NAMESPACE-NAME@kubernetescrd"))
        names.append(known.get(own, text) if provider == "kubernetescrd" else text)
    reader.mark(("middlewares",), node, "middlewares")
    return names


def _native(node: Taking, found: Annotated, *, sticky: bool) -> None:
    span = node.key_span_of("nativeLB")
    if node.boolean("nativeLB"):
        what = "with nativelb there is one server, the Service itself, and kube-proxy draws the pod"
        if sticky:
            found.found.append(warning(Code.NATIVE_LB, f"{what}: the cookie pins nothing", span=span, instead="take one of the two out"))
        else:
            found.found.append(info(Code.ASSUMED, what, span=span, instead="it is read as if Traefik drew it: every pod is reached"))
    span = node.key_span_of("nodePortLB")
    if node.boolean("nodePortLB"):
        what = "nodeportlb is known, but not read: the model has no ports of nodes"
        found.found.append(error(Code.UNSUPPORTED, what, span=span, instead="it is read as the Service itself"))
