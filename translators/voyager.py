"""Voyager's Ingress: `voyager.appscode.com/v1beta1` and `v1`, which AppsCode's operator turns into a HAProxy.

    pinfeather convert ingress.yaml services.yaml --from voyager --to ingressroute
    pinfeather convert shop.yaml --to voyager

What an Ingress means is our own reading. The operator is closed since 2021: this follows its last public source, its API
types, its published templates of haproxy.cfg, and what HAProxy 2.6 does with the result. The tests run that reading on a real
HAProxy; nobody could run it on the operator.

Reading. HTTP and TCP rules, `tls`, the default backend, and Services of the stream for their annotations. `affinity: cookie`
on the Ingress holds for every backend, and wins as a whole over the Service's; for TCP it is a table of source addresses.
Routes are in the order of Voyager's sort, and get numbers. A rule without a port is one of the default entry points: HAProxy
listens on 80, or on 443 where `tls` has the host. Ports and names of entry points: `--entry-points web=80,websecure=443`; any
other port N is called `port-N`. Each Ingress is a HAProxy of its own: two that answer for one host are refused.
Raw rules are read where they are `acl` and `use_backend` of known conditions, a backend's `cookie` line, or what we write
ourselves. Every other one is named; if it could refuse a request or send it elsewhere, the routes behind it are not read.
So it is with annotations that protect (`auth-*`, `limit-*`, `proxy-body-size`...); `whitelist-source-range` is read as a
middleware of every route. Two paths of one host that differ in `/` and `-` alone are one to Voyager, and refused.

Writing. One Ingress. Hosts and prefixes become rules as long as Voyager's sort keeps the document's order; canaries, weights
and all that must come before become `frontendRules`, each route below a comment that names it, with `option httplog` and
`option forwardfor`, which Voyager drops there. Backends that only such rules use are declared below the host
`pinfeather.invalid`. Servers by URL become Services with EndpointSlices (Voyager v2026.3.23; before, it asked for Endpoints).
The variant cookie is set by the backend that was drawn; attributes of the servers' cookies stand in a second `cookie` line
(HAProxy 2.4 and later: Voyager v2021.09.15). Where all backends are sticky the Ingress is annotated, else the Services, as
patches. TLS needs the Secret of its certificate: the route says it, or `--secret NAME` does for all that say none. With TLS,
`hsts` and `ssl-redirect` are switched off: the document does not ask for them. No text that holds a blank, a quote, `#`, `\\`
or `$` is ever put into a rule.

Different from other proxies, and not said each time: HAProxy compares paths as they were sent, Traefik after it has cleaned
them; the servers' cookie does not reach the application, and names a pod; a dead pod keeps its clients (503), as long as its
Service has no check. Weights of single pods (`backend-weight`) stand in their Deployments and are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import field_validator

from pinfeather.model.build import build
from pinfeather.model.diagnostics import Severity, span_at
from pinfeather.model.document import Document
from pinfeather.model.features import Feature, Support
from pinfeather.translators._haproxy.plan import mapping
from pinfeather.translators._haproxy.reading import read
from pinfeather.translators._haproxy.supports import table
from pinfeather.translators._haproxy.writing import write
from pinfeather.translators.contract import Emitted, File, KubernetesObject, KubernetesPatch, Options, Parsed, Source, Translator


class VoyagerOptions(Options):
    """Options of `voyager`."""

    api: Literal["v1", "v1beta1"] = "v1"
    """The version that is written. Both are read."""
    entry_points: str = "web=80,websecure=443"
    """The port of each entry point, where the document does not say it."""

    secret: str = ""
    """The Secret with the certificate of each route that has TLS and names none."""

    @field_validator("entry_points")
    @classmethod
    def _ports(cls, text: str) -> str:
        try:
            mapping(text)
        except ValueError:
            raise ValueError(f"{text!r}: write NAME=PORT with commas between them, each port once") from None
        return text


def supports(options: VoyagerOptions) -> Mapping[Feature, Support]:
    return table(mapping(options.entry_points), options.secret)


def parse(source: Source, options: VoyagerOptions) -> Parsed:
    found = read(source.files, mapping(options.entry_points), options.secret)
    broken = not found.tree["routes"] and any(each.severity is Severity.ERROR for each in found.found)
    document, faults = (None, ()) if broken else build(found.tree)
    placed = (fault.at(span_at(found.spans, fault.path)) for fault in faults)
    return Parsed(document, (*found.found, *placed), found.spans, found.passed)


_OURS = re.compile(r"""^[ \t"'{]*apiVersion["']?[ \t]*:[ \t]*["']?voyager\.appscode\.com/v1""", re.MULTILINE)


def recognise(file: File) -> bool:
    text = file.text if isinstance(file.text, str) else file.text[: 1 << 20].decode("utf-8", "replace")
    return _OURS.search(text) is not None


def emit(document: Document, options: VoyagerOptions) -> Emitted:
    written = write(document, mapping(options.entry_points), options.api, options.secret)
    objects = (*written.services, written.ingress)
    return Emitted((*map(KubernetesObject, objects), *map(KubernetesPatch, written.patches)))


TRANSLATOR = Translator(
    name="voyager",
    doc=__doc__,
    options=VoyagerOptions,
    supports=supports,
    parse=parse,
    emit=emit,
    recognise=recognise,
)
