"""The backends of a Voyager Ingress, read: each use of a Kubernetes Service becomes a service, its raw rules taken by grammar."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain, count
from typing import NamedTuple

from pinfeather.model.diagnostics import Code, error, info, warning
from pinfeather.translators._crd.backends import Backend, backend_of
from pinfeather.translators._crd.catalogue import Catalogue, CrdOptions, Named
from pinfeather.translators._haproxy.annotations import AFFINITY, CHECK, Affinity, Notes
from pinfeather.translators._haproxy.extras import take_check
from pinfeather.translators._haproxy.frontend import HEAD, bound_service
from pinfeather.translators._haproxy.rules import answers, take_cookie, take_variant, words
from pinfeather.translators._syntax.kube import KubeObject, Stream
from pinfeather.translators._syntax.taking import Taking
from pinfeather.translators._syntax.tree import Spans, Tree

Object = dict[str, Tree]
_HARMLESS = (
    "option", "timeout", "log", "log-format", "capture", "maxconn", "errorfile", "retries", "fullconn", "compression", "hash-type",
    "no", "default-server", "balance", "description",
)  # fmt: skip
_HARMLESS_ANSWERS = ("set-header", "add-header", "del-header", "set-log-level")
_SAID = {"true": True, "false": False}


def harmless(line: str) -> bool:
    """Whether a raw rule can neither refuse a request nor send it elsewhere."""
    parts = words(line)
    if not parts:
        return parts == []
    if parts[0] == "http-response":
        return len(parts) > 1 and parts[1] in _HARMLESS_ANSWERS
    return parts[0] in _HARMLESS and "\n" not in line


class Servers:
    """The Services of a run that have no selector, and whose endpoints stand beside them."""

    def __init__(self, stream: Stream, spans: Spans) -> None:
        self.catalogue = Catalogue(CrdOptions(), stream, spans)
        self._known: dict[KubeObject, Backend] = {}
        for each in stream.objects:
            things = self.catalogue.things.setdefault(each.kind, {})
            things.setdefault((each.namespace or "default", each.name), Named(each, each.name))

    def of(self, ref: Object) -> list[str] | None:
        """The addresses behind a reference; None: whatever endpoints are there."""
        _, backend = backend_of(str(ref.get("namespace", "default")), str(ref["service"]), self.catalogue, self._known)
        if backend is None or backend.addresses is None:
            return None
        names = [name for name, number in backend.ports if ref["port"] in (number, name)]
        found = [(address, port) for address, port, name in backend.addresses if name in names[:1]]
        return [f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address, port in dict(found).items()]


class Taken(NamedTuple):
    """A backend: its service, and the route that it names itself for. No service: it cannot be read, and was reported."""

    service: str | None
    route: str | None


class _Lines(NamedTuple):
    """What the raw rules of a backend say."""

    notes: Mapping[str, str]
    cookie: Object | None
    variant: tuple[Object, str] | None
    check: Object | None
    sound: bool


@dataclass
class Backends:
    """Those of one Ingress, and the services of the whole run."""

    owner: Notes
    services: Object
    tcp_services: Object
    noted: Mapping[tuple[str, str], Notes]
    """The annotations of each Kubernetes Service, by namespace and name."""
    servers: Servers
    spans: Spans
    old: bool
    """v1beta1."""
    named: dict[str, str | None] = field(default_factory=dict)
    """Each `backend.name` of this Ingress, and its service; None where that cannot be read."""
    variants: dict[str, Object] = field(default_factory=dict)
    """The variant cookie that a backend sets, by the backend's name."""
    _known: dict[str, str] = field(default_factory=dict)

    def take(self, holder: Taking, key: str, *, tcp: bool = False, default: bool = False) -> Taken:
        node = holder.map(key)
        if node is None:
            holder.error(Code.VALUE, f"there is no {key!r} here: Voyager has nowhere to send requests", instead=f"add `{key}`")
            return Taken(None, None)
        name = node.text("name")
        lines = self._lines(node)
        sound = lines.sound
        for lost in ("hostNames", "rewriteRules", "headerRules"):
            if isinstance(node.value, dict) and node.value.get(lost):
                node.known(lost, why="it changes requests, or who is asked; what leads here is not read")
                sound = False
        node.known("loadBalanceOn")
        node.out_of_scope("alpn", "proto")
        ref = self._reference(node)
        if name is not None and name in self.named:
            said = f"two backends are called {name!r}: HAProxy refuses the whole configuration, and later changes are lost too"
            node.error(Code.COLLISION, said, "name", instead="name one of them only, or write two names")
            sound = False
        if ref is None or not sound or self._noted(ref).lost:
            self.named |= {name: None} if name is not None else {}
            return Taken(None, lines.notes.get("route"))
        service = self._service(node, name, ref, lines, tcp=tcp, default=default)
        self.named |= {name: service} if name is not None else {}
        return Taken(service, lines.notes.get("route"))

    # Whom it asks.

    def _reference(self, node: Taking) -> Object | None:
        if self.old:
            name, port = node.text("serviceName"), _int_or_text(node, "servicePort")
        else:
            held = node.map("service")
            if held is None:
                node.error(Code.VALUE, "this backend names no service", instead="write `service: {name: …, port: {number: …}}`")
                return None
            name = held.text("name")
            choice = held.map("port")
            number = None if choice is None else choice.integer("number", 1, 65535)
            text = None if choice is None else choice.text("name")
            if number is not None and text is not None:
                held.error(Code.VALUE, "`number` and `name` are both given: the API server takes one", "port", instead="leave one out")
                return None
            port = number if number is not None else text
        if not name or port is None:
            node.error(Code.VALUE, "this backend lacks the name or the port of its service: Voyager leaves it out", instead="write both")
            return None
        service, _, namespace = name.partition(".")
        namespace = namespace or self.owner.owner.namespace or ""
        return {"service": service, **({"namespace": namespace} if namespace else {}), "port": port}

    def _noted(self, ref: Object) -> Notes:
        return self.noted.get((str(ref.get("namespace", "default")), str(ref["service"])), Notes(self.owner.owner))

    def _affinity(self, ref: Object, node: Taking) -> Affinity | None:
        """The Ingress's block wins as a whole; else the one of the Service holds."""
        noted = self._noted(ref)
        if self.owner.affinity is None:
            return noted.affinity
        if noted.affinity is not None and noted.affinity != self.owner.affinity:
            said = f"{noted.owner.where} is annotated too: the annotations of the Ingress win, as a whole"
            node.report(warning(Code.SETTING_IGNORED, said, instead="take one of them out", span=noted.span(AFFINITY)))
        return self.owner.affinity

    # What it is called, and what it says.

    def _service(self, node: Taking, name: str | None, ref: Object, lines: _Lines, *, tcp: bool, default: bool) -> str | None:
        affinity = self._affinity(ref, node)
        if default and affinity is not None and affinity.hash is not None:
            said = "session-cookie-hash does nothing for the default backend: the cookie is the pod's name"
            node.report(warning(Code.SETTING_IGNORED, said, span=node.span, instead="nothing to do, but to know it"))
            affinity = affinity._replace(hash=None)
        tree = self._tcp_tree(ref, affinity) if tcp else self._http_tree(node, ref, affinity, lines)
        bound = bound_service(name) if name is not None else None
        if name is not None and bound is not None and lines.variant is not None:
            self.variants[name] = lines.variant[0]
        return self._register(bound or name or lines.notes.get("service"), ref, tree, node, tcp=tcp)

    def _register(self, name: str | None, ref: Object, tree: Object, node: Taking, *, tcp: bool) -> str:
        section, path = (self.tcp_services, "tcp_services") if tcp else (self.services, "services")
        key = json.dumps([path, name, ref, tree], sort_keys=True)
        if key in self._known:
            return self._known[key]
        wanted = name or str(ref["service"])
        first = (wanted,) if name is not None else (wanted, f"{wanted}-{ref['port']}", f"{self.owner.owner.name}-{wanted}")
        tries = chain(first, (f"{wanted}-{number}" for number in count(2)))
        new = next(each for each in tries if each not in section or (name is not None and section[each] == tree))
        section[new] = tree
        self._known[key] = new
        self.spans[(path, new)] = node.span
        if "sticky" in tree and (span := self.owner.span(AFFINITY) or self._noted(ref).span(AFFINITY)) is not None:
            self.spans[(path, new, "sticky")] = span
        return new

    def _tcp_tree(self, ref: Object, affinity: Affinity | None) -> Object:
        sticky: Object = {"sticky": {"source_address": {"size": 102_400, "lifetime": "1800s"}}} if affinity is not None else {}
        addresses = self.servers.of(ref)
        servers: list[Tree] = [{"kubernetes": dict(ref)}] if addresses is None else [{"address": each} for each in addresses]
        return {"servers": servers, **sticky}

    def _http_tree(self, node: Taking, ref: Object, affinity: Affinity | None, lines: _Lines) -> Object:
        said = dict(pair.split("=", 1) for pair in lines.notes.get("said", "").split() if "=" in pair)
        addresses = self.servers.of(ref)
        by_name: Object = {"kubernetes": {**ref, **({"scheme": said["scheme"]} if "scheme" in said else {})}}
        servers: list[Object] = [by_name] if addresses is None else [{"url": f"http://{each}"} for each in addresses]
        if said.get("weight", "").isdigit() and len(servers) == 1:
            servers[0]["weight"] = int(said["weight"])
        tree: Object = {"servers": list(servers)}
        if "pass_host_header" in said:
            tree["pass_host_header"] = _SAID.get(said["pass_host_header"])
        if "strategy" in said:
            tree["strategy"] = said["strategy"]
        self._check(tree, ref, lines, node)
        if affinity is not None:
            cookie: Object = lines.cookie or {"name": affinity.cookie}
            cookie |= {"hash": affinity.hash} if affinity.hash is not None else {}
            cookie |= {name: False for name in ("secure", "http_only") if said.get(name) == "false"}
            tree["sticky"] = {"cookie": cookie}
        elif lines.cookie is not None:
            said_so = "a `cookie` line without `affinity: cookie` pins nobody: the servers have no value for it"
            node.report(warning(Code.SETTING_IGNORED, said_so, span=node.span_of("backendRules"), instead="add the annotation"))
        return tree

    def _check(self, tree: Object, ref: Object, lines: _Lines, node: Taking) -> None:
        noted = self._noted(ref)
        if lines.check is not None and noted.checked:
            tree["health_check"] = lines.check
        elif lines.check is not None:
            said = f'`option httpchk` without `{CHECK}: "true"` on the Service checks nobody'
            node.report(warning(Code.SETTING_IGNORED, said, span=node.span_of("backendRules"), instead="add the annotation"))
        elif noted.checked:
            said = f"the check of {noted.owner.where} is a TCP connect, which the model has no place for: it is not read"
            node.report(info(Code.ASSUMED, said, span=noted.span(CHECK), instead="say `option httpchk GET /path` in backendRules"))

    def _lines(self, node: Taking) -> _Lines:
        notes: dict[str, str] = {}
        cookie: Object | None = None
        variant: tuple[Object, str] | None = None
        sound = True
        lines = node.text_list("backendRules")
        check, checking = take_check(lines)
        for number, line in enumerate(lines):
            parts = words(line) or []
            if number in checking:
                continue
            if line.startswith(HEAD) and "\n" not in line:
                word, _, rest = line.removeprefix(HEAD).partition(" ")
                notes[word] = rest
            elif "\n" not in line and (found := take_cookie(parts)) is not None:
                cookie = found
            elif (told := take_variant(line)) is not None:
                variant = told
            elif not answers(line) and line.strip() and not (harmless(line) and words(line) == []):
                sound = self._opaque(node, number, line) and sound
        if variant is not None and (more := re.findall(r"(\w+)=false", notes.get("variant", ""))):
            variant[0].update(dict.fromkeys(more, False))
        return _Lines(notes, cookie, variant, check, sound)

    def _opaque(self, node: Taking, number: int, line: str) -> bool:
        """Reports a raw rule; whether what leads to its backend can be read all the same."""
        mild = harmless(line)
        then = "" if mild else "; it could refuse requests or change them, so what leads to this backend is not read"
        span = node.span_of("backendRules", number)
        said = f"the raw rule {line[:80]!r} is not read{then}"
        node.report(error(Code.UNSUPPORTED, said, instead="say what it does in the target", span=span))
        return mild


def _int_or_text(node: Taking, key: str) -> Tree:
    """Kubernetes' IntOrString: a text of digits is the number."""
    value = node.value.get(key) if isinstance(node.value, dict) else None
    if isinstance(value, str):
        text = node.text(key) or ""
        return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else text or None
    return node.integer(key, 1, 65535)


def take_port(node: Taking, key: str, *, old: bool) -> int | None:
    """A listening port: in v1beta1 also as a text of digits; None where it is absent. 0 where it is wrong, and was reported."""
    value = node.value.get(key) if isinstance(node.value, dict) else None
    if value is None:
        node.tree(key)
        return None
    found = _int_or_text(node, key) if old else node.integer(key, 1, 65535)
    if isinstance(found, int) and not isinstance(found, bool) and 0 < found < 65536:
        return found
    if old and isinstance(found, str):
        node.error(Code.VALUE, f"{key} {found!r} is no port", key, instead="write its number")
    return 0
