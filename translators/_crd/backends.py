"""Services and EndpointSlices: what a reference to a Service means, and the objects that servers by URL need.

A Service with a selector, or one that is not in the stream, stays a reference: its endpoints come and go. One without a selector whose
EndpointSlices are here is the servers that they name; an ExternalName is one server by name. URLs as Traefik 3.7 makes them
(pkg/provider/kubernetes/crd/kubernetes_http.go, loadServers); one address counts once.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from pinfeather.model.diagnostics import Code, error, info
from pinfeather.model.noun import Template
from pinfeather.translators._crd.catalogue import Catalogue
from pinfeather.translators._syntax.kube import KubeObject
from pinfeather.translators._syntax.taking import Taking
from pinfeather.translators._syntax.tree import Tree

Port = int | str
_SERVICE_KEYS = (
    "clusterIP", "clusterIPs", "sessionAffinity", "sessionAffinityConfig", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy",
    "externalTrafficPolicy", "publishNotReadyAddresses", "loadBalancerIP", "loadBalancerClass", "loadBalancerSourceRanges",
    "allocateLoadBalancerNodePorts", "externalIPs", "healthCheckNodePort", "trafficDistribution",
)  # fmt: skip
_ENDPOINT_KEYS = ("hostname", "nodeName", "targetRef", "zone", "hints", "deprecatedTopology")
SLICE_OF = "kubernetes.io/service-name"


class Backend(NamedTuple):
    """What a Service is: `servers` are host and port by the Service's port (None: whatever endpoints are there)."""

    ports: tuple[tuple[str, Port], ...]
    external: str | None = None
    addresses: tuple[tuple[str, int, str], ...] | None = None
    """Address, port, and the name of the port."""


def backend_of(home: str, name: str, catalogue: Catalogue, known: dict[KubeObject, Backend]) -> tuple[KubeObject | None, Backend | None]:
    """The Service of that name, if the stream has it, and what it is; it is read once."""
    found = catalogue.find("Service", home, name)
    if found is None:
        return None, None
    if found.obj not in known:
        known[found.obj] = _read(found.obj, home, catalogue)
    return found.obj, known[found.obj]


def _read(obj: KubeObject, home: str, catalogue: Catalogue) -> Backend:
    raw = obj.node.value.get("spec") if isinstance(obj.node.value, dict) else None
    slices = [each.obj for each in catalogue.by("EndpointSlice", home) if _is_slice_of(each.obj, obj)]
    endpoints = catalogue.find("Endpoints", home, obj.name)
    if not slices and endpoints is not None:
        slices = [endpoints.obj]
    external = isinstance(raw, dict) and raw.get("type") == "ExternalName"
    if not isinstance(raw, dict) or not (external or (slices and not raw.get("selector"))):
        return Backend(tuple(_plain_ports(raw)))
    catalogue.used.add(obj)
    _say_lost(obj)
    spec = obj.node.map("spec")
    assert spec is not None
    spec.text("type")
    for key in (*_SERVICE_KEYS, "selector"):
        spec.tree(key)
    ports = tuple(_ports(spec))
    if external:
        return Backend(ports, external=spec.text("externalName"))
    for each in slices:
        catalogue.used.add(each)
    return Backend(ports, addresses=tuple(address for each in slices for address in _addresses(each)))


def _say_lost(obj: KubeObject) -> None:
    stuck = [key for key in ("labels", "annotations", "dns") if obj.metadata.get(key)]
    if stuck:
        said = f"the {' and '.join(stuck)} of {obj.where} are left alone: the servers themselves are read"
        obj.node.report(info(Code.SCOPE, said, span=obj.node.span))


def _is_slice_of(each: KubeObject, service: KubeObject) -> bool:
    labels = each.metadata.get("labels")
    return isinstance(labels, dict) and labels.get(SLICE_OF) == service.name


def _plain_ports(spec: Tree) -> Iterator[tuple[str, Port]]:
    ports = spec.get("ports") if isinstance(spec, dict) else None
    for port in ports if isinstance(ports, list) else ():
        if isinstance(port, dict) and isinstance(port.get("port"), int):
            number = port["port"]
            assert isinstance(number, int)
            yield str(port.get("name") or ""), number


def _ports(spec: Taking) -> Iterator[tuple[str, Port]]:
    for port in spec.list("ports"):
        for key in ("targetPort", "protocol", "appProtocol", "nodePort"):
            port.tree(key)
        name, number = port.text("name"), port.integer("port", 1, 65535)
        if number is not None:
            yield name or "", number


def _addresses(obj: KubeObject) -> Iterator[tuple[str, int, str]]:
    node = obj.node
    if obj.kind == "Endpoints":
        for subset in node.list("subsets"):
            subset.tree("notReadyAddresses")
            named = [
                (port.text("name") or "", port.integer("port", 1, 65535), port.tree("protocol"), port.tree("appProtocol"))
                for port in subset.list("ports")
            ]
            for address in subset.list("addresses"):
                for key in ("hostname", "nodeName", "targetRef"):
                    address.tree(key)
                ip = address.text("ip")
                yield from ((ip, port, name) for name, port, *_ in named if ip and port)
        return
    node.text("addressType")
    ports: list[tuple[str, int]] = []
    for port in node.list("ports"):
        port.tree("protocol"), port.tree("appProtocol")
        name, number = port.text("name"), port.integer("port", 1, 65535)
        if number is not None:
            ports.append((name or "", number))
    for endpoint in node.list("endpoints"):
        for key in _ENDPOINT_KEYS:
            endpoint.tree(key)
        texts = endpoint.text_list("addresses")
        if _serves(endpoint):
            yield from ((text, number, name) for text in texts for name, number in ports)


def _serves(endpoint: Taking) -> bool:
    """Traefik keeps what serves, or is ready; what says nothing is ready (pkg/provider/kubernetes/k8s, EndpointServing)."""
    node = endpoint.map("conditions")
    if node is None:
        return True
    ready, serving, _ = node.boolean("ready"), node.boolean("serving"), node.boolean("terminating")
    return ready is not False or serving is True


# What a reference means ------------------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """One reference to a Service: by whom, and at which port."""

    node: Taking
    parent: KubeObject
    service: str
    namespace: str | None
    port: Port
    scheme: str | None


def servers_of(asked: Asked, catalogue: Catalogue, known: dict[KubeObject, Backend], *, tcp: bool) -> list[Tree] | None:
    """The trees of the servers, or None where Traefik drops the route; that was said."""
    home = catalogue.home(asked.parent) if asked.namespace is None else catalogue.options.home(asked.namespace)
    obj, backend = backend_of(home, asked.service, catalogue, known)
    if backend is None or (backend.external is None and backend.addresses is None):
        if backend is not None and obj is not None and _port(asked, backend, obj) is None:
            return None
        own = asked.parent.namespace if asked.namespace is None else asked.namespace
        ref: dict[str, Tree] = {"service": asked.service, "port": asked.port}
        ref |= {key: value for key, value in (("namespace", own), ("scheme", asked.scheme)) if value}
        return [{"kubernetes": ref}]
    assert obj is not None
    port = _port(asked, backend, obj)
    if port is None:
        return None
    name, number = port
    scheme = asked.scheme or ("https" if number == 443 or name.startswith("https") else "http")
    if backend.external is not None:
        return _external(asked, backend.external, number, scheme, catalogue, tcp=tcp)
    seen: dict[str, int] = {}
    for address, each, port_name in backend.addresses or ():
        if port_name == name:
            seen.setdefault(address, each)
    if not seen and not catalogue.options.allow_empty_services:
        said = f"{obj.where} has no endpoint: Traefik drops the route"
        asked.node.error(Code.REFERENCE, said, "name", instead="add one, or say --allow-empty-services if the instance does")
        return None
    return [_server(address, each, scheme, tcp=tcp) for address, each in seen.items()]


def _external(asked: Asked, host: str, port: int, scheme: str, catalogue: Catalogue, *, tcp: bool) -> list[Tree] | None:
    if not catalogue.options.allow_external_name_services:
        said = f"the Service {asked.service!r} is an ExternalName: Traefik drops the route, unless the instance allows them"
        asked.node.error(Code.REFERENCE, said, "name", instead="say --allow-external-name-services if it does")
        return None
    return [_server(host, port, scheme, tcp=tcp)]


def _server(host: str, port: int, scheme: str, *, tcp: bool) -> Tree:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return {"address": address} if tcp else {"url": f"{scheme}://{address}"}


def _port(asked: Asked, backend: Backend, obj: KubeObject) -> tuple[str, int] | None:
    """Name and number of the Service's port that is meant."""
    if isinstance(asked.port, Template):
        return "", 0
    for name, number in backend.ports:
        if asked.port == (number if isinstance(asked.port, int) else name):
            return name, int(number)
    if backend.external is not None and isinstance(asked.port, int):
        return "", asked.port
    has = ", ".join(f"{number}{f' ({name})' if name else ''}" for name, number in backend.ports) or "none"
    said = f"{obj.where} has no port {asked.port!r} (it has {has}): Traefik drops the route"
    asked.node.report(
        error(Code.REFERENCE, said, (*asked.node.path, "port"), instead="name one that it has", span=asked.node.span_of("port"))
    )
    return None


# Writing ---------------------------------------------------------------------------------------------------------------


class Spot(NamedTuple):
    """One server by URL or address, taken apart. `ip`: None for a host's name."""

    scheme: str
    host: str
    port: int
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address | None


def spot_of(text: str, *, tcp: bool) -> Spot | str:
    """The parts of a URL or address, or why no Service can say it."""
    if isinstance(text, Template):
        return "a template is no address"
    parts = urlsplit(f"tcp://{text}" if tcp else text)
    host, port = parts.hostname or "", parts.port
    if port is None:
        return f"write its port ({parts.scheme}://{parts.netloc}:{443 if parts.scheme == 'https' else 80})"
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        ip = None
    again = _server(str(ip) if ip is not None else host, port, parts.scheme, tcp=tcp)
    assert isinstance(again, dict)
    if text not in again.values():
        return "a Service has a host and a port, and no path"
    if ip is not None and (ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or getattr(ip, "ipv4_mapped", None)):
        return "the API server takes no such address (loopback, link-local, multicast) in an EndpointSlice"
    return Spot(parts.scheme, host, port, ip)


def spots_of(texts: list[str], *, tcp: bool) -> list[Spot] | str:
    """The servers of one service, or why one Service cannot say them together."""
    spots: list[Spot] = []
    for text in texts:
        spot = spot_of(text, tcp=tcp)
        if isinstance(spot, str):
            return spot
        spots.append(spot)
    if len(spots) > 1 and any(spot.ip is None for spot in spots):
        return "a host's name is an ExternalName, which stands alone: give the servers by address"
    if len({spot.scheme for spot in spots}) > 1:
        return "one reference has one scheme"
    if len({spot.host for spot in spots}) < len(spots):
        return "Traefik counts an address once: two ports of one address are one server to it"
    return spots


def put_service_objects(name: str, namespace: str | None, spots: list[Spot], *, slices: bool) -> list[Tree]:
    """The Service, and an EndpointSlice for each family of addresses and each port; Traefik up to 3.0 reads Endpoints instead."""
    head: dict[str, Tree] = {"name": name, **({"namespace": namespace} if namespace else {})}
    port = spots[0].port
    ports: Tree = [{"port": port, "protocol": "TCP"}]
    if spots[0].ip is None:
        spec: Tree = {"type": "ExternalName", "externalName": spots[0].host, "ports": ports}
        return [{"apiVersion": "v1", "kind": "Service", "metadata": head, "spec": spec}]
    families = sorted({f"IPv{spot.ip.version}" for spot in spots if spot.ip is not None})
    policy: dict[str, Tree] = {"ipFamilies": list(families), "ipFamilyPolicy": "SingleStack"} if families == ["IPv6"] else {}
    spec = {"clusterIP": "None", **policy, "ports": ports}
    objects: list[Tree] = [{"apiVersion": "v1", "kind": "Service", "metadata": head, "spec": spec}]
    groups: dict[tuple[int, int], list[str]] = {}
    for spot in spots:
        assert spot.ip is not None
        groups.setdefault((spot.ip.version, spot.port), []).append(str(spot.ip))
    if not slices:
        subsets: list[Tree] = [
            {"addresses": [{"ip": address} for address in addresses], "ports": [{"port": each, "protocol": "TCP"}]}
            for (_, each), addresses in groups.items()
        ]
        return [*objects, {"apiVersion": "v1", "kind": "Endpoints", "metadata": dict(head), "subsets": subsets}]
    for (version, each), addresses in groups.items():
        slice_head: dict[str, Tree] = {**head, "name": f"{name}-ipv{version}-{each}", "labels": {SLICE_OF: name}}
        objects.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": slice_head,
                "addressType": f"IPv{version}",
                "ports": [{"name": "", "port": each, "protocol": "TCP"}],
                "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],  # 3.4 wants it said
            }
        )
    return objects
