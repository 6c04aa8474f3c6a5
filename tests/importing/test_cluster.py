"""`pinfeather import --cluster` on a real API server: what people applied is taken over, and the first `up` changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from pinfeather.cli import main
from pinfeather.deploy.cluster import Cluster, ConflictError
from pinfeather.deploy.plan import Plan
from pinfeather.deploy.settings import settings_of_files
from pinfeather.importing.grouping import Tree, key_of
from pinfeather.importing.live_objects import cleaned
from tests.parts.kubernetes import KubernetesApi

APPLIED = """
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata:
  name: redirect
  namespace: shop
spec: {redirectScheme: {scheme: https, permanent: true}}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: users, namespace: shop}
spec: {basicAuth: {secret: admins, realm: shop}}
---
apiVersion: v1
kind: Secret
metadata: {name: admins, namespace: shop}
stringData: {users: "admin:$apr1$k2q9x0tb$Yw0T8G1WcJ6n0M8lKp7yP."}
---
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: shop-weighted, namespace: shop, labels: {team: web}}
spec:
  weighted:
    services:
    - {name: shop-v1, port: 80, weight: 9}
    - {name: shop-v2, port: http, weight: 1}
    sticky: {cookie: {name: shop, secure: true, httpOnly: true}}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata:
  name: shop
  namespace: shop
  labels: {team: web}
  annotations:
    kubernetes.io/ingress.class: traefik
    note: "---\\nkind: 'x' # \\"quoted\\"\\ttab \\u0001 {{ .Values }} ${HOME}\\n..."
    kubectl.kubernetes.io/last-applied-configuration: '{"spec": {}}'
spec:
  entryPoints: [websecure]
  routes:
  - kind: Rule
    match: Host(`shop.example.com`) && PathPrefix("/admin")
    middlewares: [{name: users, namespace: shop}]
    services: [{name: shop-v1, port: 80}]
  - kind: Rule
    match: (Host(`shop.example.com`) || Host(`www.shop.example.com`)) && Header(`X-Canary`, `yes`)
    priority: 90
    services: [{name: shop-v2, port: http}]
  - kind: Rule
    match: Host(`shop.example.com`) || Host(`www.shop.example.com`)
    services: [{kind: TraefikService, name: shop-weighted}]
  tls: {secretName: shop-tls}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: shop-http, namespace: shop}
spec:
  entryPoints: [web]
  routes:
  - kind: Rule
    match: Host(`shop.example.com`)
    middlewares: [{name: redirect}]
    services: [{name: shop-v1, port: 80, weight: 70}, {name: shop-v2, port: http, weight: 30}]
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: redirect, namespace: blog}
spec: {redirectScheme: {scheme: https}}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: shop, namespace: blog}
spec:
  routes:
  - kind: Rule
    match: Host(`blog.example.com`)
    middlewares: [{name: redirect}]
    services: [{name: ghost, port: 2368, passHostHeader: true, strategy: wrr}]
---
apiVersion: traefik.io/v1alpha1
kind: IngressRouteTCP
metadata: {name: db, namespace: blog}
spec:
  entryPoints: [postgres]
  routes:
  - match: HostSNI(`*`)
    services: [{name: db, port: 5432}]
"""


class Taken(NamedTuple):
    root: Path
    cluster: Cluster

    def objects(self, stack: str) -> tuple[Tree, ...]:
        """What the program of the stack would apply."""
        plan = Plan.of(stack, settings_of_files(self.root, stack), self.root)
        return plan.said.within(plan.settings.namespace or self.cluster.namespace).objects

    def changes(self, stack: str) -> list[str]:
        """The objects that a server-side apply by us would change."""
        found = []
        for tree in self.objects(stack):
            key = key_of(tree)
            live = self.cluster.get(str(tree["apiVersion"]), key.kind, key.name, key.namespace)
            try:
                if live is None or cleaned(self.cluster.dry_apply(tree, "pinfeather")) != cleaned(live):
                    found.append(str(key))
            except ConflictError:
                found.append(str(key))
        return found


def kubeconfig(path: Path, api: KubernetesApi, token: str | None = None) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "tests",
        "clusters": [{"name": "tests", "cluster": {"server": api.url, "certificate-authority": str(api.ca)}}],
        "users": [{"name": "tests", "user": {"token": token or api.token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
    }
    path.write_text(json.dumps(config))
    return path


@pytest.fixture
def taken(kubernetes: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Taken:
    """A project in an empty folder, and the cluster of `$KUBECONFIG`."""
    path = str(kubeconfig(tmp_path / "kubeconfig", kubernetes))
    monkeypatch.setenv("KUBECONFIG", path)
    # The client looks into the environment once, when it is imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", path)
    root = tmp_path / "project"
    root.mkdir()
    (root / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    monkeypatch.chdir(root)
    return Taken(root, Cluster.of())


def test_what_people_applied_is_adopted_and_nothing_would_change(
    kubernetes: KubernetesApi, taken: Taken, capsys: pytest.CaptureFixture[str]
) -> None:
    kubernetes.apply(APPLIED)
    assert main(["import", "--cluster", "--stack", "prod"]) == 0, capsys.readouterr()
    said = capsys.readouterr().out
    assert "8 objects adopted, unchanged" in said
    assert "Nothing would change." in said
    assert "tests holds fields of 8 objects" in said
    assert taken.changes("prod") == []
    written = "".join(each.read_text() for each in taken.root.rglob("*.*") if each.is_file())
    assert "apr1" not in written, "a Secret was copied into a file"
    assert "last-applied" not in written
    assert "managedFields" not in written


def test_an_edit_of_the_document_changes_what_it_is_about_alone(kubernetes: KubernetesApi, taken: Taken) -> None:
    kubernetes.apply(APPLIED)
    assert main(["import", "--cluster", "--stack", "prod"]) == 0
    document = taken.root / "stacks/prod/routes.yaml"
    text = document.read_text()
    assert text.count("weight: 70") == 1
    document.write_text(text.replace("weight: 70", "weight: 60").replace("weight: 9\n", "weight: 8\n"))
    assert taken.changes("prod") == ["TraefikService shop/shop-weighted", "IngressRoute shop/shop-http"]
    live = taken.cluster.get("traefik.io/v1alpha1", "IngressRoute", "shop-http", "shop")
    after = next(each for each in taken.objects("prod") if key_of(each).name == "shop-http")
    assert live is not None
    assert json.loads(json.dumps(cleaned(live)).replace('"weight": 70', '"weight": 60')) == cleaned(after)


def test_one_namespace(kubernetes: KubernetesApi, taken: Taken, capsys: pytest.CaptureFixture[str]) -> None:
    kubernetes.apply(APPLIED)
    assert main(["import", "--cluster", "--namespace", "blog", "--stack", "blog"]) == 0
    assert "3 objects adopted, unchanged" in capsys.readouterr().out
    assert {key_of(each).namespace for each in taken.objects("blog")} == {"blog"}
    assert "namespace: blog" in (taken.root / "stacks/Pulumi.blog.yaml").read_text()
    assert taken.changes("blog") == []


UNREAD = """
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: odd, namespace: shop}
spec:
  routes:
  - kind: Rule
    match: Host(`odd.example.com`)
    services: [{name: odd, port: 80, nativeLB: true}]
---
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: mirror, namespace: shop}
spec: {mirroring: {name: a, port: 80, mirrors: [{name: b, port: 80, percent: 10}]}}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: mirrored, namespace: shop}
spec:
  routes:
  - kind: Rule
    match: Host(`mirrored.example.com`)
    services: [{kind: TraefikService, name: mirror}]
"""


def test_what_cannot_be_read_is_refused_and_can_be_left_alone(
    kubernetes: KubernetesApi, taken: Taken, capsys: pytest.CaptureFixture[str]
) -> None:
    kubernetes.apply(UNREAD)
    assert main(["import", "--cluster", "--stack", "prod"]) == 2
    said = capsys.readouterr().err
    assert "TraefikService shop/mirror:" in said
    assert "--except 'TraefikService shop/mirror'" in said
    assert list(taken.root.iterdir()) == [taken.root / "Pulumi.yaml"], "something was written"

    excepted = ["--except", "TraefikService shop/mirror", "--except", "IngressRoute shop/mirrored"]
    assert main(["import", "--cluster", "--stack", "prod", *excepted]) == 0
    said = capsys.readouterr().out
    assert "1 object adopted, unchanged" in said
    assert "IngressRoute shop/mirrored: --except" in said
    assert taken.changes("prod") == []
    [odd] = taken.objects("prod")
    assert "nativeLB" in json.dumps(odd), "a field that the model does not have is not kept"


def test_an_object_that_another_one_owns_is_left_alone(kubernetes: KubernetesApi, taken: Taken, capsys: pytest.CaptureFixture[str]) -> None:
    owner = kubernetes.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: owner, namespace: blog}")[0]["metadata"]
    assert isinstance(owner, dict)
    owned = f"ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {owner['uid']}}}]"
    kubernetes.apply(APPLIED.replace("metadata: {name: db, namespace: blog}", f"metadata: {{name: db, namespace: blog, {owned}}}"))
    assert main(["import", "--cluster", "--stack", "prod"]) == 0
    assert "IngressRouteTCP blog/db: it belongs to ConfigMap owner" in capsys.readouterr().out
    assert not any(key_of(each).name == "db" for each in taken.objects("prod"))


def test_another_format_says_what_would_be_created(kubernetes: KubernetesApi, taken: Taken, capsys: pytest.CaptureFixture[str]) -> None:
    kubernetes.apply(
        """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec:
  rules:
  - host: a.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
  - host: b.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  annotations: {traefik.ingress.kubernetes.io/service.sticky.cookie: "true", traefik.ingress.kubernetes.io/service.sticky.cookie.name: srv}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""
    )
    assert main(["import", "--cluster", "--from", "ingress", "--stack", "new"]) == 1
    said = capsys.readouterr().out
    assert "0 objects adopted" in said
    assert "Something would change" in said
    assert main(["import", "--cluster", "--format", "ingress", "--stack", "same"]) == 0, capsys.readouterr()
    assert taken.changes("same") == []
    assert not any(each["kind"] == "Service" for each in taken.objects("same")), "the application's Service would be applied whole"


def test_a_conflict_is_foretold_with_who_holds_the_field(
    kubernetes: KubernetesApi, taken: Taken, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kubernetes.apply(APPLIED)
    from pinfeather.importing import adopted

    monkeypatch.setattr(adopted, "as_adopted", lambda emitted, *_: tuple(emitted))  # as if nothing could be kept
    assert main(["import", "--cluster", "--namespace", "shop", "--stack", "prod", "--all"]) == 1
    said = capsys.readouterr().out
    assert "IngressRoute shop/shop-http" in said
    assert "spec.routes is held by 'tests' at another value" in said
    assert (taken.root / "stacks/Pulumi.prod.yaml").exists(), "the files are written all the same"


def test_a_cluster_that_does_not_answer_or_does_not_let_us(
    kubernetes: KubernetesApi, taken: Taken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = kubeconfig(tmp_path / "wrong", kubernetes, token="nobody's")
    assert main(["import", "--cluster", "--stack", "a", "--kubeconfig", str(wrong)]) == 2
    assert "does not let this user" in capsys.readouterr().err
    assert main(["import", "--cluster", "--stack", "a", "--context", "another"]) == 2
    assert "--context" in capsys.readouterr().err
    monkeypatch.setattr(kubernetes, "url", "https://127.0.0.1:1")
    nowhere = kubeconfig(tmp_path / "nowhere", kubernetes)
    assert main(["import", "--cluster", "--stack", "a", "--kubeconfig", str(nowhere)]) == 4
    assert "does not answer" in capsys.readouterr().err
    assert list(taken.root.iterdir()) == [taken.root / "Pulumi.yaml"]


def test_an_empty_cluster_and_an_exception_that_is_not_there(
    kubernetes: KubernetesApi, taken: Taken, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "--cluster", "--stack", "a"]) == 2
    assert "nothing to import" in capsys.readouterr().err
    kubernetes.apply(APPLIED)
    assert main(["import", "--cluster", "--stack", "a", "--except", "IngressRoute shop/shpo"]) == 2
    assert "there is no such object" in capsys.readouterr().err
    assert list(taken.root.iterdir()) == [taken.root / "Pulumi.yaml"]
