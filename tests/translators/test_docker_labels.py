"""`docker-labels`: the laws over documents whose servers are containers, what is written where, and what labels cannot say."""

from __future__ import annotations

from hashlib import sha256
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinfeather.model.build import build
from pinfeather.model.diagnostics import Path, Severity
from pinfeather.model.document import Document
from pinfeather.model.normal import normal
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.model.services import ContainerRef, LoadBalancer, Server, TcpLoadBalancer, TcpServer
from pinfeather.testing import laws, traffic
from pinfeather.testing.strategies import HOSTILE, documents
from pinfeather.translators._syntax import yaml
from pinfeather.translators.contract import Parsed, Source
from pinfeather.translators.docker_labels import TRANSLATOR, DockerLabels
from pinfeather.translators.traefik_file import TRANSLATOR as FILE
from pinfeather.translators.traefik_file import TraefikFile

LIST = DockerLabels()
EVERY = tuple(
    DockerLabels.model_validate(each)
    for each in ({}, {"shape": "map"}, {"swarm": True}, {"traefik": "2.11"}, {"traefik": "3.3"}, {"exposed_by_default": False})
)
LAW = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


def in_containers(document: Document, seed: int) -> Document:
    """The same document with containers for servers in most services, some of them shared."""

    def http(name: str, service: Any, number: int) -> Any:
        if not isinstance(service, LoadBalancer) or (seed >> number) % 4 == 3:
            return service
        servers = tuple(
            Server(container=ContainerRef(name=f"c{number}-{at}", port=80 + at if at else None), weight=each.weight)
            for at, each in enumerate(service.servers)
        )
        if servers and (seed >> number) % 4 == 2:
            servers = (*servers[:-1], Server(container=ContainerRef(name="shared", port=9, scheme="h2c"), preserve_path=True))
        return service.model_copy(update={"servers": servers})

    services = {name: http(name, service, number) for number, (name, service) in enumerate(document.services.items())}
    tcp = {
        name: service.model_copy(
            update={
                "servers": tuple(TcpServer(container=ContainerRef(name=f"t{at}"), tls=each.tls) for at, each in enumerate(service.servers))
            }
        )
        if isinstance(service, TcpLoadBalancer)
        else service
        for name, service in document.tcp_services.items()
    }
    return document.model_copy(update={"services": services, "tcp_services": tcp})


containers = st.builds(in_containers, documents() | traffic.documents(), st.integers(0, 4095))


def document(text: str) -> Document:
    tree: Tree = yaml.read(dedent(text), "doc.yaml", yaml.CORE)[0].value
    assert isinstance(tree, dict)
    made, faults = build({"pinfeather": "v1", **tree})
    assert made is not None, faults
    return made


def kept_of(made: Document, options: DockerLabels = LIST) -> Document:
    return project(made, TRANSLATOR.supports(options)).kept


def texts(made: Document, options: DockerLabels = LIST) -> dict[str, str]:
    return {file.name: file.text for file in TRANSLATOR.emit(kept_of(made, options), options).files()}


def losses(made: Document, options: DockerLabels = LIST) -> dict[str, Path]:
    return {finding.code: finding.path for finding in project(made, TRANSLATOR.supports(options)).diagnostics}


def sound(parsed: Parsed) -> Document:
    assert [finding for finding in parsed.diagnostics if finding.severity is Severity.ERROR] == []
    assert parsed.document is not None
    return parsed.document


def labels(made: Document, options: DockerLabels = LIST) -> dict[str, list[str]]:
    """The labels by container, without their common beginning."""
    tree: Any = yaml.read(texts(made, options)["compose.pinfeather.yml"], "x", yaml.GO_YAML_V3)[0].value
    return {name: [each.removeprefix("traefik.") for each in service["labels"]] for name, service in tree["services"].items()}


# The laws --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
def test_law(law: Any) -> None:
    @settings(LAW, max_examples=10 if law is laws.purity else 30)
    @given(containers)
    def holds(made: Document) -> None:
        law(TRANSLATOR, LIST, made)

    holds()


@LAW
@given(containers, st.sampled_from(EVERY))
def test_every_option_reads_back_and_is_written_the_same_again(made: Document, options: DockerLabels) -> None:
    kept = kept_of(made, options)
    emitted = TRANSLATOR.emit(kept, options)
    again = sound(TRANSLATOR.parse(emitted.source(), options))
    assert normal(again) == normal(kept), laws._difference(normal(kept), normal(again))
    assert TRANSLATOR.emit(again, options) == emitted


@pytest.mark.parametrize("options", [DockerLabels(shape="list"), DockerLabels(shape="map")], ids=["list", "map"])
def test_a_dollar_in_a_key_is_doubled_only_where_compose_looks_for_variables(options: DockerLabels) -> None:
    service = {"servers": [{"container": {"name": "web", "port": 80}}], "health_check": {"path": "/", "headers": {"$1": "$2"}}}
    made, faults = build({"pinfeather": "v1", "routes": [{"name": "web", "to": "web"}], "services": {"web": service}})
    assert made is not None, faults
    kept = kept_of(made, options)
    (text,) = (file.text for file in TRANSLATOR.emit(kept, options).files())
    assert ("headers.$$1=$$2" if options.shape == "list" else 'headers.$1": "$$2"') in text.replace("'", '"')
    assert normal(sound(TRANSLATOR.parse(TRANSLATOR.emit(kept, options).source(), options))) == normal(kept)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts_in_labels(text: str) -> None:
    tree: Tree = {
        "pinfeather": "v1",
        "routes": [
            {
                "name": text,
                "hosts": ["a.example"],
                "match": {"header": {"name": "X-Text", "value": text}},
                "middlewares": [text],
                "to": text,
                "tls": {"resolver": text, "domains": [{"main": text}]},
            }
        ],
        "services": {text: {"servers": [{"container": {"name": "c", "port": 80}}], "health_check": {"path": "/h", "hostname": text}}},
        "middlewares": {text: {"headers": {"response": {"X-Text": text}}}},
    }
    made, _ = build(tree)
    if made is None:
        pytest.skip("the model refuses it before any format sees it")
    kept = kept_of(made)
    assert len(kept.routes) == 1
    emitted = TRANSLATOR.emit(kept, LIST)
    assert [file.name for file in emitted.files()] == ["compose.pinfeather.yml"]
    assert normal(sound(TRANSLATOR.parse(emitted.source(), LIST))) == normal(kept)


# What is written where -------------------------------------------------------------------------------------------------

SHOP = """\
    routes:
      - name: shop
        hosts: [shop.io]
        middlewares: [auth, odd]
        canaries: [{when: {cookie: {name: canary, value: v2}}, to: v2}]
        split: [{to: v1, weight: 9}, {to: v2}]
        sticky: {cookie: {name: variant}}
        tls: {options: modern}
      - {name: old, hosts: [old.io], to: far, middlewares: [slim]}
    services:
      v1: {servers: [{container: {name: one, port: 80}}, {container: {name: two, port: 80}}], sticky: {cookie: {name: srv}}}
      v2: {servers: [{container: {name: three}}], servers_transport: fast}
      far: {servers: [{url: "http://10.0.0.1:80"}]}
    middlewares:
      auth: {basic_auth: {users: ["a:$apr1$x"]}}
      odd: {strip_prefix: {prefixes: ["/a,b"]}}
      slim: {compress: {}}
    tls_options: {modern: {min_version: VersionTLS12}}
    servers_transports: {fast: {serverName: x}}
    """


def test_each_thing_goes_where_it_can_be_said() -> None:
    made = document(SHOP)
    assert losses(made) == {}
    said = labels(made)
    assert list(said) == ["one", "three", "two"]
    assert said["one"] == said["two"]
    assert said["three"] == [
        "enable=true",
        "http.routers.shop-canary-1.middlewares=auth,odd@file",
        r"http.routers.shop-canary-1.rule=Host(`shop.io`) && HeaderRegexp(`Cookie`, `(?:^|;)[ \t]*canary=v2[ \t]*(?:;|$$)`)",
        "http.routers.shop-canary-1.priority=30",
        "http.routers.shop-canary-1.service=v2",
        "http.routers.shop-canary-1.tls.options=modern@file",
        "http.routers.shop.middlewares=auth,odd@file",
        "http.routers.shop.rule=Host(`shop.io`)",
        "http.routers.shop.priority=20",
        "http.routers.shop.service=shop@file",
        "http.routers.shop.tls.options=modern@file",
        "http.services.v2.loadbalancer.serverstransport=fast@file",
        "http.middlewares.auth.basicauth.users=a:$$apr1$$x",
    ]
    assert "http.services.v1.loadbalancer.server.port=80" in said["one"]
    assert "http.services.v1.loadbalancer.sticky.cookie.name=srv" in said["one"]
    beside: Any = yaml.read(texts(made)["pinfeather.yml"], "x", yaml.GO_YAML_V3)[0].value
    assert list(beside["http"]["routers"]) == ["old"]
    assert beside["http"]["services"]["shop"]["weighted"]["services"] == [
        {"name": "v1@docker", "weight": 9},
        {"name": "v2@docker", "weight": 1},
    ]
    assert sorted(beside["http"]["middlewares"]) == ["odd", "slim"]
    assert normal(sound(TRANSLATOR.parse(TRANSLATOR.emit(made, LIST).source(), LIST))) == normal(made)


def test_a_middleware_of_a_route_in_the_file_stands_in_the_file() -> None:
    text = SHOP.replace("middlewares: [slim]", "middlewares: [auth]")
    assert "http.routers.shop.middlewares=auth@file,odd@file" in labels(document(text))["one"]


def test_what_no_label_would_name_is_named() -> None:
    made = document("services: {s: {servers: [{container: {name: c}}]}}")
    assert labels(made) == {
        "c": [
            "enable=true",
            "http.routers.pinfeather-none.rule=Path(`/`) && !Path(`/`)",
            "http.routers.pinfeather-none.service=noop@internal",
            "http.services.s.loadbalancer.sticky=false",
        ]
    }
    assert normal(sound(TRANSLATOR.parse(TRANSLATOR.emit(made, LIST).source(), LIST))) == normal(made)


def test_the_cookie_of_a_split_is_made_of_the_name_with_its_provider() -> None:
    identity = TRANSLATOR.identity(document(SHOP), LIST)
    plain = FILE.identity(document(SHOP), TraefikFile())
    assert set(identity.variants) == set(plain.variants)
    assert identity.variants["shop", "v1"] == sha256(b"v1@docker").hexdigest()[:16]
    assert plain.variants["shop", "v1"] == sha256(b"v1").hexdigest()[:16]
    assert identity.servers == plain.servers


LOST = {
    "loss.server.container": "services: {s: {servers: [{container: {port: 80}}]}}",
    "loss.server.container ": "services: {s: {servers: [{container: {name: a}}, {container: {name: a, port: 3}}]}}",
    "loss.server.container  ": "services: {s: {servers: [{container: {name: a}}, {url: 'http://b:1'}]}}",
    "loss.server.container   ": "services: {s: {servers: [{container: {name: 'a b'}}]}}",
    "near.server.kubernetes": "services: {s: {servers: [{kubernetes: {service: x, port: 80}}], sticky: {cookie: {name: c}}}}",
    "loss.server.kubernetes": "services: {s: {servers: [{kubernetes: {service: x, port: http}}]}}",
    "loss.health-check.detail": "services: {s: {servers: [{container: {name: a}}], health_check: {path: /h, headers: {A.B: c}}}}",
    "carried.name.service": "services: {s.t: {servers: [{container: {name: a}}]}}",
    "loss.template": "routes: [{name: r, hosts: [{template: '{{x}}'}], to: s}]\nservices: {s: {servers: [{container: {name: a}}]}}",
    "loss.template ": "routes: [{name: r, hosts: [{template: '${X}'}], to: x@d}]",
    "loss.external-reference": "routes: [{name: r, to: s@docker}]\nservices: {s: {servers: [{container: {name: a}}]}}",
}


@pytest.mark.parametrize("code", LOST)
def test_what_labels_have_no_word_for(code: str) -> None:
    assert code.strip() in losses(document(LOST[code]))


def test_names_that_differ_in_case_alone_are_kept_apart() -> None:
    made = document("services: {app: {servers: [{container: {name: a}}]}, App: {servers: [{container: {name: a, port: 1}}]}}")
    kept = kept_of(made)
    assert len({name.lower() for name in kept.services}) == 2
    assert normal(sound(TRANSLATOR.parse(TRANSLATOR.emit(kept, LIST).source(), LIST))) == normal(kept)


@pytest.mark.parametrize(
    ("door", "side"),
    [("plain", ""), ("plain", "tcp_"), ("filed", ""), ("in a chain", ""), ("in a chain in the file", ""), ("of a service", "")],
)
def test_a_name_that_a_list_in_labels_cannot_hold(door: str, side: str) -> None:
    """Wherever the middleware stands; and a chain stays where it stood, with its name, when what it names is called otherwise."""
    guard: Tree = {"ip_allow_list": {"source_ranges": ["10.0.0.0/8"]}}
    guarded = door.startswith("in a chain")
    odd: Tree = {",": {"strip_prefix": {"prefixes": ["/a,b"]}} if door == "filed" else guard}
    if guarded:
        odd["c.d,"] = {"chain": {"middlewares": [",", "x,y@file"] if door == "in a chain in the file" else [","]}}
    target: Tree = {"servers": [{"container": {"name": "web", "port": 80}}]}
    if door == "of a service":
        target["middlewares"] = [","]
        odd["unused"] = {"chain": {"middlewares": [",", "x,y@file"]}}
    match: Tree = {"match": {"sni": "a.io"}} if side else {"hosts": ["a.io"]}
    routes: Tree = [
        {"name": "r", **match, "to": "s", **({} if door == "of a service" else {"middlewares": [*(["c.d,"] if guarded else []), ","]})}
    ]
    made, faults = build({"pinfeather": "v1", f"{side}routes": routes, f"{side}services": {"s": target}, f"{side}middlewares": odd})
    assert made is not None, faults
    kept = kept_of(made)
    assert len(kept.tcp_middlewares or kept.middlewares) == len(odd)
    assert normal(sound(TRANSLATOR.parse(TRANSLATOR.emit(kept, LIST).source(), LIST))) == normal(kept)


def test_templates_of_compose_are_written_to_the_letter() -> None:
    made = document(
        """\
        routes: [{name: r, hosts: [{template: '${DOMAIN:-a.io}'}], path: {regex: '^/a$'}, middlewares: [m], to: s}]
        services: {s: {servers: [{container: {name: c, port: {template: '${PORT}'}}}]}}
        middlewares: {m: {basic_auth: {users: [{template: 'a:$$x${HASH}'}, 'b:$y']}}}
        """
    )
    assert losses(made) == {}
    said = labels(made)["c"]
    assert "http.routers.r.rule=Host(`${DOMAIN:-a.io}`) && PathRegexp(`^/a$$`)" in said
    assert "http.services.s.loadbalancer.server.port=${PORT}" in said
    assert "http.middlewares.m.basicauth.users=a:$$x${HASH},b:$$y" in said
    assert normal(sound(TRANSLATOR.parse(TRANSLATOR.emit(made, LIST).source(), LIST))) == normal(made)


def test_a_namespace_keeps_two_services_of_one_name_apart() -> None:
    made = document(
        """\
        services:
          a: {servers: [{kubernetes: {service: web, namespace: one, port: 80}}]}
          b: {servers: [{kubernetes: {service: web, namespace: two, port: 80}}]}
        """
    )
    assert sorted(labels(made)) == ["web-one", "web-two"]


def test_an_empty_document_is_an_empty_file() -> None:
    assert texts(document("{}")) == {"compose.pinfeather.yml": "services: {}\n"}
    assert normal(sound(TRANSLATOR.parse(Source(TRANSLATOR.emit(document("{}"), LIST).source().files), LIST))) == normal(document("{}"))
