"""The objects of a cluster that a format reads, as their authors wrote them: without what the API server adds.

No Secret is read: what names one goes on naming it. Nor are Services that only lead to pods: they are the application's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pinfeather._sources import UsageError
from pinfeather.deploy.cluster import Cluster
from pinfeather.importing.grouping import Key, Tree, key_of, texts

_TRAEFIK, _OLD = "traefik.io/v1alpha1", "traefik.containo.us/v1alpha1"
_NETWORKING = "networking.k8s.io/v1"


class Kinds(NamedTuple):
    """What a format reads: its own objects in the order in which they are applied, and what they need beside."""

    own: tuple[tuple[str, str], ...]
    around: tuple[tuple[str, str], ...] = ()


_OBJECTS = (
    "TLSOption", "ServersTransport", "ServersTransportTCP", "Middleware", "MiddlewareTCP", "TraefikService",
    "IngressRoute", "IngressRouteTCP",
)  # fmt: skip
KINDS: Mapping[str, Kinds] = {
    "ingressroute": Kinds(tuple((_TRAEFIK, kind) for kind in _OBJECTS)),
    "ingress": Kinds(((_TRAEFIK, "Middleware"), (_NETWORKING, "Ingress")), ((_NETWORKING, "IngressClass"), ("v1", "Service"))),
    "voyager": Kinds((("voyager.appscode.com/v1", "Ingress"), ("voyager.appscode.com/v1beta1", "Ingress")), (("v1", "Service"),)),
}
_OLD_KINDS = Kinds(tuple((_OLD, kind) for kind in _OBJECTS))
_SERVERS_OWN = ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink", "ownerReferences", "finalizers")
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MASTERS = {
    "meta.helm.sh/release-name": "Helm",
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}
"""Labels and annotations of programs that apply an object again and again."""


class Objects(NamedTuple):
    """What was found."""

    own: tuple[Tree, ...]
    around: tuple[Tree, ...]
    others: Mapping[Key, str]
    """Objects of the same kinds that are left alone, and why."""
    masters: Mapping[str, int]
    """How many of `own` another program applies."""
    managers: Mapping[str, int]
    """Of how many of `own` a field manager holds fields."""


def objects_of(cluster: Cluster, kinds: Kinds, namespaces: Sequence[str], excluded: Sequence[str]) -> Objects:
    """Raises ClusterError, and UsageError for an exception that there is not, and for a cluster that has nothing of all this."""
    if not any(cluster.kind(*kind) for kind in kinds.own):
        wanted = ", ".join(dict.fromkeys(kind for _, kind in kinds.own))
        raise UsageError(f"{cluster.called} knows none of these kinds: {wanted}")
    found: dict[Key, Tree] = {}
    for each in _listed(cluster, kinds.own, namespaces):
        found.setdefault(key_of(each), each)
    left = dict.fromkeys((_excluded(text, found) for text in excluded), "--except")
    for key, each in found.items():
        if key not in left and (owner := _owner(each)):
            left[key] = f"it belongs to {owner}, which would write over it"
    own = [each for key, each in found.items() if key not in left]
    masters = Counter(name for each in own for name in {master for mark, master in _MASTERS.items() if mark in _stuck(each)})
    managers = Counter(name for each in own for name in _managers(each))
    said = {(key_of(each).namespace, text) for each in own for text in texts(each)}
    beside = _listed(cluster, kinds.around, namespaces) if own else ()
    around = [each for each in beside if not key_of(each).namespace or (key_of(each).namespace, key_of(each).name) in said]
    return Objects(tuple(map(cleaned, own)), tuple(map(cleaned, around)), left, masters, managers)


def kinds_of(name: str, version: object) -> Kinds:
    """What a format reads of a cluster. Raises UsageError."""
    if name not in KINDS:
        raise UsageError(f"nobody said which objects {name} reads of a cluster; it is one of {', '.join(KINDS)}, or name files")
    kinds = KINDS[name]
    old = name == "ingressroute" and str(version).startswith("2.")
    return kinds._replace(own=(*kinds.own, *_OLD_KINDS.own)) if old else kinds


def cleaned(tree: Tree) -> Tree:
    """An object without what the API server, and whoever owns it, wrote into it."""
    metadata = tree.get("metadata")
    assert isinstance(metadata, dict)
    head = {key: value for key, value in metadata.items() if key not in _SERVERS_OWN}
    annotations = head.get("annotations")
    if isinstance(annotations, dict):
        head["annotations"] = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
    kept: Tree = {key: value for key, value in head.items() if value not in ({}, None)}
    return {**{key: value for key, value in tree.items() if key != "status"}, "metadata": kept}


def _listed(cluster: Cluster, kinds: Sequence[tuple[str, str]], namespaces: Sequence[str]) -> Iterator[Tree]:
    for api_version, kind in kinds:
        known = cluster.kind(api_version, kind)
        if known is None:
            continue
        found = [
            each for where in (namespaces if known.namespaced and namespaces else (None,)) for each in cluster.all(api_version, kind, where)
        ]
        yield from sorted(found, key=key_of)


def _excluded(text: str, found: Mapping[Key, Tree]) -> Key:
    kind, _, rest = text.strip().partition(" ")
    namespace, _, name = rest.strip().partition("/")
    key = Key(kind, namespace, name)
    if key not in found:
        raise UsageError(f"--except {text!r}: there is no such object; write 'KIND NAMESPACE/NAME', as in 'IngressRoute shop/front'")
    return key


def _owner(tree: Tree) -> str:
    metadata = tree.get("metadata")
    owners = metadata.get("ownerReferences") if isinstance(metadata, dict) else None
    first = owners[0] if isinstance(owners, list) and owners else None
    return f"{first.get('kind')} {first.get('name')}" if isinstance(first, dict) else ""


def _managers(tree: Tree) -> set[str]:
    """Who holds fields of the object, but for those of its status alone."""
    metadata = tree.get("metadata")
    held = metadata.get("managedFields") if isinstance(metadata, dict) else None
    return (
        {str(each.get("manager")) for each in held if isinstance(each, dict) and not each.get("subresource")}
        if isinstance(held, list)
        else set()
    )


def _stuck(tree: Tree) -> set[str]:
    """The keys of all labels and annotations."""
    metadata = tree.get("metadata")
    held = [metadata.get(part) for part in ("labels", "annotations")] if isinstance(metadata, dict) else []
    return {key for each in held if isinstance(each, dict) for key in each}
