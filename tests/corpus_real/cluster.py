"""The objects of a stream as a cluster would hold them, with the Services and EndpointSlices that nobody wrote into the file.

Read with PyYAML and not with our own reader, so that the two can be compared. Every Service that a route names has two ready
endpoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import yaml

TREES = ("networking.k8s.io/", "traefik.io/", "traefik.containo.us/")
NAMED = ("Secret", "Service", "EndpointSlice")
NAMED_PORT = 8080
"""The number behind a port that a route gives by name, where the file has no Service that says it."""
Object = dict[str, object]
CLASS: Object = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "IngressClass",
    "metadata": {"name": "traefik", "namespace": ""},
    "spec": {"controller": "traefik.io/ingress-controller"},
}
"""What the chart of Traefik puts into every cluster."""
OWNED = ("resourceVersion", "uid", "generation", "creationTimestamp")
"""What the server writes into the metadata, and does not take from anybody."""


class Named(NamedTuple):
    """A Service as a route names it."""

    namespace: str
    name: str
    port: int | str


def objects(path: Path) -> list[Object]:
    """Every object of an entry: documents of each file, Lists opened, and `default` where no namespace is given."""
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    return [each for file in files for each in of_text(file.read_text("utf-8-sig"))]


def of_text(text: str, namespace: str = "default") -> list[Object]:
    """The same of one stream; `namespace`: where an object goes that says none."""
    return [each for document in yaml.safe_load_all(text) for each in _opened(document, namespace)]


def _opened(document: object, namespace: str) -> Iterator[Object]:
    if not isinstance(document, dict):
        return
    if document.get("kind") == "List":  # the server takes none within another
        for item in document["items"]:
            yield from () if item.get("kind") == "List" else _opened(item, namespace)
        return
    if document.get("kind") == "IngressRoute" and "routes" not in document["spec"]:  # a patch for kustomize
        return
    metadata = document.setdefault("metadata", {})
    metadata.setdefault("namespace", namespace)
    for key in OWNED:
        metadata.pop(key, None)
    document.pop("status", None)
    yield document


def routing(found: list[Object]) -> list[Object]:
    """Those that Traefik looks at, and what they name."""
    return [each for each in found if str(each.get("apiVersion")).startswith(TREES) or each.get("kind") in NAMED]


def named(found: list[Object]) -> list[Named]:
    """Every Service that is named as a backend, in the namespace of its object unless another is given."""
    seen: dict[Named, None] = {}
    for each in found:
        if str(each.get("apiVersion")).startswith(TREES):
            namespace = each["metadata"]["namespace"]  # type: ignore[index]
            seen.update(dict.fromkeys(_backends(each.get("spec"), str(namespace))))
    return list(seen)


def _backends(tree: object, namespace: str) -> Iterator[Named]:
    if isinstance(tree, list):
        for each in tree:
            yield from _backends(each, namespace)
    elif isinstance(tree, Mapping):
        name, port = tree.get("name"), tree.get("port")
        if isinstance(name, str) and isinstance(port, Mapping):
            yield Named(namespace, name, port.get("number", port.get("name")))  # type: ignore[arg-type]
        elif isinstance(name, str) and isinstance(port, int | str) and tree.get("kind") != "TraefikService":
            yield Named(str(tree.get("namespace", namespace)), name, int(port) if str(port).isdigit() else port)
        for each in tree.values():
            yield from _backends(each, namespace)


def completed(found: list[Object]) -> list[Object]:
    """The routing objects, and for each Service that they name the Service itself and its endpoints."""
    kept = [CLASS, *(each for each in routing(found) if not _is_patch(each))]
    patches = {(each["metadata"]["namespace"], each["metadata"]["name"]): each for each in found if _is_patch(each)}  # type: ignore[index]
    services = {(each["metadata"]["namespace"], each["metadata"]["name"]): each for each in kept if each["kind"] == "Service"}  # type: ignore[index]
    ports: dict[tuple[str, str], list[Object]] = {}
    for one in named(found):
        key = (one.namespace, one.name)
        held = [{"name": str(port.get("name", "")), "port": port["port"]} for port in _ports(services.get(key))]
        known = ports.setdefault(key, held)
        if not any(one.port in (port["port"], port["name"]) for port in known):
            known.append({"name": f"p{one.port}" if isinstance(one.port, int) else one.port, "port": _number(one)})
    served = {(each["metadata"]["namespace"], _service_of(each)) for each in kept if each["kind"] == "EndpointSlice"}  # type: ignore[index]
    for (namespace, name), held in ports.items():
        if (namespace, name) in served or services.get((namespace, name), {}).get("spec", {}).get("type") == "ExternalName":  # type: ignore[attr-defined]
            continue
        if (namespace, name) not in services:
            kept.append(_service(namespace, name, held, patches.get((namespace, name), {})))
        kept += [_slice(namespace, name, held), _endpoints(namespace, name, held)]
    return kept


def _service_of(piece: Object) -> object:
    return piece["metadata"]["labels"]["kubernetes.io/service-name"]  # type: ignore[index]


def _ports(service: Object | None) -> list[Object]:
    return service["spec"]["ports"] if service is not None else []  # type: ignore[index]


def _number(one: Named) -> int:
    return one.port if isinstance(one.port, int) else NAMED_PORT


def _is_patch(each: Object) -> bool:
    """Annotations for a Service that others own."""
    return each["kind"] == "Service" and "spec" not in each


def _service(namespace: str, name: str, ports: list[Object], patch: Object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**patch.get("metadata", {}), "name": name, "namespace": namespace},  # type: ignore[dict-item]
        "spec": {"type": "ClusterIP", "ports": [{**port, "protocol": "TCP"} for port in ports]},
    }


def _slice(namespace: str, name: str, ports: list[Object]) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True, "serving": True}} for address in addresses(namespace, name)],
        "ports": [{"name": port["name"], "port": port["port"], "protocol": "TCP"} for port in ports],
    }


def _endpoints(namespace: str, name: str, ports: list[Object]) -> Object:
    """The same as Traefik up to 3.0 reads it."""
    subset = {
        "addresses": [{"ip": address} for address in addresses(namespace, name)],
        "ports": [{"name": port["name"], "port": port["port"], "protocol": "TCP"} for port in ports],
    }
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name, "namespace": namespace}, "subsets": [subset]}


def urls(held: list[Object], namespace: str, name: str, port: object, scheme: str | None) -> Iterator[str]:
    """What Traefik makes of a reference to a Service: its ready pods, on the port behind the one that is named. `tcp`: addresses."""
    service = next(
        each
        for each in held
        if each["kind"] == "Service" and (each["metadata"]["namespace"], each["metadata"]["name"]) == (namespace, name)
    )  # type: ignore[index]
    found = next(each for each in _ports(service) if str(port) in (str(each["port"]), each.get("name")))
    safe = found["port"] == 443 or str(found.get("name", "")).startswith("https")
    for address in addresses(namespace, name):
        where = f"{address}:{found['port']}"
        yield where if scheme == "tcp" else f"{scheme or ('https' if safe else 'http')}://{where}"


def addresses(namespace: str, name: str) -> list[str]:
    """The two pods of a Service."""
    byte = sha256(f"{namespace}/{name}".encode()).digest()
    return [f"10.{88 + byte[0] % 8}.{byte[1]}.{number}" for number in (2, 3)]
