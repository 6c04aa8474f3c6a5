"""What Kubernetes takes as the metadata of an object: the checks of the support table that are about what is carried along."""

from __future__ import annotations

import re

from pinfeather.model.diagnostics import Path
from pinfeather.model.document import Document
from pinfeather.model.features import FULL, Full, Near, Nothing
from pinfeather.model.metadata import Metadata
from pinfeather.model.noun import Template
from pinfeather.translators._crd.catalogue import plain_name
from pinfeather.translators._crd.plan import Plan
from pinfeather.translators._syntax import kube
from pinfeather.translators._traefik import supports as says

Answer = Full | Near | Nothing
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")


def _metadata(document: Document, path: Path) -> Metadata:
    found = says.found(document, path[:-1])
    assert isinstance(found, Metadata)
    return found


def namespace_says(plan: Plan, _document: Document, path: Path) -> Answer:
    key = (str(path[0]), path[1])
    if plan.own(key) is not None:
        return FULL
    if plan.said(key):
        return Nothing("what it names, or who names it, stands in another namespace: say the same there")
    return Nothing("no namespace can be called so")


def object_says(plan: Plan, document: Document, path: Path) -> Answer:
    name = _metadata(document, path).object
    if plan.templates and isinstance(name, Template) and plain_name(name) == _plain(document, path):
        return FULL
    return Nothing("the object is called as the noun")


def _plain(document: Document, path: Path) -> str:
    return str(path[1]) if isinstance(path[1], str) else str(getattr(document, str(path[0]))[path[1]].name)


def labels_say(_plan: Plan, document: Document, path: Path) -> Answer:
    for key, value in _metadata(document, path).labels.items():
        if not _qualified(key) or (not isinstance(value, Template) and (len(value) > 63 or _LABEL.fullmatch(value) is None)):
            return Nothing(f"no label can be `{key}: {value}`: they are not written")
    return FULL


def annotations_say(_plan: Plan, document: Document, path: Path) -> Answer:
    for key in _metadata(document, path).annotations:
        if not _qualified(key) or key.startswith(kube.DNS) or key in kube.MACHINES:
            return Nothing(f"no annotation of an object is called {key!r} here: they are not written")
    return FULL


def dns_says(_plan: Plan, document: Document, path: Path) -> Answer:
    if not all(_qualified(f"{kube.DNS}{key}") for key in _metadata(document, path).dns):
        return Nothing("no annotation can be called so: external-dns makes no records")
    return Near("external-dns reads these from Traefik's objects only with its source `traefik-proxy`")


def _qualified(key: str) -> bool:
    """Whether a text can be the key of a label or an annotation: an optional domain, and a name."""
    domain, slash, name = key.rpartition("/")
    return 0 < len(name) <= 63 and _LABEL.fullmatch(name) is not None and (not slash or kube.is_subdomain(domain))
