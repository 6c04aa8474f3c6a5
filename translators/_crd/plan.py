"""What the objects of a document will be, before they are written: which routes share one, which services are no more than a
use of a Service, what everything is called, and in which namespace it stands.

What says no namespace stands where those stand that name it. A reference to a Service says its own; where it says none, so must
all that lead to it. `supports`, the names that `project` derives and `object_trees` all ask the same plan.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from pinfeather.model.document import Document, canary_name
from pinfeather.model.match import Match, both
from pinfeather.model.metadata import Metadata
from pinfeather.model.normal import Rung, alone, conditions, lifted
from pinfeather.model.noun import Template
from pinfeather.model.routes import Route, TcpRoute
from pinfeather.model.services import LoadBalancer, Split, TcpLoadBalancer, TcpSplit
from pinfeather.translators._crd.catalogue import CrdOptions, free_name, plain_name
from pinfeather.translators._syntax import kube
from pinfeather.translators._syntax.rule import flat
from pinfeather.translators._traefik.ladders import is_canary_of
from pinfeather.translators._traefik.numbers import numbers
from pinfeather.translators._traefik.routing import EVERYTHING

Key = tuple[str, str | int]
"""A noun: its section, and its name or index."""


class Written(NamedTuple):
    """One IngressRoute: its route, and the rungs that stand in it, in their order."""

    route: int
    rungs: tuple[Rung, ...]


@dataclass
class Plan:
    """All of it, for one document. Everything is made when it is first asked for."""

    document: Document
    options: CrdOptions
    templates: bool = False
    dropped: set[Key] = field(default_factory=set)
    """Nouns whose namespace cannot be kept."""
    _homes: dict[Key, frozenset[str | None]] = field(default_factory=dict)

    # Routes.

    @cached_property
    def numbers(self) -> dict[Rung, int]:
        return numbers(self.document)

    def single(self, rung: Rung) -> Route:
        route = self.document.routes[rung.route]
        if rung.canary is None:
            return route
        return alone(route, rung.canary) or route.model_copy(update={"to": route.canaries[rung.canary].to, "split": ()})

    def match(self, rung: Rung) -> Match:
        """What a route, or a canary taken by itself, asks for."""
        return both(conditions(lifted(self.single(rung)))) or EVERYTHING

    @cached_property
    def ingress_routes(self) -> tuple[Written, ...]:
        """Every IngressRoute: a canary stands with its route where it will be read as its canary again, else by itself."""
        found: list[Written] = []
        for index, route in enumerate(self.document.routes):
            base = Rung(index, None)
            base_match = flat(self.match(base))
            members: list[Rung] = []
            others: list[Rung] = []
            seen: list[Match] = []
            for rung in sorted((Rung(index, number) for number in range(len(route.canaries))), key=lambda each: -self.numbers[each]):
                assert rung.canary is not None
                canary = route.canaries[rung.canary]
                match = flat(self.match(rung))
                first = self.numbers[rung] > self.numbers[base] and not isinstance(canary.priority, Template)
                fits = first and not isinstance(route.priority, Template) and match not in seen and is_canary_of(match, base_match)
                (members if fits else others).append(rung)
                seen.append(match)
            found.append(Written(index, (*members, base)))
            found += [Written(index, (rung,)) for rung in others]
        return tuple(found)

    @cached_property
    def route_names(self) -> dict[Rung, str]:
        """The names that the reader will give them."""
        names: dict[Rung, str] = {}
        for written in self.ingress_routes:
            route = self.document.routes[written.route]
            own = kube.subdomain_name(route.name)
            for number, rung in enumerate(written.rungs, 1):
                if rung.canary is None:
                    names[rung] = own
                elif len(written.rungs) > 1:
                    names[rung] = f"{own}-canary-{number}"
                else:
                    names[rung] = kube.subdomain_name(canary_name(route, rung.canary))
        return names

    # Services.

    @cached_property
    def uses(self) -> Counter[str]:
        """How often each service is named."""
        found = Counter(name for route in self.document.routes for name in route.targets)
        found.update(entry.to for each in self.document.services.values() if isinstance(each, Split) for entry in each.split)
        return found

    @cached_property
    def aliases(self) -> frozenset[str]:
        """Load balancers that need a TraefikService to keep their name: nobody names them, something is stuck to them, or a
        sibling in a split says the same."""
        found = set[str]()
        balancers = {name: each for name, each in self.document.services.items() if isinstance(each, LoadBalancer)}
        for name, each in balancers.items():
            if not self.uses[name] or each.metadata not in (None, Metadata()):
                found.add(name)
        splits = [each.split for each in (*self.document.services.values(), *self.document.routes) if isinstance(each, Split | Route)]
        for split in splits:
            seen: list[LoadBalancer] = []
            for entry in split:
                balancer = balancers.get(entry.to)
                if balancer is None or entry.to in found or (balancer.servers and balancer.servers[0].url is not None):
                    continue
                if balancer in seen:
                    found.add(entry.to)
                seen.append(balancer)
        return frozenset(found)

    @cached_property
    def split_names(self) -> dict[int, str]:
        """The TraefikService of each route whose split has a cookie, for which a route has no place, or one variant that is a split."""
        taken = {kube.subdomain_name(name) for name in self.document.services}
        names: dict[int, str] = {}
        for index, route in enumerate(self.document.routes):
            single = self.document.services.get(route.split[0].to) if len(route.split) == 1 else None
            if route.split and (route.sticky is not None or isinstance(single, Split)):
                names[index] = free_name(f"{self.route_names[Rung(index, None)]}-split", taken)
                taken.add(names[index])
        return names

    @cached_property
    def traefik_services(self) -> tuple[tuple[str, Key], ...]:
        """Every TraefikService by its name, in their order: what a reader meets first is called first."""
        named = [*sorted(self.aliases), *(name for name, each in self.document.services.items() if isinstance(each, Split))]
        found: list[tuple[str, Key]] = [(kube.subdomain_name(name), ("services", name)) for name in named]
        found += [(name, ("routes", index)) for index, name in self.split_names.items()]
        return tuple(sorted(found, key=lambda each: (each[0], str(each[1]))))

    def _met(self) -> Iterator[str]:
        """The load balancers that are written as a use, in the order in which a reader meets them."""
        for _, (section, key) in self.traefik_services:
            split = self.document.services[str(key)] if section == "services" else self.document.routes[int(key)]
            if not isinstance(split, LoadBalancer):
                yield from (entry.to for entry in split.split)
        for written in self.ingress_routes:
            for rung in written.rungs:
                single = self.single(rung)
                if single.to is not None:
                    yield single.to
                elif rung.canary is not None or written.route not in self.split_names:
                    yield from (entry.to for entry in single.split)

    @cached_property
    def service_names(self) -> dict[str, str]:
        """The names that the reader will give them."""
        document = self.document
        named = {name for name, each in document.services.items() if isinstance(each, Split) or name in self.aliases}
        names = {name: kube.subdomain_name(name) for name in named}
        taken = {*names.values(), *self.split_names.values()}
        known: dict[str, str] = {}
        for name in dict.fromkeys(self._met()):
            balancer = document.services.get(name)
            if name in named or not isinstance(balancer, LoadBalancer) or not balancer.servers:
                continue
            ref = balancer.servers[0].kubernetes
            base = kube.service_name(name) if ref is None else plain_name(ref.service)
            said = f"\0{name}" if ref is None else balancer.model_dump_json(exclude_defaults=True)
            if said not in known:
                known[said] = free_name(base, taken)
                taken.add(known[said])
            names[name] = known[said]
        return {name: names.get(name, kube.subdomain_name(name)) for name in document.services}

    @cached_property
    def tcp_service_names(self) -> dict[str, str]:
        taken, names = set[str](), dict[str, str]()
        known: dict[str, str] = {}
        for name in dict.fromkeys(self.tcp_met):
            balancer = self.document.tcp_services[name]
            if not isinstance(balancer, TcpLoadBalancer) or not balancer.servers:
                continue
            ref = balancer.servers[0].kubernetes
            own = kube.service_name(name if name not in self.document.services else f"{name}-tcp")
            base = own if ref is None else plain_name(ref.service)
            said = f"\0{name}" if ref is None else balancer.model_dump_json(exclude_defaults=True)
            if said not in known:
                known[said] = free_name(base, taken)
                taken.add(known[said])
            names[name] = known[said]
        return {name: names.get(name, kube.subdomain_name(name)) for name in self.document.tcp_services}

    @cached_property
    def tcp_met(self) -> tuple[str, ...]:
        """The TCP load balancers that routes lead to, in their order; a split that one route alone names is written into it."""
        return tuple(name for route in self.document.tcp_routes for name in self.tcp_targets(route) if name in self.document.tcp_services)

    def tcp_targets(self, route: TcpRoute) -> tuple[str, ...]:
        split = self.document.tcp_services.get(route.to) if route.to is not None else None
        return tuple(entry.to for entry in split.split) if isinstance(split, TcpSplit) else route.targets

    # Namespaces.

    @cached_property
    def children(self) -> dict[Key, tuple[Key, ...]]:
        """What each noun names, of what the document has."""
        return {key: tuple(found for found in _named(noun) if self._has(found)) for key, noun in self._nouns()}

    def _nouns(self) -> Iterator[tuple[Key, object]]:
        document = self.document
        for section in ("routes", "tcp_routes"):
            yield from (((section, index), route) for index, route in enumerate(getattr(document, section)))
        for section in ("services", "tcp_services", "middlewares", "tcp_middlewares", "tls_options", "servers_transports"):
            yield from (((section, name), noun) for name, noun in getattr(document, section).items())

    def _has(self, key: Key) -> bool:
        return key[1] in getattr(self.document, key[0])

    @cached_property
    def parents(self) -> dict[Key, tuple[Key, ...]]:
        found: dict[Key, list[Key]] = {}
        for parent, children in self.children.items():
            for child in children:
                found.setdefault(child, []).append(parent)
        return {child: tuple(dict.fromkeys(each)) for child, each in found.items()}

    def own(self, key: Key) -> str | None:
        """The namespace that a noun says, if it can be kept."""
        if key in self.dropped:
            return None
        return self._said.get(key)

    def said(self, key: Key) -> bool:
        """Whether a noun says a namespace that there can be."""
        return key in self._said

    @cached_property
    def _said(self) -> dict[Key, str]:
        found: dict[Key, str] = {}
        for key, noun in self._nouns():
            metadata = getattr(noun, "metadata", None)
            namespace = metadata.namespace if isinstance(metadata, Metadata) else None
            if namespace and ((isinstance(namespace, Template) and self.templates) or kube.is_name(namespace)):
                found[key] = namespace
        return found

    def homes(self, key: Key) -> frozenset[str | None]:
        """Where a noun stands: its own namespace, or those of all that name it."""
        if key not in self._homes:
            own, parents = self.own(key), self.parents.get(key, ())
            above = frozenset(home for parent in parents for home in self.homes(parent)) if own is None else frozenset((own,))
            self._homes[key] = above or frozenset((None,))
        return self._homes[key]

    def home(self, key: Key) -> str | None:
        return next(iter(self.homes(key)))

    def is_object(self, key: Key) -> bool:
        """Whether a noun is an object of its own, and no mere use of a Service that is there."""
        if key[0] not in ("services", "tcp_services"):
            return True
        noun = getattr(self.document, key[0])[key[1]]
        refers = isinstance(noun, LoadBalancer | TcpLoadBalancer) and noun.servers and noun.servers[0].kubernetes is not None
        return not refers or (key[0] == "services" and key[1] in self.aliases)

    def reference(self, key: Key) -> str | None:
        """The namespace that a use of a Service names; the empty text where it names none. None: it is no such use."""
        noun = getattr(self.document, key[0])[key[1]] if key[0] in ("services", "tcp_services") else None
        if not isinstance(noun, LoadBalancer | TcpLoadBalancer) or not noun.servers or noun.servers[0].kubernetes is None:
            return None
        return str(noun.servers[0].kubernetes.namespace or "")

    def holders(self, key: Key) -> tuple[Key, ...]:
        """The objects in which a use of a Service is written."""
        return (key,) if self.is_object(key) else self.parents.get(key, ())

    def settle(self) -> Plan:
        """Finds the namespaces that cannot be kept, until what is left fits together."""
        while wrong := self._misplaced():
            self.dropped |= wrong
            self._homes.clear()
        return self

    def _misplaced(self) -> set[Key]:
        cross, wrong = self.options.allow_cross_namespace, set[Key]()
        for key in self.children:
            homes, own = self.homes(key), self.own(key)
            if own is None and len(homes) > 1 and self.is_object(key):
                wrong |= self._ancestors(key)
            elif own is not None and not cross and any(self.homes(parent) != {own} for parent in self.parents.get(key, ())):
                wrong.add(key)
            elif self.reference(key) == "" and any(self.homes(holder) != {None} for holder in self.holders(key)):
                wrong |= self._ancestors(key)
        return wrong

    def _ancestors(self, key: Key) -> set[Key]:
        found, rest = set[Key](), [key]
        while rest:
            one = rest.pop()
            if self.own(one) is not None:
                found.add(one)
            rest += self.parents.get(one, ())
        return found

    @cached_property
    def referenced(self) -> frozenset[str]:
        """The Services that the document names."""
        nouns = (*self.document.services.values(), *self.document.tcp_services.values())
        servers = (server for noun in nouns if isinstance(noun, LoadBalancer | TcpLoadBalancer) for server in noun.servers)
        return frozenset(str(server.kubernetes.service) for server in servers if server.kubernetes is not None)

    @cached_property
    def collisions(self) -> dict[str, str]:
        """Load balancers that Traefik's legacy naming takes for another one, which stands before: both stand among several."""
        found: dict[str, str] = {}
        first: dict[tuple[str | None, str, str], tuple[str, str]] = {}
        splits = (each for each in (*self.document.services.values(), *self.document.routes) if isinstance(each, Split | Route))
        among = dict.fromkeys((*sorted(self.aliases), *(entry.to for each in splits for entry in each.split)))
        for name in among:
            each = self.document.services.get(name)
            ref = each.servers[0].kubernetes if isinstance(each, LoadBalancer) and each.servers else None
            if ref is None or not isinstance(each, LoadBalancer):
                continue
            home = ref.namespace or self.home(("services", name))
            said = each.model_dump_json(exclude_defaults=True, exclude={"metadata", "servers"}) + str(ref.scheme)
            before = first.setdefault((home, str(ref.service), str(ref.port)), (name, said))
            if before[1] != said:
                found[name] = before[0]
        return found

    @cached_property
    def strayed(self) -> dict[Key, str]:
        """Uses of a Service in another namespace than the object that names it, and why they cannot be written."""
        found: dict[Key, str] = {}
        if self.options.allow_cross_namespace:
            return found
        first: dict[Key, str] = {}
        for key in self.children:
            wanted = self.reference(key)
            for holder in self.holders(key) if wanted else ():
                assert wanted is not None
                home = self.home(holder) or self.options.namespace or first.setdefault(holder, wanted)
                if home != wanted:
                    found[key] = f"Traefik drops a route that names a Service of another namespace ({wanted!r} from {home!r}): {_REMEDY}"
        return found


_REMEDY = "put the route there, or say --allow-cross-namespace if the instance allows it"


def _named(noun: object) -> Iterator[Key]:
    tcp = isinstance(noun, TcpRoute | TcpSplit | TcpLoadBalancer)
    services, middlewares = ("tcp_services", "tcp_middlewares") if tcp else ("services", "middlewares")
    if isinstance(noun, Route | TcpRoute):
        yield from ((services, name) for name in noun.targets)
        if noun.tls is not None and noun.tls.options is not None:
            yield "tls_options", noun.tls.options
    if isinstance(noun, Split | TcpSplit):
        yield from ((services, entry.to) for entry in noun.split)
    yield from ((middlewares, name) for name in getattr(noun, "middlewares", ()))
    if isinstance(transport := getattr(noun, "servers_transport", None), str):
        yield "servers_transports", transport
    if (chain := getattr(noun, "chain", None)) is not None:
        yield from ((middlewares, name) for name in chain.middlewares)


def is_own_split(name: str, route: str) -> bool:
    """Whether a TraefikService is called as the one that is written for the split of a route."""
    own = f"{route}-split"
    return name == own or (name.startswith(own) and _NUMBERED.fullmatch(name, len(own)) is not None)


_NUMBERED = re.compile(r"-\d+")
