"""The Kubernetes Services behind the services of a document: those that it names, and those that servers by URL need.

Servers by address become a Service without a selector and its EndpointSlices, as `ingressroute` writes them. Voyager looks at
EndpointSlices since v2026.3.23; before, it asked for Endpoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pinfeather.model.document import Document
from pinfeather.model.noun import Template
from pinfeather.model.services import KubernetesRef, LoadBalancer, Server, TcpLoadBalancer, TcpServer
from pinfeather.translators._crd.backends import Spot, put_service_objects, spots_of
from pinfeather.translators._haproxy.plan import namespace_of
from pinfeather.translators._syntax.kube import service_name
from pinfeather.translators._syntax.tree import Tree

Key = tuple[str, str]
"""`services` or `tcp_services`, and the name."""


class Use(NamedTuple):
    """One use of a Kubernetes Service."""

    section: str
    name: str
    balancer: LoadBalancer | TcpLoadBalancer


class Targets:
    """Of one document."""

    def __init__(self, document: Document) -> None:
        self.namespace = namespace_of(document)
        self._spots: dict[Key, list[Spot]] = {}
        self._refs: dict[Key, KubernetesRef] = {}
        everything = list(_balancers(document))
        taken = {str(server.kubernetes.service) for _, each in everything for server in each.servers if server.kubernetes is not None}
        for key, balancer in everything:
            if len(balancer.servers) == 1 and (ref := balancer.servers[0].kubernetes) is not None:
                self._refs[key] = ref
            elif not isinstance(spots := addresses_of(balancer), str):
                name = service_name(key[1])
                own = service_name(f"{name}-servers") if name in taken else name
                self._spots[key] = spots
                self._refs[key] = KubernetesRef.model_construct(service=own, namespace=self.namespace, port=spots[0].port)
        self.uses: dict[tuple[str, str], list[Use]] = {}
        self.group: dict[Key, list[Use]] = {}
        """All uses of the Kubernetes Service of a service."""
        for key, balancer in everything:
            named = self._refs.get(key)
            if named is not None and not isinstance(named.service, Template):
                where = (str(named.namespace or self.namespace or "default"), str(named.service))
                self.group[key] = self.uses.setdefault(where, [])
                self.group[key].append(Use(*key, balancer))

    def ref(self, section: str, name: str) -> KubernetesRef:
        """The Service and port of a service that can be written."""
        return self._refs[section, name]

    def objects(self) -> Iterator[dict[str, Tree]]:
        """The Services of our own, each before its EndpointSlices."""
        for key, spots in sorted(self._spots.items()):
            for made in put_service_objects(str(self._refs[key].service), self.namespace, spots, slices=True):
                assert isinstance(made, dict)
                yield made


def _balancers(document: Document) -> Iterator[tuple[Key, LoadBalancer | TcpLoadBalancer]]:
    for name, service in document.services.items():
        if isinstance(service, LoadBalancer):
            yield ("services", name), service
    for name, tcp_service in document.tcp_services.items():
        if isinstance(tcp_service, TcpLoadBalancer):
            yield ("tcp_services", name), tcp_service


def addresses_of(balancer: LoadBalancer | TcpLoadBalancer) -> list[Spot] | str:
    """Its servers by address, or why a Service with EndpointSlices cannot say them."""
    texts = [_text(server) for server in balancer.servers]
    if not texts or None in texts:
        return "a backend is one Kubernetes Service, or servers by URL"
    tcp = isinstance(balancer, TcpLoadBalancer)
    spots = spots_of([text for text in texts if text is not None], tcp=tcp)
    if isinstance(spots, str):
        return spots
    if any(spot.ip is None for spot in spots):
        return "HAProxy is given the addresses of pods: say them, or the Kubernetes Service"
    if not tcp and spots[0].scheme != "http":
        return "Voyager speaks plain HTTP to servers"
    weighted = [server for server in balancer.servers if isinstance(server, Server) and server.weight is not None]
    return "the weight of a server stands in its pod" if weighted and len(spots) > 1 else spots


def _text(server: Server | TcpServer) -> str | None:
    return server.url if isinstance(server, Server) else server.address
