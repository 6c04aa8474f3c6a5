"""Files that belong together, what stands around routing, and how long a folder may take."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.lint.conftest import Lint, Put

ROUTER = """\
http:
  routers:
    shop:
      rule: Host(`shop.test`)
      service: app
      middlewares: [auth]
"""
SERVICE = """\
http:
  services:
    app:
      loadBalancer:
        servers: [{url: "http://a:80"}, {url: "http://b:80"}]
        healthCheck: {path: /h}
        sticky:
          cookie:
            name: srv_id
            secure: true
            httpOnly: true
            sameSite: lax
"""
AUTH = """\
http:
  middlewares:
    auth:
      basicAuth: {users: ["u:$apr1$x$y"]}
"""


def test_files_of_a_folder_that_refer_to_each_other_are_read_together(lint: Lint, put: Put) -> None:
    put({"dyn/router.yml": ROUTER, "dyn/service.yml": SERVICE, "dyn/auth.yml": AUTH})
    assert lint() == (0, "3 of 3 files are routing (3 traefik-file); 0 errors, 0 warnings, 0 info\n", "")


def test_files_of_other_folders_are_not(lint: Lint, put: Put) -> None:
    put({"dyn/router.yml": ROUTER, "dyn/service.yml": SERVICE, "other/auth.yml": AUTH})
    code, _, errors = lint()
    assert code == 1
    assert "dyn/router.yml:6:21: error input.reference: there is no middleware 'auth'" in errors
    assert "Traefik disables 'shop': its requests meet 404" in errors
    assert "there is no service" not in errors


def test_files_of_one_folder_that_stand_alone_do_not_clash(lint: Lint, put: Put) -> None:
    put({"one.yml": SERVICE, "two.yml": SERVICE})
    assert lint()[0] == 0


def test_files_that_clash_and_lack_are_judged_by_themselves(lint: Lint, put: Put) -> None:
    put({"one.yml": SERVICE, "two.yml": SERVICE, "three.yml": ROUTER})
    code, _, errors = lint()
    assert code == 1
    assert "name-clash" not in errors
    assert errors.count(" error ") == 2


def test_a_fix_reaches_each_of_the_files_that_are_read_together(lint: Lint, put: Put, here: Path) -> None:
    put(
        {
            "router.yml": ROUTER.replace("Host(`shop.test`)", "Host(`shop.test`, `www.test`)"),
            "service.yml": SERVICE.replace("            secure: true\n", ""),
            "auth.yml": AUTH,
        }
    )
    code, text, _ = lint("--fix")
    assert code == 0
    assert "; 2 fixed in 2 files; " in text
    assert "rule: Host(`shop.test`) || Host(`www.test`)\n" in (here / "router.yml").read_text()
    assert "            name: srv_id\n            secure: true\n" in (here / "service.yml").read_text()
    assert (here / "auth.yml").read_text() == AUTH


def test_a_file_that_is_named_twice_is_looked_at_once(lint: Lint, put: Put) -> None:
    put({"one.yml": SERVICE})
    assert lint("one.yml", "one.yml", ".")[1].startswith("1 of 1 file is routing")


ROUTE = """\
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: shop, namespace: shop}
spec:
  routes:
    - {match: Host(`shop.test`), kind: Rule, middlewares: [{name: auth}], services: [{name: shop, port: 80}]}
"""
MIDDLEWARE = """\
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: auth, namespace: shop}
spec: {basicAuth: {secret: users}}
"""
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: users, namespace: shop}
stringData: {users: "u:$apr1$x$y"}
"""


def test_kubernetes_objects_of_a_folder_are_read_together(lint: Lint, put: Put) -> None:
    put({"one/route.yaml": ROUTE, "one/auth.yaml": MIDDLEWARE + "---\n" + SECRET})
    assert "lint.external-reference" not in lint()[2]
    put({"two/route.yaml": ROUTE, "three/auth.yaml": MIDDLEWARE + "---\n" + SECRET})
    assert "two/route.yaml:6:" in lint()[2]
    assert "one/" not in lint("--all")[2]


def test_kubernetes_objects_of_two_environments_in_one_folder_are_not(lint: Lint, put: Put) -> None:
    put(
        {"dev.yaml": ROUTE.replace("{name: auth}", ""), "prod.yaml": ROUTE.replace("{name: auth}", "").replace("shop.test", "shop.example")}
    )
    code, _, errors = lint()
    assert (code, errors) == (0, "")


LABELLED = """\
services:
  {name}:
    labels:
      - "traefik.http.routers.{name}.rule=Host(`{name}.test`)"
      - "traefik.http.services.{name}.loadbalancer.server.port=80"
      - "{more}"
"""


def test_a_container_may_name_what_another_one_has(lint: Lint, put: Put) -> None:
    put({"shop/compose.yml": LABELLED.format(name="shop", more="traefik.http.routers.shop.middlewares=auth")})
    code, _, errors = lint()
    assert code == 1
    assert "shop/compose.yml:6:9: warning input.reference: there is no middleware 'auth'" in errors
    assert "unless a container of another file has it" in errors
    put({"proxy/compose.yml": LABELLED.format(name="proxy", more="traefik.http.middlewares.auth.basicauth.users=u:x")})
    code, _, errors = lint()
    assert code == 0
    assert "info lint.external-reference: 'auth' is held by a container of another file" in errors


def test_a_fragment_goes_with_the_containers_that_it_names(lint: Lint, put: Put) -> None:
    fragment = """\
http:
  routers:
    shop: {rule: Host(`shop.test`), service: split}
  services:
    split: {weighted: {services: [{name: one@docker, weight: 90}, {name: two@docker, weight: 10}]}}
"""
    labels = "".join(
        f'      - "traefik.http.services.{n}.loadbalancer.server.port=80"\n      - "traefik.http.routers.{n}.rule=Host(`{n}.test`)"\n'
        for n in ("one",)
    )
    compose = f"services:\n  one:\n    labels:\n{labels}  two:\n    labels:\n{labels.replace('one', 'two')}"
    put({"fragment.yml": fragment})
    assert lint()[2].count("lint.external-reference") == 2
    put({"compose.yml": compose})
    assert "lint.external-reference" not in lint("--all")[2]


# Around routing --------------------------------------------------------------------------------------------------------

STATIC = "entryPoints:\n  web: {address: ':80'}\napi:\n  dashboard: true\n  # for tests\n  insecure: true # For local testing\n"
INSECURE = {
    "traefik.yml": (STATIC, "traefik.yml:6:3"),
    "traefik.toml": ("[api]\ndashboard = true\ninsecure = true\n", "traefik.toml:3:1"),
    "compose.yml": ('services:\n  traefik:\n    command: ["--api.insecure=true"]\n', "compose.yml:3:16"),
}


@pytest.mark.parametrize("name", INSECURE)
def test_an_open_dashboard_is_named(name: str, lint: Lint, put: Put) -> None:
    text, place = INSECURE[name]
    put({name: text})
    code, _, errors = lint()
    assert code == 1
    assert errors.startswith(f"{place}: warning lint.api-insecure: ")


@pytest.mark.parametrize("text", [
    STATIC.replace("insecure: true", "insecure: false"), STATIC.replace("entryPoints", "entries"), 'services:\n  t: {command: ["--api.insecure=false"]}\n',
    STATIC.replace("  insecure: true", "other:\n  insecure: true"),
])  # fmt: skip
def test_a_closed_one_is_not(text: str, lint: Lint, put: Put) -> None:
    put({"traefik.yml": text})
    assert lint()[0] == 0


SCALER = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: app}
spec: {scaleTargetRef: {kind: Deployment, name: app}}
"""
PODS = """\
pinfeather: v1
services:
  app:
    servers: [{kubernetes: {service: app, port: 80}}]
    sticky: {cookie: {name: srv_id, secure: true, http_only: true, same_site: lax}}
"""
DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app\nspec:\n  replicas: 1 # for now\n"


def places(errors: str, code: str) -> list[str]:
    return [line.split(" ")[0] for line in errors.splitlines() if f" {code}: " in line]


def test_pods_that_come_and_go_are_named_where_clients_are_pinned_to_them(lint: Lint, put: Put) -> None:
    put({
        "a/hpa.yaml": SCALER, "a/app.yml": PODS, "b/hpa.yaml": SCALER, "b/app.yml": AUTH, "c/app.yml": PODS,
        "c/hpa.yaml": SCALER.replace("name: app", "name: other"),
    })  # fmt: skip
    code, _, errors = lint()
    assert code == 0
    assert places(errors, "lint.sticky-scaled") == ["a/hpa.yaml:6:1:"]


def test_one_replica_is_named_where_clients_are_pinned_to_it(lint: Lint, put: Put) -> None:
    put({
        "a/app.yml": PODS, "a/deploy.yaml": DEPLOYMENT, "b/deploy.yaml": DEPLOYMENT, "c/app.yml": PODS,
        "c/deploy.yaml": DEPLOYMENT.replace("1 #", "10 #"), "d/app.yml": PODS, "d/deploy.yaml": DEPLOYMENT.replace("name: app", "name: apps"),
    })  # fmt: skip
    code, _, errors = lint()
    assert code == 0
    assert places(errors, "lint.sticky-one-server") == ["a/deploy.yaml:6:3:"]


def test_looking_around_takes_no_time_on_a_hostile_file(lint: Lint, put: Put) -> None:
    blanks = "    \n" * 50_000
    put(
        {"traefik.yml": f"entryPoints:\napi:\n{blanks}autoscaling:\n{blanks}insecure\n", "t.toml": "[api]\n" + "  \n" * 50_000 + "insecure"}
    )
    began = time.process_time()
    lint()
    assert time.process_time() - began < 2


# Time ------------------------------------------------------------------------------------------------------------------


def test_a_folder_of_400_files_takes_at_most_three_seconds(lint: Lint, put: Put) -> None:
    """100 with routing, 300 of what else stands in repositories."""
    other = "".join(f"  key{n}: value {n}\n" for n in range(100))
    files: dict[str, str | bytes] = {}
    for number in range(100):
        files[f"f{number % 10}/app{number}.yml"] = SERVICE.replace("app", f"app{number}") + ROUTER.partition("\n")[2].replace(
            "app", f"app{number}"
        ).replace("[auth]", "[]")
        files[f"f{number % 10}/deploy{number}.yaml"] = (
            f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d{number}}}\nspec:\n{other}"
        )
        files[f"g{number}/values.yaml"] = f"image:\n{other}"
        files[f"g{number}/package.json"] = '{"name": "x"}'
    put(files)
    began = time.process_time()
    code, text, _ = lint()
    spent = time.process_time() - began
    assert code == 0
    assert text.startswith("100 of 400 files are routing")
    assert spent < 3, f"{spent:.1f} s of CPU"
