"""What runs in the cluster: taken by a real API server with strict fields, guarded, and allowed no more than it needs.

No pod runs here: there is no kubelet. A real Traefik runs beside the API server with the token of the manifest's own ServiceAccount.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pinfeather.deploy.manifests.common import Autoscaling
from pinfeather.deploy.manifests.reference_proxy import ReferenceProxySettings, reference_proxy_objects, secret_document_objects
from pinfeather.deploy.manifests.traefik import TraefikSettings, provider_arguments, traefik_objects
from pinfeather.testing.traefik import Traefik
from pinfeather.translators._syntax.yaml_emit import emit_all
from tests.parts.fixtures import StartTraefik
from tests.parts.kubernetes import ApiError, KubernetesApi
from tests.parts.processes import free_ports

ROOT = Path(__file__).resolve().parents[2]
POINTS = {"web": 80, "websecure": 443}
TRAEFIK = TraefikSettings(
    namespace="proxies", entry_points=POINTS, namespaces=("shop",), reads_ingresses=True, ingress_class="pin", autoscaling=Autoscaling()
)
PLAIN = TraefikSettings(namespace="proxies", entry_points=POINTS, namespaces=("shop",), allow_external_name_services=True)
PROXY = ReferenceProxySettings(namespace="proxies", entry_points=POINTS, image="registry.example/pinfeather-proxy:0.1.0", replicas=3)
DOCUMENT = "pinfeather: v1\nroutes: []\n"
ALL = {
    "traefik": traefik_objects(TRAEFIK),
    "traefik, least": traefik_objects(PLAIN),
    "reference proxy": reference_proxy_objects(PROXY, DOCUMENT),
    "reference proxy with secrets": secret_document_objects(PROXY, DOCUMENT),
}
RBAC = "rbac.authorization.k8s.io/v1"
RIGHTS = [
    *((RBAC, kind, namespace) for kind in ("Role", "RoleBinding") for namespace in ("proxies", "shop")),
    *((RBAC, kind, "") for kind in ("ClusterRole", "ClusterRoleBinding")),
]
ROUTE = """
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: shop}
spec: {type: ExternalName, externalName: localhost, ports: [{name: web, port: PORT}]}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: shop, namespace: shop, annotations: {kubernetes.io/ingress.class: CLASS}}
spec: {routes: [{kind: Rule, match: Host(`shop.localhost`), services: [{name: shop, port: web}]}]}
"""


@pytest.fixture
def namespaces(kubernetes: KubernetesApi) -> KubernetesApi:
    for name in ("proxies", "shop", "others"):
        if kubernetes.get("v1", "Namespace", name, "") is None:
            kubernetes.request("POST", "/api/v1/namespaces", json.dumps({"metadata": {"name": name}}))
    for group, kind, namespace in RIGHTS:  # of the test before
        path = kubernetes._path(group, kind, namespace)
        kubernetes.request("DELETE", f"{path}?labelSelector=app.kubernetes.io/managed-by=pinfeather")
    return kubernetes


@pytest.mark.parametrize("name", ALL)
def test_a_real_api_server_takes_every_object_with_strict_fields(name: str, namespaces: KubernetesApi) -> None:
    made = namespaces.apply(emit_all(ALL[name]))
    assert len(made) == len(ALL[name])


@pytest.mark.parametrize("name", ALL)
def test_every_container_is_guarded(name: str) -> None:
    seen = 0
    for tree in ALL[name]:
        if tree["kind"] != "Deployment":
            continue
        pod = tree["spec"]["template"]["spec"]  # type: ignore[index,call-overload]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            seen += 1
            held = container["securityContext"]
            assert held == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert all(port["containerPort"] >= 1024 for port in container["ports"])
    assert seen == 1


def test_replicas_or_an_autoscaler_and_a_budget() -> None:
    kinds = [str(each["kind"]) for each in ALL["traefik"]]
    assert "HorizontalPodAutoscaler" in kinds
    assert "PodDisruptionBudget" in kinds
    (deployment,) = (each for each in ALL["traefik"] if each["kind"] == "Deployment")
    assert "replicas" not in deployment["spec"]  # type: ignore[operator]
    (deployment,) = (each for each in ALL["reference proxy"] if each["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 3  # type: ignore[index,call-overload]


def test_the_reference_proxy_has_no_rights_and_no_token() -> None:
    kinds = {str(each["kind"]) for each in ALL["reference proxy"]}
    assert not kinds & {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}
    (deployment,) = (each for each in ALL["reference proxy"] if each["kind"] == "Deployment")
    assert deployment["spec"]["template"]["spec"]["automountServiceAccountToken"] is False  # type: ignore[index,call-overload]
    assert {str(each["kind"]) for each in ALL["reference proxy with secrets"]} == kinds - {"ConfigMap"} | {"Secret"}


@pytest.mark.parametrize(
    "settings", [PLAIN, TRAEFIK.model_copy(update={"allow_external_name_services": True})], ids=["objects", "ingresses too"]
)
def test_traefik_reads_what_it_must_with_its_own_token_and_may_do_nothing_else(
    settings: TraefikSettings, namespaces: KubernetesApi, start: Callable[[list[str]], Traefik], backend: int
) -> None:
    namespaces.apply(emit_all(traefik_objects(settings)))
    namespaces.apply(ROUTE.replace("PORT", str(backend)).replace("CLASS", settings.ingress_class or '""'))
    path = "/api/v1/namespaces/proxies/serviceaccounts/traefik/token"
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = str(namespaces.request("POST", path, json.dumps(asked))["status"]["token"])  # type: ignore[index,call-overload]
    theirs = KubernetesApi.__new__(KubernetesApi)
    theirs.__dict__.update(namespaces.__dict__, token=token)
    assert eventually(
        lambda: _may(theirs, "/apis/traefik.io/v1alpha1/namespaces/shop/ingressroutes")
    )  # the server takes rights up a little later
    reached = [(name, value) for name, value in (("endpoint", namespaces.url), ("token", token), ("certAuthFilePath", str(namespaces.ca)))]
    providers = ["kubernetesCRD", *(["kubernetesIngress"] if settings.reads_ingresses else [])]
    more = [f"--providers.{provider}.{name}={value}" for provider in providers for name, value in reached]
    traefik = start([*provider_arguments(settings), *more])
    traefik.until(lambda data: "shop" in json.dumps(data.get("routers", {})), "the route of shop")
    log = traefik.log()
    assert "forbidden" not in log.lower(), log
    assert "items" in theirs.request("GET", "/api/v1/namespaces/shop/secrets")
    for method, forbidden in (
        ("GET", "/api/v1/namespaces/others/secrets"),
        ("GET", "/api/v1/secrets"),
        ("GET", "/api/v1/namespaces/others/configmaps"),
        *([] if settings.reads_ingresses else [("GET", "/api/v1/nodes")]),
        ("GET", "/api/v1/namespaces/shop/pods"),
        ("DELETE", "/api/v1/namespaces/shop/services/shop"),
        ("DELETE", "/apis/traefik.io/v1alpha1/namespaces/shop/ingressroutes/shop"),
    ):
        with pytest.raises(ApiError) as refused:
            theirs.request(method, forbidden)
        assert refused.value.status == 403


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    tick = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        tick.wait(0.05)
    return True


def _may(api: KubernetesApi, path: str) -> bool:
    try:
        api.request("GET", path)
    except ApiError:
        return False
    return True


def test_the_image_starts_what_the_wheel_has() -> None:
    """There is no container engine here: what the file names is tried by hand."""
    text = (ROOT / "pinfeather" / "deploy" / "container" / "Containerfile").read_text("utf-8")
    steps = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [line.split()[0] for line in steps] == ["ARG", "FROM", "COPY", "RUN", "USER", "STOPSIGNAL", "ENTRYPOINT"]
    assert steps[2] == "COPY pinfeather-*.whl /tmp/"
    assert steps[4] == "USER 65532:65532"
    words = json.loads(steps[6].partition(" ")[2])
    assert words[0] == "python"
    (deployment,) = (each for each in ALL["reference proxy"] if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]  # type: ignore[index,call-overload]
    done = subprocess.run([sys.executable, *words[1:], *container["args"]], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (4, "")  # its arguments are understood, and there is no such key on this machine
    assert done.stderr == "/var/run/pinfeather/key: No such file or directory\n"


def test_the_reference_proxy_takes_up_a_config_map_that_the_kubelet_swaps(tmp_path: Path) -> None:
    """The kubelet keeps `document.yaml -> ..data/document.yaml` and `..data -> ..1`, and renames a new `..data` over the old one."""
    text = 'pinfeather: v1\nroutes: [{name: a, hosts: [HOST], to: a}]\nservices: {a: {servers: [{url: "http://127.0.0.1:9"}]}}\n'
    for number, host in (("1", "one.example"), ("2", "two.example")):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "document.yaml").write_text(text.replace("HOST", host))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "document.yaml").symlink_to("..data/document.yaml")
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "pinfeather.proxy", str(tmp_path / "document.yaml"), "--listen", f"web=127.0.0.1:{port}"]

    def status(host: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/", headers={"Host": host})
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    with subprocess.Popen([*command, "--key-file", str(tmp_path / "key")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as proxy:
        try:
            assert eventually(lambda: status("one.example") == 502)
            assert status("two.example") == 404
            (tmp_path / "..next").symlink_to("..2")
            (tmp_path / "..next").rename(tmp_path / "..data")
            assert eventually(lambda: status("two.example") == 502)
            assert status("one.example") == 404
        finally:
            proxy.terminate()


@pytest.fixture
def start(traefik: StartTraefik) -> Callable[[list[str]], Traefik]:
    return lambda arguments: traefik({}, ("web",), arguments)


@pytest.fixture
def backend() -> Iterator[int]:
    """A server on loopback."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
