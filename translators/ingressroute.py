"""Traefik's Kubernetes objects: IngressRoute, TraefikService, Middleware and what belongs to them.

    helm template shop | pinfeather convert - --from ingressroute --to docker-labels
    pinfeather convert shop.yaml --to ingressroute | kubectl apply -f -

Reading. Streams of many documents and Lists, in any order, of several namespaces. IngressRoute, IngressRouteTCP,
TraefikService, Middleware, MiddlewareTCP, TLSOption, ServersTransport(TCP); of others the Services, EndpointSlices, Secrets and
Certificates that these need. Every other object is named once and left alone (`--pass-through` copies it). Both API groups
are read; `traefik.containo.us` is an error for Traefik 3, with a fix. A route is called as its object: the last of
several as it is, one before it that is the same with a further condition is its canary. One use of a Service is one service, called
after it. What Traefik drops without a word is an error at its line: a missing Middleware, a reference to another
namespace, an ExternalName, a Service without endpoints, each unless the instance allows it. A TraefikService or
Middleware of a namespace of which nothing of its kind is here is taken to stand elsewhere (`ns-name@kubernetescrd`). Patches are
recognised and said.

Writing. One IngressRoute for a route and its canaries, with every priority; a split with a cookie is a TraefikService, since
an item inside a route has no place for one; another split stands in the route. Servers by address become a Service
without a selector and its EndpointSlices, one by name an ExternalName. Users become a Secret, an issuer a Certificate. A service
that is more than a use of a Service (nobody names it, or labels are stuck to it) is a TraefikService over it. What says no
namespace stands where those stand that name it. Weights of servers, paths in URLs, health checks of pods, and what a
split does when a variant is down have no word here. For Traefik 2.11 to 3.7; up to 3.0 it reads Endpoints, which are then written
in place of EndpointSlices.

Traefik keeps who is bound to what in the cookie: the value is made of Traefik's own name of the variant (`identity`).
Legacy names change with the rule and collide; `--safe-naming` says that the instance has the others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pinfeather.model.build import build
from pinfeather.model.diagnostics import span_at
from pinfeather.model.document import Document
from pinfeather.model.features import Feature, Support
from pinfeather.translators._crd.catalogue import MANNER, SUBJECT, CrdOptions
from pinfeather.translators._crd.identity import crd_identity
from pinfeather.translators._crd.reading import document_tree
from pinfeather.translators._crd.supports import crd_supports
from pinfeather.translators._crd.writing import object_trees
from pinfeather.translators._syntax.kube import read_objects
from pinfeather.translators.contract import Emitted, File, Identity, KubernetesObject, Parsed, Source, TextFile, Translator


class IngressRouteOptions(CrdOptions):
    """Options of `ingressroute`."""


def supports(options: IngressRouteOptions) -> Mapping[Feature, Support]:
    return crd_supports(options)


def parse(source: Source, options: IngressRouteOptions) -> Parsed:
    stream = read_objects(source.files, SUBJECT, MANNER)
    tree, spans = document_tree(stream, options)
    document, faults = build(tree)
    found = (*stream.finish(), *(fault.at(span_at(spans, fault.path)) for fault in faults))
    return Parsed(document, found, spans, tuple(stream.passed))


_GROUPS = r"(?:traefik\.(?:io|containo\.us)|kustomize\.config\.k8s\.io)/"
_OWN = re.compile(rf"""^[ \t-]*["']?apiVersion["']?[ \t]*:[ \t]*["']?{_GROUPS}""", re.MULTILINE)
_JSON = re.compile(r'"apiVersion"\s*:\s*"traefik\.(?:io|containo\.us)/')


def recognise(file: File) -> bool:
    text = file.text if isinstance(file.text, str) else file.text[: 1 << 20].decode("utf-8", "replace")
    found = _OWN.search(text) or _JSON.search(text)
    return found is not None and re.search(r"^customResources", text, re.MULTILINE) is None


def emit(document: Document, options: IngressRouteOptions) -> Emitted:
    trees = object_trees(document, options)
    if not trees:
        return Emitted((TextFile("objects.yaml", "# no routes\n"),))
    return Emitted(tuple(KubernetesObject(tree) for tree in trees))


def identity(document: Document, options: IngressRouteOptions) -> Identity:
    return crd_identity(document, options)


TRANSLATOR = Translator(
    name="ingressroute",
    doc=__doc__,
    options=IngressRouteOptions,
    supports=supports,
    parse=parse,
    emit=emit,
    recognise=recognise,
    identity=identity,
)
