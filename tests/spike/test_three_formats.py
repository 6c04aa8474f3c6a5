"""The contract's spike: Traefik's file, Docker labels and CRDs as plain dicts, through `project`, `normal` and law 1.

Three toys, each as small as its dialect allows; what they showed is in `docs/adr/001-contract-spike.md`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinfeather.model.build import build
from pinfeather.model.diagnostics import Path
from pinfeather.model.document import Document, canary_name
from pinfeather.model.features import FULL, NONE, Derived, Feature, Full, Nothing, Support, When, places
from pinfeather.model.match import both
from pinfeather.model.normal import conditions, normal, precedence
from pinfeather.model.project import project
from pinfeather.model.services import LoadBalancer, Split
from pinfeather.translators._syntax import rule, yaml
from pinfeather.translators.contract import Artifact, Emitted, File, KubernetesObject, Options, Parsed, Source, TextFile, Translator

Dict = dict[str, Any]
F = Feature


class Refer(Protocol):
    def __call__(self, name: str) -> str: ...


# What all three share: routers with rules and priorities, load balancers, weighted services -----------------------------


def config(document: Document) -> tuple[Dict, Dict, Dict]:
    """Routers, load balancers and weighted services, by name. A route's own split becomes a service with a free name."""
    routers: Dict = {}
    weighted: Dict = {name: plain(service) for name, service in document.services.items() if isinstance(service, Split)}
    balancers: Dict = {name: plain(service) for name, service in document.services.items() if isinstance(service, LoadBalancer)}
    taken = {*document.services, *(target.partition("@")[0] for target in named(document))}
    order = precedence(document)
    for position, (index, number) in enumerate(order):
        route = document.routes[index]
        canary = None if number is None else route.canaries[number]
        match = both((*conditions(route), *(() if canary is None else (canary.when,))))
        name, to = (route.name, route.to) if number is None else (canary_name(route, number), route.canaries[number].to)
        if to is None:
            to = free(f"{route.name}-split", taken)
            weighted[to] = {"split": plain(route)["split"]} | ({"sticky": plain(route)["sticky"]} if route.sticky else {})
        assert match is not None
        routers[name] = {"rule": rule.print_http(match), "priority": len(order) - position, "service": to}
    return routers, balancers, weighted


def document_of(routers: Dict, services: Dict) -> Parsed:
    routes = [
        {"name": name, "match": plain(rule.parse_http(each["rule"])), "priority": each["priority"], "to": each["service"]}
        for name, each in routers.items()
    ]
    made, found = build({"pinfeather": "v1", "routes": routes, "services": services})  # type: ignore[dict-item]
    return Parsed(made, found)


def plain(noun: Any) -> Dict:
    return noun.model_dump(mode="json", exclude_defaults=True)  # type: ignore[no-any-return]


def named(document: Document) -> list[str]:
    splits = (service for service in document.services.values() if isinstance(service, Split))
    return [t for route in document.routes for t in route.targets] + [entry.to for split in splits for entry in split.split]


def free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "-x"
    taken.add(name)
    return name


def referring(service: Dict, refer: Refer) -> Dict:
    return {**service, "split": [{**entry, "to": refer(entry["to"])} for entry in service["split"]]}


SAID = (F.HOST, F.PATH_PREFIX, F.HEADER, F.COOKIE, F.PRIORITY, F.CANARY, F.CANARY_PRIORITY, F.SPLIT, F.SPLIT_NESTED, F.SPLIT_SERVICE)
KEPT = (F.STICKY_VARIANT, F.STICKY_SERVER, F.COOKIE_MAX_AGE, F.COOKIE_SECURE, F.EXTERNAL)
COMMON: Mapping[Feature, Support] = dict.fromkeys((*SAID, *KEPT), FULL)


# Traefik's file ---------------------------------------------------------------------------------------------------------


def file_emit(document: Document, options: Options) -> Emitted:
    routers, balancers, weighted = config(document)
    return Emitted((TextFile("traefik.json", json.dumps({"http": {"routers": routers, "services": balancers | weighted}})),))


def file_parse(source: Source, options: Options) -> Parsed:
    http = json.loads(source.files[0].text)["http"]
    return document_of(http["routers"], http["services"])


# Docker labels: flat texts on containers; weighted services in a fragment for the file provider ---------------------------


def one_url(document: Document, path: Path) -> Full | Nothing:
    """Labels stand on a container: one URL, and no server beside it."""
    return FULL if len(document.services[str(path[1])].servers) == 1 else NONE  # type: ignore[union-attr]


def not_ours(document: Document, path: Path) -> Full | Nothing:
    """A reference into the providers that are written here would meet what is written here."""
    value: Any = document
    for part in path:
        value = value[part] if isinstance(value, dict | tuple) else getattr(value, str(part))
    name, _, provider = value.partition("@")
    return NONE if provider in ("docker", "file") and name in {slug(other) for other in document.services} else FULL


def labels_emit(document: Document, options: Options) -> Emitted:
    routers, balancers, weighted = config(document)
    labels: dict[str, dict[str, str]] = {}
    for name, service in balancers.items():
        base = f"traefik.http.services.{name}.loadbalancer"
        cookie = service["sticky"]["cookie"] if "sticky" in service else {}
        shared = {f"{base}.sticky.cookie.{key.replace('_', '')}": json.dumps(value).strip('"') for key, value in cookie.items()}
        for server in service["servers"]:
            at = server["container"]["name"] if "container" in server else f"url {name}"
            where = f"{base}.server.url", server.get("url")
            if "container" in server:
                where = f"{base}.server.port", str(server["container"]["port"])
            labels.setdefault(at, {}).update({**shared, where[0]: where[1]})
    for name, router in routers.items():
        flat = {**router, "service": router["service"] + ("@file" if router["service"] in weighted else "")}
        anywhere = next(iter(labels), "pinfeather")
        labels.setdefault(anywhere, {}).update({f"traefik.http.routers.{name}.{key}": str(value) for key, value in flat.items()})
    compose = TextFile("compose.json", json.dumps({name: {"labels": found} for name, found in labels.items()}))
    fragment = {name: referring(service, lambda to: to + "@docker" * (to in balancers)) for name, service in weighted.items()}
    return Emitted((compose, TextFile("splits.json", json.dumps(fragment)))) if fragment else Emitted((compose,))


def labels_parse(source: Source, options: Options) -> Parsed:
    texts = {file.name: json.loads(file.text) for file in source.files}
    routers: Dict = {}
    services: Dict = {}
    weighted: Dict = texts.get("splits.json", {})
    for container, content in texts["compose.json"].items():
        for label, value in content["labels"].items():
            _, _, section, name, *keys = label.split(".")
            if section == "routers":
                routers.setdefault(name, {})[keys[0]] = int(value) if keys[0] == "priority" else value
                continue
            service = services.setdefault(name, {"servers": []})
            if keys[1] == "server":
                server = {"url": value} if keys[2] == "url" else {"container": {"name": container, "port": int(value)}}
                service["servers"].append(server)
            else:
                key, of = COOKIE[keys[3]]
                service.setdefault("sticky", {"cookie": {}})["cookie"][key] = of(value)

    def own(to: str) -> str:
        name, _, provider = to.partition("@")
        return name if name in {"docker": services, "file": weighted}.get(provider, ()) else to

    for router in routers.values():
        router["service"] = own(router["service"])
    return document_of(routers, services | {name: referring(service, own) for name, service in weighted.items()})


COOKIE: Dict = {"name": ("name", str), "maxage": ("max_age", int), "secure": ("secure", lambda text: text == "true")}


# CRDs: objects; stickiness to a server stands at each reference, names are those of objects ---------------------------------


def slug(name: str) -> str:
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")


def crd_name(document: Document, path: Path) -> str:
    service = document.services[str(path[1])]
    if isinstance(service, LoadBalancer) and (ref := service.servers[0].kubernetes) is not None:
        return f"{ref.service}.{ref.port}"  # no slug has a dot
    theirs = {server.kubernetes.service for other in balancers(document) for server in other.servers if server.kubernetes}
    return slug(str(path[1])) + "-own" * (slug(str(path[1])) in theirs)  # never over a Service that is there already


def route_name(document: Document, path: Path) -> str:
    route = document.routes[int(path[1])]
    return slug(route.name if len(path) == 2 else canary_name(route, int(path[3])))


def balancers(document: Document) -> list[LoadBalancer]:
    return [service for service in document.services.values() if isinstance(service, LoadBalancer)]


def first_use(document: Document, path: Path) -> Full | Nothing:
    """A Service named twice has one name and, in the toy, one stickiness; and it has its servers for itself."""
    service = document.services[str(path[1])]
    assert isinstance(service, LoadBalancer)
    uses = [name for name, other in document.services.items() if isinstance(other, LoadBalancer) and service.servers[0] in other.servers]
    return FULL if uses[0] == path[1] and len(service.servers) == 1 else NONE


def crd_emit(document: Document, options: Options) -> Emitted:
    routers, balancers, weighted = config(document)

    def reference(to: str) -> Dict:
        if (service := balancers.get(to)) is None:
            return {"kind": "TraefikService", "name": to}
        sticky = {"sticky": service["sticky"]} if "sticky" in service else {}
        ref = service["servers"][0].get("kubernetes", {"service": to, "port": 80})
        return {"kind": "Service", "name": ref["service"], "port": ref["port"], **sticky}

    made: list[Dict] = []
    for name, service in balancers.items():
        urls = [server["url"] for server in service["servers"] if "url" in server]
        made += [{"kind": "Service", "metadata": {"name": name}}] if urls else []
        made += [
            {"kind": "EndpointSlice", "metadata": {"name": f"{name}-{index}", "labels": {"service": name}}, "url": url}
            for index, url in enumerate(urls)
        ]
    for name, service in weighted.items():
        services = [{**reference(entry["to"]), "weight": entry.get("weight", 1)} for entry in service["split"]]
        sticky = {"sticky": service["sticky"]} if "sticky" in service else {}
        made.append({"kind": "TraefikService", "metadata": {"name": name}, "spec": {"weighted": {"services": services, **sticky}}})
    for name, router in routers.items():
        route = {"match": router["rule"], "priority": router["priority"], "services": [reference(router["service"])]}
        made.append({"kind": "IngressRoute", "metadata": {"name": name}, "spec": {"routes": [route]}})
    artifacts: list[Artifact] = [KubernetesObject(each) for each in made]
    return Emitted(tuple(artifacts))


def crd_parse(source: Source, options: Options) -> Parsed:
    objects: list[Any] = [reading.value for file in source.files for reading in yaml.read(file.text, file.name, yaml.KUBERNETES)]
    ours = {each["metadata"]["name"] for each in objects if each["kind"] == "Service"}
    routers: Dict = {}
    services: Dict = {}

    def target(reference: Dict) -> str:
        if reference["kind"] == "TraefikService":
            return str(reference["name"])
        name = reference["name"] if reference["name"] in ours else f"{reference['name']}.{reference['port']}"
        remote = [{"kubernetes": {"service": reference["name"], "port": reference["port"]}}] if name not in ours else []
        service = services.setdefault(name, {"servers": remote})
        return str(name) if "sticky" not in reference or service.setdefault("sticky", reference["sticky"]) else ""

    for each in sorted(objects, key=lambda each: each["kind"]):  # EndpointSlices before those who refer to their Service
        name = each["metadata"]["name"]
        if each["kind"] == "EndpointSlice":
            services.setdefault(each["metadata"]["labels"]["service"], {"servers": []})["servers"].append({"url": each["url"]})
        elif each["kind"] == "IngressRoute":
            route = each["spec"]["routes"][0]
            routers[name] = {"rule": route["match"], "priority": route["priority"], "service": target(route["services"][0])}
        elif each["kind"] == "TraefikService":
            weighted = each["spec"]["weighted"]
            split = [{"to": target(child), "weight": child["weight"]} for child in weighted["services"]]
            services[name] = {"split": split} | ({"sticky": weighted["sticky"]} if "sticky" in weighted else {})
    return document_of(routers, services)


ALONE = When(lambda document, path: FULL if isinstance(document.services[str(path[1])], Split) else NONE)
NAMES: Mapping[Feature, Support] = {F.ROUTE_NAME: Derived(route_name), F.SERVICE_NAME: Derived(lambda document, path: slug(str(path[1])))}
TABLES: dict[str, Mapping[Feature, Support]] = {
    "file": {**COMMON, F.SERVER_URL: FULL, F.SERVICE_ALONE: FULL},
    "labels": {
        **COMMON, **NAMES,
        F.SERVICE_ALONE: FULL, F.SERVER_URL: When(one_url), F.SERVER_CONTAINER: FULL, F.EXTERNAL: When(not_ours),
    },
    "crd": {
        **COMMON, **NAMES,
        F.SERVICE_NAME: Derived(crd_name), F.SERVICE_ALONE: ALONE, F.SERVER_URL: FULL, F.SERVER_KUBERNETES: When(first_use),
    },
}  # fmt: skip


def toy(name: str, parse: Any, emit: Any) -> Translator[Options]:
    def recognise(file: File) -> bool:
        return False

    return Translator(name, "A toy.", Options, lambda options: TABLES[name], parse, emit, recognise)


TOYS = (toy("file", file_parse, file_emit), toy("labels", labels_parse, labels_emit), toy("crd", crd_parse, crd_emit))


# A thousand documents ---------------------------------------------------------------------------------------------------


@st.composite
def documents(draw: st.DrawFn) -> Document:
    some = lambda most: draw(st.integers(0, most))  # noqa: E731
    pick = lambda choices: draw(st.sampled_from(choices))  # noqa: E731
    cookie = lambda name: {"cookie": {"name": name, "max_age": pick([None, 60]), "secure": pick([None, True, False])}}  # noqa: E731
    services: Dict = {}
    for name in draw(st.lists(st.sampled_from(["v1", "V1", "Shop_V2", "api.v3", "v-1", "v1-split"]), min_size=1, max_size=4, unique=True)):
        kind = pick(["url", "url", "container", "kubernetes"])
        servers: list[Dict] = [{"url": f"http://10.0.0.{index}:80"} for index in range(1 + some(2))]
        if kind == "container":
            servers = [{"container": {"name": each, "port": 8080}} for each in pick([["a"], ["a", "b"], ["b", "a"]])]
        elif kind == "kubernetes":
            servers = [{"kubernetes": {"service": pick(["shop", "v1"]), "port": pick([80, 81])}}]
        services[name] = {"servers": servers, **({"sticky": cookie("server")} if some(1) else {})}
    for level, name in enumerate(["Half", "half_2"][: some(2)]):
        children = draw(st.lists(st.sampled_from(list(services)), min_size=1, max_size=3, unique=True))
        split = [{"to": child, "weight": pick([1, 1, 9, 90])} for child in children]
        services[name] = {"split": split, **({"sticky": cookie(f"level_{level}")} if some(1) else {})}
    targets = [*services, "legacy@file", "v1@docker"]
    whens = [{"cookie": {"name": "canary", "value": "v2"}}, {"header": {"name": "X-Canary", "value": "yes"}}]
    routes: list[Dict] = []
    for index in range(1 + some(2)):
        canaries = [{"when": pick(whens), "to": pick(targets), "priority": pick([None, 5])} for _ in range(some(2))]
        route: Dict = {"name": ["shop", "Shop", "shop_"][index], "hosts": pick([["a.example"], ["a.example", "b.example"]])}
        route |= {"path": pick([None, {"prefix": "/x"}]), "priority": pick([None, 7]), "canaries": canaries}
        if some(1):
            route["to"] = pick(targets)
        else:
            children = draw(st.lists(st.sampled_from(targets), min_size=1, max_size=3, unique=True))
            route["split"] = [{"to": child, "weight": pick([0, 1, 10])} for child in children[:-1]] + [{"to": children[-1], "weight": 5}]
            route["sticky"] = pick([None, cookie("variant")])
        routes.append(route)
    return Document.model_validate({"routes": routes, "services": services})


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(document=documents())
def test_law_1_and_honest_loss_hold_for_three_formats(document: Document) -> None:
    for each in TOYS:
        options = each.options()
        supports = each.supports(options)
        projection = project(document, supports)
        kept = projection.kept
        again = each.parse(each.emit(kept, options).source(), options)
        assert again.document is not None, (each.name, again.diagnostics)
        assert normal(again.document) == normal(kept), each.name
        assert bool(projection.diagnostics) == (kept != document), each.name
        assert len({finding.path for finding in projection.diagnostics}) == len(projection.diagnostics), each.name
        assert project(kept, supports).kept == kept, f"{each.name}: what is left can still not be said"


def test_every_feature_that_the_toys_speak_of_is_used() -> None:
    """The thousand would prove nothing about a feature that no document uses."""
    used: set[Feature] = set()

    @settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(document=documents())
    def look(document: Document) -> None:
        used.update(place.row.feature for place in places(document))

    look()
    assert {feature for table in TABLES.values() for feature in table} - used == {F.ROUTE_NAME, F.SERVICE_NAME}
