"""Streams with Voyager Ingresses, read: the Services that they need for their annotations, and the Ingresses one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pinfeather.model.diagnostics import Code, Diagnostic, Severity, error
from pinfeather.translators._haproxy.annotations import Notes, notes_of
from pinfeather.translators._haproxy.backends import Object, Servers
from pinfeather.translators._haproxy.ingress import Ingress
from pinfeather.translators._haproxy.routes import put_routes
from pinfeather.translators._syntax.kube import KubeObject, Stream, read_objects
from pinfeather.translators._syntax.tree import Spans
from pinfeather.translators.contract import File

GROUP = "voyager.appscode.com"
_HELPERS = (("", "Service"), ("", "Endpoints"), ("discovery.k8s.io", "EndpointSlice"))
_SUBJECT = ((GROUP, "Ingress"), *_HELPERS)
_SECTIONS = ("entry_points", "services", "middlewares", "tcp_services", "tcp_middlewares")


@dataclass
class Read:
    """The document's tree, and what there is to say."""

    tree: Object
    spans: Spans = field(default_factory=Spans)
    found: tuple[Diagnostic, ...] = ()
    passed: tuple[str, ...] = ()


def read(files: Sequence[File], given: Mapping[str, int], secret: str) -> Read:
    stream = read_objects(files, _SUBJECT)
    noted: dict[tuple[str, str], Notes] = {}
    for service in stream.of("Service", ""):
        noted[service.namespace or "default", service.name] = notes_of(service, "Service")
        if not noted[service.namespace or "default", service.name].rest:
            service.metadata.pop("annotations", None)  # they were read
    made = Read({"pinfeather": "v1", "routes": [], "tcp_routes": []})
    made.tree |= {section: {} for section in _SECTIONS}
    owners = list(stream.of("Ingress", GROUP))
    servers = Servers(stream, made.spans)
    taken: list[Ingress] = []
    for owner in owners:
        ingress = Ingress(owner, made.tree, made.spans, noted, servers, given, secret)
        ingress.take()
        if not _clash(ingress, taken):
            taken.append(ingress)
    put_routes(taken, made.tree, made.spans)
    for helper in (each for each in stream.objects if (each.group, each.kind) in _HELPERS and each not in servers.catalogue.used):
        helper.node.tree("spec")
        if helper.kind != "Service":
            helper.node.forget()
        if helper.document and isinstance(helper.node.value, dict) and helper.node.value.keys() & {"spec", "subsets", "endpoints"}:
            stream.passed.append(helper.document)
    made.found, made.passed = tuple(_said(stream, owners)), tuple(stream.passed)
    return made


def _said(stream: Stream, owners: Sequence[KubeObject]) -> Iterator[Diagnostic]:
    found = stream.finish()
    yield from found
    if not owners and not any(finding.severity is Severity.ERROR for finding in found):
        yield error(Code.EMPTY, "there is no Voyager Ingress in it", instead=f"give an object of kind Ingress, apiVersion {GROUP}/v1")


def _clash(ingress: Ingress, taken: Sequence[Ingress]) -> bool:
    """Each Ingress is a HAProxy of its own: two that answer for one host are not one set of routes."""
    for other in taken:
        if any(_meet(mine, theirs) for mine in ingress.answers for theirs in other.answers):
            said = f"{other.notes.owner.where} answers for the same hosts, and each Voyager Ingress is a HAProxy of its own"
            ingress.notes.owner.node.error(Code.NAME_CLASH, said, instead="convert them one by one")
            return True
    return False


def _meet(one: tuple[int, str | None], other: tuple[int, str | None]) -> bool:
    if one[0] != other[0]:
        return False
    first, second = one[1], other[1]
    if first is None or second is None or first == second:
        return True
    return (first.startswith("*") and second.endswith(first[1:])) or (second.startswith("*") and first.endswith(second[1:]))
