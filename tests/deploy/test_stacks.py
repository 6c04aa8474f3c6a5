"""The graph of every stack, under mocks; and configuration that is refused before the first resource."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.cluster_project import PYTHON, ROOT, kubeconfig
from tests.parts.kubernetes import KubernetesApi

Made = dict[tuple[str, str], dict[str, object]]


def graph(stack: str, folder: Path, **settings: object) -> Made:
    done = _run(stack, folder, settings)
    assert done.returncode == 0, done.stderr
    return {(kind, name): inputs for kind, name, inputs in json.loads(done.stdout) if not kind.startswith("pulumi:pulumi:")}


def refusal(stack: str, folder: Path, **settings: object) -> str:
    done = _run(stack, folder, settings)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def _run(stack: str, folder: Path, settings: dict[str, object]) -> subprocess.CompletedProcess[str]:
    given = yaml.safe_load((ROOT / "stacks" / f"Pulumi.{stack}.yaml").read_text("utf-8"))["config"]
    given |= {f"pinfeather:{key}": value for key, value in settings.items()}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items() if value is not None}
    environment = {**os.environ, "PULUMI_CONFIG": json.dumps(texts)}
    if (folder / "kubeconfig").exists():
        environment["KUBECONFIG"] = str(folder / "kubeconfig")
    command = [PYTHON, "-m", "tests.deploy.mocked_stack", stack, str(ROOT)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def cluster(tmp_path: Path, kubernetes: KubernetesApi) -> Path:
    """A folder with the kubeconfig of the API server of the tests."""
    kubeconfig(tmp_path / "kubeconfig", kubernetes.url, kubernetes.ca, kubernetes.token)
    return tmp_path


def test_dev(tmp_path: Path) -> None:
    kinds = [kind.removeprefix("pinfeather:index:") for kind, _ in graph("dev", tmp_path)]
    assert sorted(kinds) == ["ConfigFile"] * 2 + ["LocalProcess"] * 6 + ["RouteSet", "Routes"]


def test_vm_and_compose_are_files(tmp_path: Path) -> None:
    for stack, names in (("vm", ["pinfeather.yml"]), ("compose", ["compose.pinfeather.yml", "pinfeather.yml"])):
        made = graph(stack, tmp_path)
        files = {name: inputs for (kind, name), inputs in made.items() if kind == "pinfeather:index:ConfigFile"}
        assert sorted(files) == [f"{stack}-{name}" for name in names]
        assert [inputs["path"] for inputs in files.values()] == [str(ROOT / ".pinfeather" / stack / name) for name in names]
        assert sorted(kind for kind, _ in made if "ConfigFile" not in kind) == ["pinfeather:index:RouteSet", "pinfeather:index:Routes"]


def test_helm_values_are_a_file(tmp_path: Path) -> None:
    made = graph("cluster", tmp_path, format="helm-values", out=".pinfeather/values", run="nothing")
    assert [kind for kind, _ in made] == ["pinfeather:index:Routes", "pinfeather:index:RouteSet", "pinfeather:index:ConfigFile"]


def test_cluster(cluster: Path) -> None:
    made = graph("cluster", cluster)
    custom = {kind.partition(":")[2]: inputs for (kind, _), inputs in made.items() if kind.startswith("kubernetes:traefik.io")}
    assert sorted(custom) == [f"traefik.io/v1alpha1:{kind}" for kind in ("IngressRoute", "Middleware", "TraefikService")]
    for inputs in custom.values():
        metadata = inputs["metadata"]
        assert isinstance(metadata, dict)
        assert metadata["namespace"] == "default"
        assert metadata["annotations"]["pulumi.com/patchFieldManager"] == "pinfeather-pinfeather-cluster"
    (provider,) = (inputs for (kind, _), inputs in made.items() if kind == "pulumi:providers:kubernetes")
    named = str(cluster / "kubeconfig")  # by its name, not by what is in it
    switches = ("enableConfigMapMutable", "enableSecretMutable", "enableServerSideApply", "upsertExistingObjects")
    assert provider == {**dict.fromkeys(switches, "true"), "namespace": "default", "kubeconfig": named}
    assert sum(kind == "kubernetes:core/v1:Service" for kind, _ in made) == 2  # the demo servers'


def test_an_ingress_patches_the_services_that_others_own(cluster: Path, kubernetes: KubernetesApi) -> None:
    document = cluster / "shop.yaml"
    document.write_text(STICKY, "utf-8")
    settings = {"format": "ingress", "run": "nothing", "document": str(document)}
    assert "Service default/shop is not there" in refusal("cluster", cluster, **settings)
    kubernetes.apply(SERVICE)
    made = graph("cluster", cluster, **settings)
    (patch,) = (inputs for (kind, _), inputs in made.items() if kind == "kubernetes:core/v1:ServicePatch")
    assert "spec" not in patch
    assert ("kubernetes:networking.k8s.io/v1:Ingress", "cluster-ingress-default_shop") in made


def test_voyager(cluster: Path) -> None:
    made = graph("cluster", cluster, format="voyager", run="nothing", document=_without_split(cluster))
    assert [kind for kind, _ in made if kind.startswith("kubernetes:voyager")] == ["kubernetes:voyager.appscode.com/v1:Ingress"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dokument": "x"}, "pinfeather:dokument: there is no such key; did you mean 'document'?"),
        ({"document": None}, "pinfeather:document is missing: `pulumi config set pinfeather:document VALUE`"),
        ({"traefikPort": 0}, "pinfeather:traefikPort: input should be greater than or equal to 1"),
        ({"traefikPort": "many"}, "pinfeather:traefikPort: input should be a valid integer"),
        ({"policy": {"max_moved_share": "a lot"}}, "pinfeather:policy.max_moved_share"),
        ({"policy": {"keep_pin": True}}, "pinfeather:policy.keep_pin: extra inputs are not permitted"),
        ({"namespace": "No Such"}, "pinfeather:namespace"),
        ({"run": "somewhere"}, "pinfeather:run"),
        ({"format": "ingresroute"}, "did you mean 'ingressroute'?"),
        ({"options": {"traefic": "3.5"}}, "pinfeather:options.traefic: ingressroute has no such option"),
        ({"document": "stacks/none.yaml"}, "stacks/none.yaml: no such file"),
        ({"format": "docker-labels", "run": "nothing", "document": "stacks/compose/shop.yaml"}, "nobody said where they go"),
        ({"run": "here"}, "`here` runs a Traefik that reads files"),
        ({"document": "stacks/vm/shop.yaml", "format": "traefik-file", "out": "x", "weightOwner": "external"}, "wrote none here"),
        ({"allow": "stacks/none.allow"}, "stacks/none.allow"),
        ({"kubeconfig": "stacks/none"}, "no cluster: the kubeconfig"),
    ],
)
def test_what_is_wrong_is_refused_before_the_first_resource(tmp_path: Path, settings: dict[str, object], words: str) -> None:
    assert words in refusal("cluster", tmp_path, **settings)


def test_a_namespace_or_a_kind_that_is_not_there(cluster: Path) -> None:
    assert "has no namespace 'nowhere': `kubectl create namespace nowhere`" in refusal("cluster", cluster, namespace="nowhere")
    said = refusal("cluster", cluster, options={"traefik": "2.11"}, format="ingressroute", document=_cert_manager(cluster))
    assert "does not know the kind Certificate of cert-manager.io/v1: install its CRD" in said


SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: default}
spec: {ports: [{name: http, port: 80}]}
"""
STICKY = """
pinfeather: v1
entry_points: {web: 80}
routes:
  - {name: shop, hosts: [shop.localhost], path: {prefix: /}, entry_points: [web], to: shop}
services:
  shop:
    servers: [{kubernetes: {service: shop, port: http}}]
    sticky: {cookie: {name: srv}}
"""


def _without_split(folder: Path) -> str:
    path = folder / "plain.yaml"
    path.write_text(STICKY.replace("port: http", "port: 80"), "utf-8")
    return str(path)


def _cert_manager(folder: Path) -> str:
    path = folder / "certificate.yaml"
    issued = "to: shop, tls: {secret: shop, issuer: {name: letsencrypt, kind: ClusterIssuer}}}"
    path.write_text(STICKY.replace("to: shop}", issued), "utf-8")
    return str(path)
