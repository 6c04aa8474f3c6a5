"""The reference proxy in the cluster: it serves a copy of the document from a ConfigMap, and asks the API server for nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pydantic import JsonValue

from pinfeather.deploy.manifests.common import (
    Name,
    ProxySettings,
    Tree,
    around,
    container_ports,
    deployment,
    metadata,
    probes,
    service_account,
)

_DOCUMENT = "/etc/pinfeather"
_KEY = "/var/run/pinfeather"


class ReferenceProxySettings(ProxySettings):
    """`image` is one that you build: `pinfeather/deploy/container/Containerfile`, of the wheel and nothing else."""

    name: Name = "pinfeather-proxy"
    key_secret: Name = "pinfeather-proxy-key"  # noqa: S105 - the name of an object
    """The Secret whose `key` the cookies are signed with: all pods need the same one. It is not made here."""
    workers: int = 1


def reference_proxy_objects(settings: ReferenceProxySettings, document: str) -> tuple[Tree, ...]:
    """In the order in which they are applied. `document` is the text of a canonical one, its servers named by URL.

    A document with secrets in it goes into a Secret and not into a ConfigMap: say so with `secret_document_objects`.
    """
    return _objects(settings, {"apiVersion": "v1", "kind": "ConfigMap", "data": {"document.yaml": document}})


def secret_document_objects(settings: ReferenceProxySettings, document: str) -> tuple[Tree, ...]:
    """The same of a document that holds users or other secrets."""
    return _objects(settings, {"apiVersion": "v1", "kind": "Secret", "stringData": {"document.yaml": document}})


def _objects(settings: ReferenceProxySettings, holder: Tree) -> tuple[Tree, ...]:
    name = f"{settings.name}-document"
    held: Tree = {**holder, "metadata": metadata(settings, name)}
    return (service_account(settings), held, _deployment(settings, name, str(holder["kind"])), *around(settings))


def _deployment(settings: ReferenceProxySettings, holder: str, kind: str) -> Tree:
    listen: list[JsonValue] = [word for name, port in settings.ports.items() for word in ("--listen", f"{name}=0.0.0.0:{port}")]
    container: Tree = {
        "name": "proxy",
        "image": settings.image,
        "args": [f"{_DOCUMENT}/document.yaml", *listen, "--key-file", f"{_KEY}/key", "--workers", str(settings.workers)],
        "ports": container_ports(settings),
        # It says how it is on loopback only, where no kubelet gets to: that it takes connections must do.
        **probes({"tcpSocket": {"port": next(iter(settings.ports.values()))}}),
        "volumeMounts": [
            {"name": "document", "mountPath": _DOCUMENT, "readOnly": True},
            {"name": "key", "mountPath": _KEY, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the container, an empty one
        ],
    }
    source: Tree = {"configMap": {"name": holder}} if kind == "ConfigMap" else {"secret": {"secretName": holder}}
    pod: Tree = {
        "serviceAccountName": settings.name,
        "automountServiceAccountToken": False,
        "volumes": [
            {"name": "document", **source},
            {"name": "key", "secret": {"secretName": settings.key_secret, "items": [{"key": "key", "path": "key"}]}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}},
        ],
    }
    return deployment(settings, container, pod, _entry_points_of(settings))


def _entry_points_of(settings: ReferenceProxySettings) -> Mapping[str, str]:
    """A change of the document is taken up by running pods, once the kubelet has brought it; one of the entry points needs new ones."""
    text = ",".join(f"{name}={port}" for name, port in sorted(settings.entry_points.items()))
    return {"pinfeather/entry-points": hashlib.sha256(text.encode()).hexdigest()[:16]}
