"""`docker-labels` held against a real Traefik: what is written is loaded and means what was meant; what we say is dropped is dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from pinfeather.model.build import build
from pinfeather.model.diagnostics import Code
from pinfeather.model.document import Document
from pinfeather.model.project import project
from pinfeather.testing.traefik import Traefik
from pinfeather.translators._syntax import yaml
from pinfeather.translators._traefik.nouns import Kind
from pinfeather.translators._traefik.schema import EXTRA, ROOT, Anything, Dropped, Listed, Named, Shape, Struct
from pinfeather.translators.contract import File, Source
from pinfeather.translators.docker_labels import TRANSLATOR, DockerLabels
from tests.parts.docker import Container, DockerApi
from tests.parts.fixtures import TRAEFIKS, StartTraefik
from tests.parts.servers import Servers
from tests.translators.test_docker_labels import containers as documents_of_containers

POINTS = ("web", "websecure", "x")
Labels = dict[str, dict[str, str]]


def written(made: Document, options: DockerLabels) -> tuple[Labels, dict[str, str]]:
    """The labels by container, as compose would hand them to Docker, and the files beside them."""
    kept = project(made, TRANSLATOR.supports(options)).kept
    files = {file.name: file.text for file in TRANSLATOR.emit(kept, options).files()}
    tree: Any = yaml.read(files.pop("compose.pinfeather.yml", "services: {}\n"), "x", yaml.GO_YAML_V3)[0].value
    labels = {
        name: {key: value.replace("$$", "$") for key, _, value in (each.partition("=") for each in service["labels"])}
        for name, service in tree["services"].items()
    }
    return labels, files


def document(text: str) -> Document:
    tree: Any = yaml.read(dedent(text), "doc.yaml", yaml.CORE)[0].value
    made, faults = build({"pinfeather": "v1", **tree})
    assert made is not None, faults
    return made


def drawn(count: int) -> list[Document]:
    """The same documents in every run."""
    found: list[Document] = []

    @settings(
        max_examples=count, deadline=None, database=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(documents_of_containers)
    def collect(made: Document) -> None:
        found.append(made)

    collect()
    return found


def run(docker: DockerApi, labels: Labels) -> None:
    docker.run({name: Container(each, f"127.1.0.{at + 1}", (80,)) for at, (name, each) in enumerate(labels.items())})


@pytest.mark.parametrize("version", [None, "2.11"])
def test_traefik_loads_what_is_written_and_shows_what_was_meant(docker: DockerApi, traefik: StartTraefik, version: str | None) -> None:
    options = DockerLabels.model_validate({"traefik": version or "3.7"})
    docker.run({})
    running = traefik({}, entry_points=POINTS, arguments=docker.arguments(exposedByDefault=False), version=version)
    seen: Counter[str] = Counter()
    for made in drawn(25):
        labels, files = written(made, options)
        running.write({"pinfeather.yml": "# nothing\n", **files})
        run(docker, labels)
        docker.in_force(running)
        for kind in ("routers", "services", "middlewares", "tcpRouters", "tcpServices", "tcpMiddlewares"):
            meant = {key.split(".")[3]: None for each in labels.values() for key in each if _is_of(key, kind)}
            shown = running.items(kind, "docker")
            assert {name.partition("-conflicted-")[2] or name for name in shown} == set(meant), kind
            for item in shown.values():
                problems = [text for text in item.get("error", []) if not _elsewhere(str(text))]  # type: ignore[union-attr]
                assert problems == [], labels
            seen[kind] += len(shown)
    assert all(seen[kind] for kind in ("routers", "services", "middlewares", "tcpServices")), seen


def _doubled(labels: dict[str, str]) -> dict[str, str]:
    return {key: value.replace("$", "$$") for key, value in labels.items()}


def _is_of(key: str, kind: str) -> bool:
    side, section = ("tcp", kind[3:].lower()) if kind.startswith("tcp") else ("http", kind)
    return key.startswith(f"traefik.{side}.{section}.")


def _elsewhere(text: str) -> bool:
    """What no label or file of ours could do anything about: other providers' things, and hosts that two routers share."""
    return any(
        word in text
        for word in ('@docker" does not exist', '@internal" does not exist', "@kubernetescrd", "TLS option", "found different TLS")
    )


# Drops -----------------------------------------------------------------------------------------------------------------

_TEXTS = {Kind.TEXT: "x", Kind.INTEGER: "1", Kind.BOOLEAN: "true", Kind.DURATION: "1s", Kind.TEXTS: "a,b"}


def every_key(shape: Shape, path: str) -> Iterator[tuple[str, str]]:
    """A label for each key of the table, and one on each mapping itself."""
    if isinstance(shape, Kind):
        yield path, _TEXTS[shape]
    elif isinstance(shape, Anything):
        yield f"{path}.some.key", "x"
    elif isinstance(shape, Named):
        yield from every_key(shape.shape, f"{path}.NAME")
    elif isinstance(shape, Listed):
        yield from every_key(shape.shape, f"{path}[0]")
    elif isinstance(shape, Dropped):
        if isinstance(shape.shape, Struct):
            yield from every_key(shape.shape, path)
    elif isinstance(shape, Struct):
        if not path.endswith("NAME") and path.count(".") > 2:
            yield path, "true"
        for key, below in shape.fields.items():
            yield from every_key(below, f"{path}.{key.lower()}")
        yield f"{path}.nope", "x"


def _younger(key: str) -> bool:
    """Whether a part of a key is one that came later than 2.11."""
    shape: Shape = ROOT
    for part in key.removeprefix("traefik.").replace("[0]", ".[0]").split("."):
        if isinstance(shape, Dropped) and shape.shape is not None:
            shape = shape.shape
        if isinstance(shape, Named | Listed):
            shape = shape.shape
            if part.startswith(("NAME", "[")):
                continue
        if not isinstance(shape, Struct):
            return False
        found = next((name for name in shape.fields if name.lower() == part), None)
        if found is None:
            return False
        if found in shape.since:
            return True
        shape = shape.fields[found]
    return False


KEYS = [*every_key(ROOT, "traefik"), *every_key(EXTRA["docker"], "traefik")]
YOUNG = [(key, value) for key, value in KEYS if _younger(key)]
"""Those that some version of 3 brought."""
ODD = [
    ("traefik.http.routers.NAME.priority", "1.5"), ("traefik.http.routers.NAME.priority", ""), ("traefik.enable", "yes"),
    ("traefik.enable", "T"), ("traefik.http.routers.NAME.tls", "yes"), ("traefik.http.services.NAME.loadbalancer.passhostheader", "on"),
    ("traefik.http.services.NAME.loadbalancer.healthcheck.interval", "5"), ("Traefik.http.routers.NAME.priority", "1"),
    ("traefik.htp.routers.NAME.priority", "x"), ("traefik.http..x", "x"), ("traefik.http.[0].x", "x"),
    ("traefik.http.services.NAME.loadbalancer.servers[0].url", "http://a"), ("traefik.http.middlewares.NAME.sticky.cookie.name", "x"),
    ("traefik.HTTP.Routers.NAME.PRIORITY", "3"), ("traefik.http.services.NAME.loadbalancer.server.url", "http://10.0.0.1"),
    ("traefik.http.services.NAME.weighted.services[0].name", "x"), ("traefik.enabled", "true"), ("traefik.docker.nope", "x"),
    ("traefik.http.middlewares.NAME.compress", ""), ("traefik.http.middlewares.NAME.headers", ""), ("traefik.frontend.rule", "Host:a"),
    ("traefik.http.middlewares.NAME.basicauth.users[0]", "a:b"), ("traefik.http.routers.NAME.middlewares[0]", "a"),
    ("traefik.tcp.routers.NAME.rule", "HostSNI(`*`)"), ("traefik.udp.routers.NAME.entrypoints", "x"),
]  # fmt: skip


@pytest.mark.parametrize("version", [None, *TRAEFIKS])
def test_containers_are_dropped_exactly_where_we_say_so(docker: DockerApi, traefik: StartTraefik, version: str | None) -> None:
    """One container for each label that there is, and some that there are not; each has a router of its own besides."""
    options = DockerLabels.model_validate({"traefik": version or "3.7", "project": "p"})
    labels: Labels = {}
    asked = [*KEYS, *ODD] if version in (None, "2.11") else YOUNG
    for number, (key, value) in enumerate(asked):
        own = {f"traefik.http.routers.r{number}.rule": f"Path(`/{number}`)", f"traefik.http.routers.r{number}.service": "noop@internal"}
        labels[f"c{number}"] = {**own, key.replace("NAME", f"x{number}"): value}
    docker.run({})
    running = traefik({}, entry_points=POINTS, arguments=docker.arguments(), version=version)
    really: set[str] = set()
    names = list(labels)
    for begin in range(0, len(names), 60):
        run(docker, {name: labels[name] for name in names[begin : begin + 60]})
        docker.in_force(running)
        really |= set(running.items("routers", "docker"))
    services = {name: {"labels": _doubled(each), "expose": ["80"]} for name, each in labels.items()}
    parsed = TRANSLATOR.parse(Source((File("c.yml", yaml.emit({"services": services})),)), options)
    codes = (Code.LABELS_REJECTED, Code.STICKY_MIDDLEWARE)
    lines = [finding.span.line for finding in parsed.diagnostics if finding.code in codes and finding.span is not None]
    text = yaml.emit({"services": services}).splitlines()
    gone = {next(text[at].strip().rstrip(":") for at in range(line - 1, -1, -1) if text[at].startswith("  c")) for line in lines}
    assert gone
    wrong = [
        (f"{key}={value}", "dropped" if f"r{number}" not in really else "kept")
        for number, (key, value) in enumerate(asked)
        if (f"r{number}" not in really) != (f"c{number}" in gone)
    ]
    assert wrong == [], "\n".join(f"{label} {what}" for label, what in wrong)


def test_merging(docker: DockerApi, traefik: StartTraefik) -> None:
    """Alike: one service of two servers; another cookie: none; an order of list indexes as texts."""
    base = {"traefik.http.routers.r.rule": "Host(`a.io`)", "traefik.http.services.s.loadbalancer.server.port": "80"}
    domains = {f"traefik.http.routers.r.tls.domains[{at}].main": f"d{at}.io" for at in (10, 2, 1)}
    cookie = {"traefik.http.services.s.loadbalancer.sticky.cookie.name": "x"}
    docker.run({})
    running = traefik({}, arguments=docker.arguments())
    run(docker, {"one": {**base, **domains}, "two": {**base, **domains}})
    docker.in_force(running)
    service: Any = running.items("services", "docker")["s"]
    assert len(service["loadBalancer"]["servers"]) == 2
    router: Any = running.items("routers", "docker")["r"]
    parsed = TRANSLATOR.parse(
        Source((File("c.yml", yaml.emit({"services": {n: {"labels": {**base, **domains}} for n in ("one", "two")}})),)), DockerLabels()
    )
    assert parsed.document is not None
    (route,) = parsed.document.routes
    assert route.tls is not None
    assert [domain.main for domain in route.tls.domains] == [domain["main"] for domain in router["tls"]["domains"]]
    run(docker, {"one": base, "two": {**base, **cookie}})
    docker.in_force(running)
    assert "s" not in running.items("services", "docker")
    assert running.items("routers", "docker")["r"]["status"] == "disabled"


SHOP = """\
    routes:
      - name: shop
        hosts: [shop.io]
        canaries: [{when: {cookie: {name: canary, value: v2}}, to: v2}]
        split: [{to: v1, weight: 3}, {to: v2}]
        sticky: {cookie: {name: variant}}
    services:
      v1: {servers: [{container: {name: a, port: PORT_a}}], sticky: {cookie: {name: srv}}}
      v2: {servers: [{container: {name: b, port: PORT_b}}], sticky: {cookie: {name: srv}}}
    """


def cookies_of(running: Traefik, cookie: str = "") -> tuple[str, dict[str, str]]:
    """Who answered, and the cookies that were set."""
    answer = running.request(host="shop.io", headers=(("Cookie", cookie),) if cookie else ())
    held = (value.partition(";")[0].partition("=") for value in answer.all("Set-Cookie"))
    return answer.all("X-Server")[0], {name: value for name, _, value in held}


@pytest.mark.parametrize("version", [None, "2.11"])
def test_a_canary_and_a_split_beside_the_labels_reach_the_right_servers(
    docker: DockerApi, servers: Servers, traefik: StartTraefik, version: str | None
) -> None:
    options = DockerLabels.model_validate({"traefik": version or "3.7"})
    text = SHOP
    for name in ("a", "b"):
        text = text.replace(f"PORT_{name}", servers.at(name).partition(":")[2])
    made = document(text)
    labels, files = written(made, options)
    docker.run({})
    running = traefik(files, arguments=docker.arguments(exposedByDefault=False), version=version)
    docker.run({name: Container(each, "127.0.0.1", (1,)) for name, each in labels.items()})
    docker.in_force(running)
    assert {cookies_of(running, "canary=v2")[0] for _ in range(4)} == {"b"}
    found = [cookies_of(running) for _ in range(8)]
    assert Counter(name for name, _ in found) == {"a": 6, "b": 2}
    identity = TRANSLATOR.identity(made, options)
    if version is None:  # 2.11 makes its values in another way
        assert {cookies["variant"] for _, cookies in found} == set(identity.variants.values())
        assert {name: cookies["variant"] for name, cookies in found} == {
            "a": identity.variants["shop", "v1"],
            "b": identity.variants["shop", "v2"],
        }
    for name, cookies in found[:4]:
        assert {cookies_of(running, f"variant={cookies['variant']}; srv={cookies['srv']}")[0] for _ in range(3)} == {name}


def test_no_router_is_made_by_the_default_rule(docker: DockerApi, servers: Servers, traefik: StartTraefik) -> None:
    made = document(
        "routes: [{name: r, to: away}]\nservices: {s: {servers: [{container: {name: a}}]}, away: {servers: [{url: 'http://127.0.0.1:1'}]}}"
    )
    labels, files = written(made, DockerLabels())
    docker.run({})
    running = traefik(files, arguments=docker.arguments())
    address, _, port = servers.at("a").partition(":")
    docker.run({name: Container(each, address, (int(port),)) for name, each in labels.items()})
    docker.in_force(running)
    assert list(running.items("routers", "docker")) == ["pinfeather-none"]
    assert "s" in running.items("services", "docker")
    assert running.request("/", host="a").status == 502
