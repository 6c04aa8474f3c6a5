"""`convert` with what it is told about: bindings, servers, an instance, several inputs, and how much may be lost."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pinfeather.cli import main

HEAD = "pinfeather: v1\n"
TEMPLATED = (
    HEAD
    + """\
routes:
  - {name: shop, hosts: [{template: "{{ .Values.host }}"}], to: blue}
services:
  blue: {servers: [{url: "http://10.0.0.1:8080"}]}
"""
)
REFERENCES = (
    HEAD
    + """\
routes:
  - {name: shop, hosts: [shop.example.com], to: blue}
services:
  blue:
    servers: [{kubernetes: {namespace: default, service: blue, port: 80}}]
    sticky: {cookie: {name: pin, secure: true, http_only: true, same_site: lax}}
"""
)
LOSSY = (
    HEAD
    + """\
routes:
  - name: shop
    hosts: [shop.example.com]
    split: [{to: blue, weight: 1}, {to: green, weight: 0}]
    sticky: {cookie: {name: variant, secure: true, http_only: true, same_site: lax}}
    weight_zero: keep
  - {name: guarded, hosts: [safe.example.com], path: {prefix: /a}, middlewares: [only], to: blue}
services:
  blue: {servers: [{url: "http://10.0.0.1:8080"}]}
  green: {servers: [{url: "http://10.0.0.2:8080"}]}
middlewares:
  only: {headers: {}}
"""
)
Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.chdir(tmp_path)

    def run(*words: str, **files: str) -> tuple[int, str, str]:
        for name, text in files.items():
            Path(name.replace("__", ".")).write_text(text, "utf-8")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_a_template_is_refused_with_the_flag_that_binds_it(ask: Ask) -> None:
    code, out, told = ask("convert", "a.yaml", "--to", "traefik-file", a__yaml=TEMPLATED)
    assert (code, out) == (1, "")
    assert "loss.template" in told
    assert "--bind .Values.host=VALUE" in told


def test_a_bound_template_is_written(ask: Ask) -> None:
    code, out, told = ask("convert", "a.yaml", "--to", "traefik-file", "--bind", ".Values.host=shop.example.com", a__yaml=TEMPLATED)
    assert (code, told) == (0, "")
    assert "Host(`shop.example.com`)" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--bind", ".Values.host"), "write it as EXPR=VALUE"),
        (("--servers", "default/blue:80"), "write it as KEY=VALUE"),
        (("--servers", "default/blue:80=nowhere"), "write NAMESPACE/SERVICE:PORT"),
        (("--servers", "default/blue:80=ftp://x:1"), "is not a server's URL"),
        (("--instance", "missing.yaml"), "missing.yaml: no such file"),
    ],
)
def test_wrong_values_are_one_line(ask: Ask, words: tuple[str, ...], message: str) -> None:
    code, out, told = ask("convert", "a.yaml", "--to", "traefik-file", *words, a__yaml=REFERENCES)
    assert code in (2, 4)
    assert out == ""
    assert message in told
    assert "Traceback" not in told


def test_servers_are_named(ask: Ask) -> None:
    servers = "default/blue:80=http://10.0.1.1:80,http://10.0.1.2:80"
    code, out, told = ask("convert", "a.yaml", "--to", "traefik-file", "--servers", servers, a__yaml=REFERENCES)
    assert (code, told) == (0, "")
    assert out.count("- url:") == 2


def test_servers_that_nobody_names_are_an_error(ask: Ask) -> None:
    code, out, told = ask("convert", "a.yaml", "--to", "pinfeather", "--servers", "default/bleu:80=http://10.0.1.1:80", a__yaml=REFERENCES)
    assert (code, out) == (2, "")
    assert "did you mean 'default/blue:80'" in told


def test_two_inputs_make_one_document(ask: Ask) -> None:
    other = (
        HEAD + "routes:\n  - {name: other, hosts: [b.example.com], to: red}\nservices:\n  red: {servers: [{url: 'http://10.0.0.3:80'}]}\n"
    )
    dynamic = "http:\n  routers:\n    file:\n      rule: Host(`c.example.com`)\n      service: x\n  services:\n    x:\n      loadBalancer:\n        servers:\n          - url: http://10.0.0.4:80\n"
    code, out, told = ask("convert", "a.yaml", "c.yml", "--to", "pinfeather", a__yaml=other, c__yml=dynamic)
    assert code == 0, told
    assert "name: other" in out
    assert "name: file" in out


def test_a_name_that_two_inputs_give_is_named_at_both_places(ask: Ask) -> None:
    dynamic = "http:\n  services:\n    blue:\n      loadBalancer:\n        servers:\n          - url: http://10.0.0.4:80\n"
    code, out, told = ask("convert", "a.yaml", "c.yml", "--to", "pinfeather", a__yaml=REFERENCES, c__yml=dynamic)
    assert (code, out) == (2, "")
    assert "c.yml:3:" in told or "c.yml:4:" in told
    assert "a.yaml, line 6" in told
    assert "input.name-clash" in told


def test_best_effort_says_each_loss_where_it_would_have_stood(ask: Ask) -> None:
    code, out, told = ask("convert", "a.yaml", "--to", "traefik-file", "--best-effort", a__yaml=LOSSY)
    assert code == 0, told
    lines = out.splitlines()
    at = next(number for number, line in enumerate(lines) if "# loss.weight-zero.keep" in line)
    assert lines[at - 1] == "    shop:"
    assert lines[at].startswith("      #")


def test_best_effort_never_takes_a_middleware_from_a_route(ask: Ask) -> None:
    code, out, told = ask("convert", "a.yaml", "--to", "traefik-file", "--best-effort", a__yaml=LOSSY)
    assert code == 0
    assert "guarded:" not in out
    assert "loss.middleware.headers" in out
    assert "loss.middleware.headers" in told


def test_the_report_for_a_review(ask: Ask) -> None:
    code, out, told = ask("convert", "a.yaml", "--to", "traefik-file", "--report", "markdown", "--report-to", "r.md", a__yaml=LOSSY)
    assert (code, out, told) == (1, "", "")
    text = Path("r.md").read_text("utf-8")
    assert text.startswith("# a.yaml as traefik-file\n\n**Refused**: ")
    assert "| a.yaml:7:18 | **error** `loss.weight-zero.keep` " in text


def test_an_instance_gives_options_and_entry_points(ask: Ask) -> None:
    document = REFERENCES.replace("to: blue}", "entry_points: [web], to: blue}")
    instance = "traefik: '3.2'\nentry_points: {web: 8000, other: 9000}\n"
    code, out, told = ask(
        "convert", "a.yaml", "--to", "pinfeather", "--instance", "i.yaml", a__yaml=document, i__yaml="entry_points: {web: 8000}\n"
    )
    assert (code, told) == (0, "")
    assert "web: 8000" in out
    code, out, told = ask("convert", "a.yaml", "--to", "pinfeather", "--instance", "i.yaml", a__yaml=document, i__yaml=instance)
    assert (code, out) == (2, "")
    assert "i.yaml:1:1: error unread.unknown: no format of this run has an option 'traefik'" in told


STATIC = """\
entryPoints:
  web: {address: ":8080"}
  websecure: {address: ":8443", http: {tls: {}, middlewares: [all@file]}}
providers:
  kubernetesCRD: {allowCrossNamespace: true}
log: {level: DEBUG}
"""


def test_the_static_configuration_of_traefik(ask: Ask) -> None:
    document = REFERENCES.replace("to: blue}", "entry_points: [web, websecure], to: blue}")
    code, out, told = ask("convert", "a.yaml", "--to", "pinfeather", "--from-static", "t.yml", a__yaml=document, t__yml=STATIC)
    assert code == 0, told
    assert "web: 8080" in out
    assert "  websecure:\n    port: 8443\n    tls: true\n" in out
    assert "middlewares of its own" in told
    toml = '[entryPoints.web]\naddress = ":8080"\n[entryPoints.websecure]\naddress = ":8443"\n'
    code, out, _ = ask("convert", "a.yaml", "--to", "pinfeather", "--from-static", "t.toml", a__yaml=document, t__toml=toml)
    assert code == 0
    assert "websecure: 8443" in out


def test_an_option_that_no_format_of_the_run_has(ask: Ask) -> None:
    code, out, told = ask("convert", "a.yaml", "--to", "pinfeather", "--traefik", "3.2", a__yaml=REFERENCES)
    assert (code, out) == (2, "")
    assert "--traefik" in told


def test_a_folder_may_hold_other_things(ask: Ask, tmp_path: Path) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    (folder / "a.yaml").write_text(REFERENCES)
    (folder / "package.json").write_text('{"name": "x"}')
    code, out, told = ask("convert", "all", "--to", "pinfeather")
    assert (code, told) == (0, "all/package.json: info unread.scope: in no format that is known here, left alone\n")
    assert "name: shop" in out
    code, out, told = ask("convert", "all/package.json", "--to", "pinfeather")
    assert (code, out) == (2, "")
    (folder / "a.yaml").unlink()
    code, out, told = ask("convert", "all", "--to", "pinfeather")
    assert (code, out) == (2, "")
    assert "none of these is in a format that is known here" in told


def test_an_override_comes_after_what_it_overrides(ask: Ask, tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    folder.mkdir()
    label = "services:\n  web:\n    labels: ['traefik.http.routers.web.rule=Host(`{}.example.com`)', traefik.http.services.web.loadbalancer.server.port=80]\n"
    (folder / "compose.override.yaml").write_text(label.format("over"))
    (folder / "compose.yaml").write_text(label.format("base"))
    code, out, told = ask("convert", "stack", "--to", "pinfeather")
    assert code == 0, told
    assert "over.example.com" in out
    assert "base.example.com" not in out


STREAM = """\
# Source: shop/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}   # as it is
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: web, namespace: shop}
spec:
  routes:
    - match: Host(`a.example.com`)
      kind: Rule
      services: [{name: web, port: 80}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
"""


def test_what_is_about_something_else_passes_through_byte_for_byte(ask: Ask) -> None:
    code, out, told = ask("convert", "s.yaml", "--to", "ingressroute", s__yaml=STREAM)
    assert code == 0, told
    assert "Deployment" not in out
    assert "1 ConfigMap, 1 Deployment" in told
    code, out, told = ask("convert", "s.yaml", "--to", "ingressroute", "--pass-through", s__yaml=STREAM)
    assert code == 0, told
    first, last = STREAM.partition("---\n")[0], STREAM[STREAM.rindex("---\n") :]
    assert first in out
    assert last in out
    assert out.count("kind: IngressRoute") == 1


def test_only_objects_pass_through(ask: Ask) -> None:
    words = ("convert", "s.yaml", "--to", "traefik-file", "--pass-through", "--best-effort")
    code, out, told = ask(*words, s__yaml=STREAM)
    assert (code, out) == (2, "")
    assert "--pass-through copies Kubernetes objects, and this target writes none" in told


def test_several_containers_become_one_service(ask: Ask) -> None:
    compose = "services:\n"
    for name in ("web", "web-replica"):
        labels = ("traefik.http.routers.web.rule=Host(`a.example.com`)", "traefik.http.services.web.loadbalancer.server.port=80")
        compose += f"  {name}:\n    labels:\n" + "".join(f"      - {label}\n" for label in labels)
    code, out, told = ask("convert", "compose.yaml", "--to", "ingressroute", compose__yaml=compose)
    assert (code, out) == (1, "")
    assert "--servers may put one Service in the place of all" in told
    words = ("--servers", "container:web:80=shop/web:80", "--servers", "container:web-replica:80=shop/web:80")
    code, out, told = ask("convert", "compose.yaml", "--to", "ingressroute", *words, compose__yaml=compose)
    assert code == 0, told
    assert out.count("- name: web\n") == 1
