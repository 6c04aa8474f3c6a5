"""`traefik-file` held against a real Traefik: it loads what is written, and shows in `/api/rawdata` what was meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from pinfeather.model.build import build
from pinfeather.model.document import Document
from pinfeather.model.project import project
from pinfeather.testing.strategies import documents
from pinfeather.testing.traefik import Json, Traefik, TraefikError
from pinfeather.translators._syntax import yaml
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._traefik.routing import Rules
from pinfeather.translators.contract import File, Source, TextFile
from pinfeather.translators.traefik_file import TRANSLATOR, TraefikFile, file_tree
from tests.parts.fixtures import TRAEFIKS

StartTraefik = Callable[..., Traefik]
POINTS = ("web", "websecure", "x")
KINDS = {"http": ("routers", "services", "middlewares"), "tcp": ("tcpRouters", "tcpServices", "tcpMiddlewares")}
_ELSEWHERE = re.compile(
    r'"[^"]*@(?:docker|internal|kubernetescrd)" does not exist$|"api@internal" does not have any type defined$'  # the latter: 3.0
)
"""What nobody but another provider could have; the generated documents name some."""
_CONFLICT = re.compile(r"^(?:web|websecure|x)-conflicted-")
"""How Traefik renames routers of one host with different TLS options."""


def drawn(count: int) -> list[Document]:
    """The same documents in every run."""
    found: list[Document] = []

    @settings(
        max_examples=count, deadline=None, database=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(documents())
    def collect(made: Document) -> None:
        found.append(made)

    collect()
    return found


def section(tree: Tree, *keys: str) -> dict[str, Tree]:
    for key in keys:
        tree = tree.get(key, {}) if isinstance(tree, dict) else {}
    assert isinstance(tree, dict)
    return tree


def whole(reference: Json) -> str:
    return f"{reference}" if "@" in str(reference) else f"{reference}@file"


def wholes(references: Json) -> list[str]:
    return [whole(reference) for reference in references] if isinstance(references, list) else []


def check_router(seen: dict[str, Json], meant: Tree) -> None:
    assert isinstance(meant, dict)
    assert (seen["rule"], seen["priority"]) == (meant["rule"], meant["priority"])
    assert whole(seen["service"]) == whole(meant["service"])
    assert wholes(seen.get("middlewares")) == wholes(meant.get("middlewares"))
    assert ("tls" in seen) == ("tls" in meant)
    if "entryPoints" in meant:
        assert seen["entryPoints"] == meant["entryPoints"]


def check_service(seen: dict[str, Json], meant: Tree) -> None:
    assert isinstance(meant, dict)
    if "weighted" in meant:
        names = [(whole(e["name"]), e["weight"]) for e in section(meant, "weighted")["services"] if isinstance(e, dict)]  # type: ignore[union-attr]
        shown = section(seen, "weighted")["services"]
        assert isinstance(shown, list)
        assert [(whole(e["name"]), e.get("weight", 0)) for e in shown if isinstance(e, dict)] == names
        kept, wanted = section(seen, "weighted", "sticky", "cookie"), section(meant, "weighted", "sticky", "cookie")
    else:
        servers, shown = section(meant, "loadBalancer")["servers"], section(seen, "loadBalancer").get("servers", [])
        assert isinstance(servers, list)
        assert isinstance(shown, list)
        keys = ("url", "address", "weight")
        assert [[e.get(k) for k in keys] for e in shown if isinstance(e, dict)] == [
            [e.get(k) for k in keys] for e in servers if isinstance(e, dict)
        ]
        kept, wanted = section(seen, "loadBalancer", "sticky", "cookie"), section(meant, "loadBalancer", "sticky", "cookie")
    assert kept == {"path": "/", **{key: value for key, value in wanted.items() if value is not False}} or not wanted


def test_traefik_loads_what_is_written_and_shows_what_was_meant(traefik: StartTraefik) -> None:
    instance = traefik({}, entry_points=POINTS)
    routers = 0
    for number, made in enumerate(drawn(60)):
        options = TraefikFile(syntax="toml" if number % 2 else "yaml")
        kept = project(made, TRANSLATOR.supports(options)).kept
        (artifact,) = TRANSLATOR.emit(kept, options).artifacts
        assert isinstance(artifact, TextFile)
        others = {"pinfeather.yml", "pinfeather.toml"} - {artifact.name}
        try:
            instance.write({artifact.name: artifact.text, **dict.fromkeys(others, "# nothing\n")})
        except TraefikError as refusal:
            pytest.fail(f"{refusal}\n{artifact.text}")
        tree: Tree = file_tree(kept)
        for side, kinds in KINDS.items():
            for kind, part in zip(kinds, ("routers", "services", "middlewares"), strict=True):
                seen, meant = instance.items(kind), section(tree, side, part)
                assert {_CONFLICT.sub("", name) for name in seen} == set(meant)
                for name, item in seen.items():
                    problems = item.get("error", [])
                    assert isinstance(problems, list)
                    if not _CONFLICT.match(name):
                        assert [text for text in problems if not _ELSEWHERE.search(str(text))] == [], (name, artifact.text)
                    check = {"routers": check_router, "services": check_service}.get(part)
                    if check is not None:
                        check(item, meant[_CONFLICT.sub("", name)])
                        routers += part == "routers"
    assert routers > 30


SHOP = """\
    pinfeather: v1
    routes:
      - name: shop
        hosts: [shop.localhost]
        split: [{to: one}, {to: two}]
        sticky: {cookie: {name: variant}}
    services:
      one: {servers: [{url: "http://127.0.0.1:1"}], sticky: {cookie: {name: server, path: /x}}}
      two: {servers: [{url: "http://127.0.0.1:1"}, {url: "http://127.0.0.1:2/"}], sticky: {cookie: {name: server, path: /x}}}
    """


def test_traefik_sends_the_cookie_values_that_identity_knows(traefik: StartTraefik) -> None:
    tree: Tree = yaml.read(dedent(SHOP), "shop.yaml", yaml.CORE)[0].value
    made, faults = build(tree)
    assert made is not None, faults
    (artifact,) = TRANSLATOR.emit(made, TraefikFile()).artifacts
    assert isinstance(artifact, TextFile)
    instance = traefik({artifact.name: artifact.text})
    identity = TRANSLATOR.identity(made, TraefikFile())
    seen: set[tuple[str, str]] = set()
    for _ in range(24):  # each server is dead; the cookies are set before that is known
        answer = instance.request("/", host="shop.localhost")
        held = [value.partition("=") for value in answer.all("Set-Cookie")]
        seen |= {(name, value.partition(";")[0]) for name, _, value in held}
    assert seen == {("variant", value) for value in identity.variants.values()} | {("server", value) for value in identity.servers.values()}


def test_the_name_of_a_cookie_without_one_is_traefiks(traefik: StartTraefik) -> None:
    text = 'http: {routers: {r: {rule: "PathPrefix(`/`)", service: "a b", priority: 1}}, services: {"a b": {loadBalancer: {servers: [{url: "http://127.0.0.1:1"}], sticky: {cookie: {}}}}}}\n'
    parsed = TRANSLATOR.parse(Source((File("a.yml", text),)), TraefikFile())
    assert parsed.document is not None
    sticky = parsed.document.services["a b"].sticky
    assert sticky is not None
    assert sticky.cookie is not None
    answer = traefik({"a.yml": text}).request("/")
    (sent,) = answer.all("Set-Cookie")
    assert sent.partition("=")[0] == sticky.cookie.name


@pytest.mark.parametrize("version", TRAEFIKS)
def test_every_version_loads_what_is_written_for_it(traefik: StartTraefik, version: str) -> None:
    """Keys that a version does not know make it refuse the file; rules that it cannot read disable their router."""
    options = TraefikFile.model_validate({"traefik": version})
    instance = traefik({}, entry_points=POINTS, version=version)
    routers = 0
    for made in drawn(12):
        kept = project(made, TRANSLATOR.supports(options)).kept
        (artifact,) = TRANSLATOR.emit(kept, options).artifacts
        assert isinstance(artifact, TextFile)
        instance.write({artifact.name: artifact.text})
        seen = instance.items("routers")
        meant = section(file_tree(kept, Rules(options.version)), "http", "routers")
        assert {_CONFLICT.sub("", name) for name in seen} == set(meant)
        for name, item in seen.items():
            problems = item.get("error", [])
            assert isinstance(problems, list)
            if not _CONFLICT.match(name):
                assert [text for text in problems if not _ELSEWHERE.search(str(text))] == [], (name, artifact.text)
            assert item["rule"] == meant[_CONFLICT.sub("", name)]["rule"]  # type: ignore[index,call-overload]
            routers += 1
    assert routers
