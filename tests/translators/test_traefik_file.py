"""`traefik-file`: the laws over generated documents, what is written, and what cannot be said."""

from __future__ import annotations

from hashlib import sha256
from textwrap import dedent
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinfeather.model.build import build
from pinfeather.model.diagnostics import Path, Severity
from pinfeather.model.document import Document
from pinfeather.model.features import Feature
from pinfeather.model.normal import normal
from pinfeather.model.noun import Tree
from pinfeather.model.project import project
from pinfeather.testing.strategies import documents
from pinfeather.translators._syntax import yaml
from pinfeather.translators._traefik.options import Version
from pinfeather.translators.contract import File, Parsed, Source, TextFile
from pinfeather.translators.traefik_file import TRANSLATOR, TraefikFile, file_tree

YAML, TOML = TraefikFile(), TraefikFile(syntax="toml")


def read(text: str | bytes, options: TraefikFile = YAML, name: str = "a.yml") -> Parsed:
    return TRANSLATOR.parse(Source((File(name, dedent(text) if isinstance(text, str) else text),)), options)


def document(text: str) -> Document:
    tree: Tree = yaml.read(dedent(text), "doc.yaml", yaml.CORE)[0].value
    assert isinstance(tree, dict)
    made, faults = build({"pinfeather": "v1", **tree})
    assert made is not None, faults
    return made


def written(made: Document, options: TraefikFile = YAML) -> str:
    (artifact,) = TRANSLATOR.emit(project(made, TRANSLATOR.supports(options)).kept, options).artifacts
    assert isinstance(artifact, TextFile)
    return artifact.text


def losses(made: Document, options: TraefikFile = YAML) -> dict[str, Path]:
    return {finding.code: finding.path for finding in project(made, TRANSLATOR.supports(options)).diagnostics}


def sound(parsed: Parsed) -> Document:
    assert parsed.document is not None
    assert [finding for finding in parsed.diagnostics if finding.severity is Severity.ERROR] == []
    return parsed.document


# The laws --------------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents(), st.sampled_from([YAML, TOML]))
def test_what_is_written_reads_back_and_is_written_the_same_again(made: Document, options: TraefikFile) -> None:
    kept = project(made, TRANSLATOR.supports(options)).kept
    emitted = TRANSLATOR.emit(kept, options)
    again = sound(TRANSLATOR.parse(emitted.source(), options))
    assert normal(again) == normal(kept)
    assert TRANSLATOR.emit(again, options) == emitted


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents(), st.sampled_from(["2.11", "3.0", "3.3", "3.6"]))
def test_every_version_reads_back(made: Document, version: str) -> None:
    options = TraefikFile.model_validate({"traefik": version})
    kept = project(made, TRANSLATOR.supports(options)).kept
    assert normal(sound(TRANSLATOR.parse(TRANSLATOR.emit(kept, options).source(), options))) == normal(kept)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents())
def test_both_syntaxes_say_the_same_and_hold_no_action(made: Document) -> None:
    kept = project(made, TRANSLATOR.supports(YAML)).kept
    texts = [TRANSLATOR.emit(kept, options) for options in (YAML, TOML)]
    one, other = (TRANSLATOR.parse(text.source(), YAML).document for text in texts)
    assert one == other
    for text in texts:
        (artifact,) = text.artifacts
        assert isinstance(artifact, TextFile)
        assert "{{" not in artifact.text.replace("{{`{{`}}", "")
        assert TRANSLATOR.recognise(File("x", artifact.text)) is bool(file_tree(kept))


# What is written -------------------------------------------------------------------------------------------------------

TWO = """\
    routes:
      - {{name: a, hosts: [a.io], to: s, {a}}}
      - {{name: b, hosts: [a.io], path: {{prefix: /b}}, to: s, {b}}}
    services: {{s: {{servers: [{{url: "http://a:1"}}]}}}}
"""


@pytest.mark.parametrize(
    ("a", "b", "numbers", "near"),
    [
        ("tls: {}", "tls: {}", {"a": 10, "b": 20}, []),
        ("priority: 3", "priority: 9", {"a": 3, "b": 9}, []),
        ("priority: -3", "priority: -2", {"a": -3, "b": -2}, []),
        ("priority: 9", "priority: 3", {"a": 9, "b": 3}, []),
        ("priority: 5", "tls: {}", {"a": 5, "b": 1}, []),
        ("priority: 5", "priority: 5", {"a": 10, "b": 20}, [("routes", 0, "priority"), ("routes", 1, "priority")]),
        ("priority: 0", "priority: 20", {"a": 10, "b": 20}, [("routes", 0, "priority")]),
    ],
)
def test_priorities_are_written_and_kept_where_they_keep_the_order(a: str, b: str, numbers: dict[str, int], near: list[Path]) -> None:
    made = document(TWO.format(a=a, b=b))
    projection = project(made, TRANSLATOR.supports(YAML))
    assert [finding.path for finding in projection.diagnostics if finding.code == "near.priority"] == near
    tree = file_tree(projection.kept)
    assert isinstance(tree["http"], dict)
    routers = tree["http"]["routers"]
    assert isinstance(routers, dict)
    assert {name: each["priority"] for name, each in routers.items() if isinstance(each, dict)} == numbers


def test_a_canary_is_a_router_with_all_that_its_route_has() -> None:
    text = written(
        document("""\
            routes:
              - name: shop
                hosts: [a.io]
                entry_points: [web]
                middlewares: [auth@docker]
                tls: {resolver: le}
                observability: {metrics: false}
                canaries: [{when: {header: {name: X, value: "1"}}, to: s}]
                split: [{to: s, weight: 1}, {to: t, weight: 3}]
                sticky: {cookie: {name: v}}
            services:
              s: {servers: [{url: "http://a:1"}]}
              t: {servers: [{url: "http://b:1"}]}
              shop: {servers: [{url: "http://c:1"}]}
              shop-split: {servers: []}
            """)
    )
    tree = yaml.read(text, "x", yaml.GO_YAML_V3)[0].value
    assert isinstance(tree, dict)
    assert isinstance(tree["http"], dict)
    canary, route = tree["http"]["routers"].values()  # type: ignore[union-attr]
    assert isinstance(canary, dict)
    assert isinstance(route, dict)
    assert (canary.pop("service"), route.pop("service")) == ("s", "shop-split-2")
    assert (canary.pop("priority"), route.pop("priority")) == (20, 10)
    assert (canary.pop("rule"), route.pop("rule")) == ("Host(`a.io`) && Header(`X`, `1`)", "Host(`a.io`)")
    assert canary == route


def test_nothing_is_said_without_a_rule() -> None:
    text = written(document("routes: [{name: all, to: x@docker}]\ntcp_routes: [{name: t, to: x@docker}]\n"))
    assert "PathPrefix(`/`)" in text
    assert "HostSNI(`*`)" in text


LOST = {
    "loss.canary.binds": "routes: [{name: r, to: x@d, canaries: [{when: {method: GET}, to: y@d, binds: true}]}]",
    "loss.order.binding-first": "routes: [{name: r, split: [{to: x@d}, {to: y@d}], order: binding_first}]",
    "loss.weight-zero.keep": "services: {w: {split: [{to: x@d}], weight_zero: keep}}",
    "loss.when-down.redraw": "services: {w: {split: [{to: s}], when_down: redraw}, s: {servers: []}}",
    "loss.server.kubernetes": "services: {s: {servers: [{kubernetes: {service: x, port: 80}}], sticky: {cookie: {name: c}}}}",
    "loss.server.container": "services: {s: {servers: [{container: {port: 80}}]}}",
    "near.server.kubernetes": "services: {s: {servers: [{kubernetes: {service: x, port: 80}}]}}",
    "near.server.container": "services: {s: {servers: [{container: {name: x, port: 80}}]}}",
    "loss.tls.off": "routes: [{name: r, to: x@d, tls: {terminate: false}}]",
    "loss.tcp.sni": "tcp_routes: [{name: r, to: x@d, sni: [a.io]}]",
    "loss.middleware.other": "middlewares: {m: {other: {kind: sticky, config: {cookie: {}}}}}",
    "loss.middleware.headers": "middlewares: {m: {headers: {}}}",
    "loss.match.cookie-regex": 'routes: [{name: r, to: x@d, match: {cookie: {name: c, regex: "a|^b"}}}]',
    "loss.cookie.max-age": "services: {s: {servers: [], sticky: {cookie: {name: c, max_age: 0}}}}",
    "near.strategy": "services: {s: {servers: [], strategy: hrw, sticky: {cookie: {name: c}}}}",
    "carried.ports": "entry_points: {web: 80}",
    "carried.labels": "routes: [{name: r, to: x@d, metadata: {labels: {a: b}}}]",
}


@pytest.mark.parametrize("code", LOST)
def test_what_traefik_has_no_word_for(code: str) -> None:
    assert code in losses(document(LOST[code]))


def test_a_split_redraws_where_every_child_is_checked() -> None:
    made = document("services: {w: {split: [{to: s}], when_down: redraw}, s: {servers: [], health_check: {path: /h}}}")
    assert losses(made) == {}
    assert "healthCheck: {}" in written(made)
    assert normal(sound(read(written(made)))) == normal(made)


@pytest.mark.parametrize(
    ("version", "text", "code"),
    [
        ("3.2", "services: {s: {servers: [], sticky: {cookie: {name: c, path: /a}}}}", "loss.cookie.path"),
        ("3.3", "services: {s: {servers: [], sticky: {cookie: {name: c, domain: a.io}}}}", "loss.cookie.domain"),
        ("3.3", "services: {s: {servers: [], strategy: p2c}}", "loss.strategy"),
        ("3.5", "services: {s: {servers: [], strategy: hrw}}", "loss.strategy"),
        ("3.6", "routes: [{name: r, to: x@d, hosts: ['*.a.io']}]", "loss.match.host-wildcard"),
        ("3.3", "services: {s: {servers: [], strategy: wrr}}", "loss.strategy"),
        ("2.11", "routes: [{name: r, to: x@d, path: {regex: a}}]", "loss.match.path-regex"),
        ("2.11", "routes: [{name: r, to: x@d, path: {prefix: '/{x'}}]", "loss.match.path-prefix"),
        ("2.11", "routes: [{name: r, to: x@d, hosts: ['*.a.io']}]", "loss.match.host-wildcard"),
        ("2.11", "routes: [{name: r, to: x@d, match: {host_regex: a}}]", "loss.match.host-regex"),
        ("2.11", "routes: [{name: r, to: x@d, match: {query: {name: a, value: b}}}]", "near.match.query"),
        ("2.11", "services: {s: {servers: [], sticky: {cookie: {name: c, max_age: 3}}}}", "loss.cookie.max-age"),
        ("2.11", "services: {s: {servers: [{url: 'http://a:1', weight: 3}]}}", "loss.server.weight"),
        (
            "2.11",
            "routes: [{name: r, split: [{to: x@d}, {to: y@d}], sticky: {cookie: {name: c, same_site: lax}}}]",
            "loss.cookie.same-site",
        ),
        ("2.11", "routes: [{name: r, to: x@d, observability: {metrics: true}}]", "carried.observability"),
        ("2.11", "middlewares: {m: {ip_allow_list: {source_ranges: ['::1'], reject_status: 404}}}", "loss.middleware.ip-allow-list"),
    ],
)
def test_versions(version: str, text: str, code: str) -> None:
    assert code in losses(document(text), TraefikFile.model_validate({"traefik": version}))
    assert code not in losses(document(text))


@pytest.mark.parametrize("version", get_args(Version))
def test_every_version_has_a_row_for_every_feature(version: Version) -> None:
    assert set(TRANSLATOR.supports(TraefikFile(traefik=version))) == set(Feature)


def test_every_feature_has_a_row() -> None:
    assert set(TRANSLATOR.supports(YAML)) == set(Feature)


def test_identity() -> None:
    made = document("""\
        routes: [{name: r, split: [{to: s}, {to: x@docker}]}]
        services: {s: {servers: [{url: "http://a:1"}]}, w: {split: [{to: s}]}}
        """)
    identity = TRANSLATOR.identity(made, YAML)

    def value(child: str) -> str:
        return sha256(child.encode()).hexdigest()[:16]

    assert identity.variants == {("r", "s"): value("s"), ("r", "x@docker"): value("x@docker"), ("w", "s"): value("s")}
    assert identity.servers == {("s", "http://a:1"): value("http://a:1")}
