"""The reference proxy in the cluster: it serves a copy of the document from a ConfigMap, and asks the API server for nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field, JsonValue

from pinfeather.deploy.manifests.common import (
    Name,
    ObjectName,
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
_CERTIFICATES = "/var/run/pinfeather-tls"
_ADMIN = 9000
_READABLE: Final = 0o440  # by the group of the pod, and by nobody else
# The second port answers on loopback alone, where no kubelet gets to, and the kernel takes connections for a proxy that hangs: so it is
# asked from within. A twentieth of a second of CPU.
_HEALTHY: Final = (
    f'import socket; s = socket.create_connection(("127.0.0.1", {_ADMIN}), 4); '
    's.sendall(b"GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n"); '
    'raise SystemExit(not s.recv(64).startswith(b"HTTP/1.1 200 "))'
)


class ReferenceProxySettings(ProxySettings):
    """`image` is one that you build: `pinfeather/deploy/container/Containerfile`, of the wheel and nothing else."""

    name: Name = "pinfeather-proxy"
    key_secret: ObjectName = "pinfeather-proxy-key"  # noqa: S105 - the name of an object
    """The Secret whose `key` the cookies are signed with: all pods need the same one. It is not made here."""
    certificates: tuple[ObjectName, ...] = ()
    """Secrets of type kubernetes.io/tls, not made here either; the first is the default. Without one no entry point with TLS is served."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes, each of 30 to 70 MB: see `memory_limit`."""


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
    paths = [f"{_CERTIFICATES}/{secret}" for secret in settings.certificates]
    shown: list[JsonValue] = [word for path in paths for word in ("--certificate", f"{path}/tls.crt:{path}/tls.key")]
    mounts: list[JsonValue] = [{"name": f"tls-{number}", "mountPath": path, "readOnly": True} for number, path in enumerate(paths)]
    keys: list[JsonValue] = ["--key-file", f"{_KEY}/key", "--workers", str(settings.workers)]
    container: Tree = {
        "name": "proxy",
        "image": settings.image,
        "args": [f"{_DOCUMENT}/document.yaml", *listen, "--admin", f"127.0.0.1:{_ADMIN}", *keys, *shown],
        "ports": container_ports(settings),
        **probes({"exec": {"command": ["python", "-I", "-S", "-c", _HEALTHY]}, "timeoutSeconds": 5}),
        **_drained(settings.drain),
        "volumeMounts": [
            {"name": "document", "mountPath": _DOCUMENT, "readOnly": True},
            {"name": "key", "mountPath": _KEY, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the container, an empty one
            *mounts,
        ],
    }
    source: Tree = {"configMap": {"name": holder}} if kind == "ConfigMap" else _secret(holder)
    held: list[JsonValue] = [{"name": f"tls-{number}", **_secret(secret)} for number, secret in enumerate(settings.certificates)]
    pod: Tree = {
        "serviceAccountName": settings.name,
        "automountServiceAccountToken": False,
        "volumes": [
            {"name": "document", **source},
            {"name": "key", **_secret(settings.key_secret, items=[{"key": "key", "path": "key"}])},
            {"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}},
            *held,
        ],
    }
    return deployment(settings, container, pod, _entry_points_of(settings))


def _secret(name: str, **more: JsonValue) -> Tree:
    return {"secret": {"secretName": name, "defaultMode": _READABLE, **more}}


def _drained(seconds: int) -> Tree:
    """At SIGTERM the proxy stops accepting at once, and others go on sending clients until they have heard of it: so it comes later."""
    command: list[JsonValue] = ["python", "-I", "-S", "-c", f"import time; time.sleep({seconds})"]
    return {"lifecycle": {"preStop": {"exec": {"command": command}}}} if seconds else {}


def _entry_points_of(settings: ReferenceProxySettings) -> Mapping[str, str]:
    """A change of the document is taken up by running pods, once the kubelet has brought it; one of the entry points needs new ones."""
    text = ",".join(f"{name}={port}" for name, port in sorted(settings.entry_points.items()))
    return {"pinfeather/entry-points": hashlib.sha256(text.encode()).hexdigest()[:16]}
