"""A real API server of Kubernetes, with etcd behind it, and nothing else: no controllers, no scheduler, no kubelet.

So objects are stored, checked and watched, and that is all: no pod runs, and nobody makes EndpointSlices, or clears a namespace that was
deleted. The server refuses loopback addresses in an EndpointSlice. What Traefik is to reach on loopback is an `ExternalName`
Service to `localhost`, one server a Service, with `allowExternalNameServices=True`. Traefik up to 3.0 reads Endpoints, later ones EndpointSlices.
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from pinfeather.model.diagnostics import Code
from pinfeather.testing.traefik import READY, Traefik
from pinfeather.translators._syntax import yaml
from tests.parts import crds
from tests.parts.crds import Json
from tests.parts.processes import PartError, Process, free_ports

Object = dict[str, Json]
TOKEN = "a-token-for-tests-and-for-nothing-else"
MARKS = READY.rstrip("-")
"""The namespace of what `in_force` writes."""
SPARED = {("Service", "kubernetes"), ("EndpointSlice", "kubernetes"), ("Endpoints", "kubernetes")}
"""The API server's own, in `default`."""
CUSTOM = tuple(crds.kinds("traefik") + crds.kinds("voyager"))
CLEARED = (
    *(("v1", kind) for kind in ("Service", "Endpoints", "Secret", "ConfigMap")),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.k8s.io/v1", "IngressClass"),
)
"""What `delete_all` deletes beside the custom resources."""


class ApiError(Exception):
    """The API server refuses a request; the message is the server's own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class KubernetesApi:
    """etcd and kube-apiserver on loopback, with the CRDs of Traefik and Voyager. Use it in a `with`."""

    def __init__(self, folder: Path, programs: Mapping[str, Path]) -> None:
        """`programs` are those of `etcd` and `kube-apiserver`."""
        self.token = TOKEN
        self.ca = folder / "certificates" / "apiserver.crt"
        self.url = ""
        self._folder = folder
        self._programs = programs
        self._resources: dict[str, dict[str, tuple[str, bool]]] = {}
        self._marks = 0
        self._running = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._running.close()

    def apply(self, text: str, namespace: str = "default") -> list[Object]:
        """Every object of a YAML stream, applied by the server as `kubectl apply --server-side --validate=strict` would.

        Objects without a namespace go into the given one; a namespace that is not there is made. Each document is sent to the letter, the items
        of a List one by one. Returns what the server made of them. Raises ApiError at the first that it refuses.
        """
        return [self._apply(one, sent, namespace) for one, sent in _objects(text)]

    def get(self, api_version: str, kind: str, name: str, namespace: str = "default") -> Object | None:
        """An object as the server holds it, or None."""
        try:
            return self.request("GET", self._path(api_version, kind, namespace, name))
        except ApiError as error:
            if error.status == http.client.NOT_FOUND:
                return None
            raise

    def delete(self, api_version: str, kind: str, name: str, namespace: str = "default") -> None:
        """Deletes an object. Raises ApiError where there is none."""
        self.request("DELETE", self._path(api_version, kind, namespace, name))

    def delete_all(self) -> None:
        """Deletes every object of tests, in all namespaces. The namespaces stay: nobody would clear them."""
        for api_version, kind in (*CUSTOM, *CLEARED):
            for metadata in self._list(api_version, kind):
                name, namespace = str(metadata["name"]), str(metadata.get("namespace", ""))
                if (kind, name) not in SPARED:
                    self.delete(api_version, kind, name, namespace)

    def arguments(self, provider: str, **options: bool | str) -> list[str]:
        """The arguments with which a Traefik reads from here: `arguments("kubernetescrd", allowCrossNamespace=True)`, or `kubernetesingress`."""
        given = {"endpoint": self.url, "token": self.token, "certauthfilepath": str(self.ca), **options}
        texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in given.items()}
        return [f"--providers.{provider}=true", *(f"--providers.{provider}.{name}={value}" for name, value in texts.items())]

    def in_force(self, traefik: Traefik, provider: str = "kubernetescrd") -> None:
        """Returns once Traefik has read all that has been applied, and serves it.

        Traefik watches each kind by itself. An object of each is made, and waited for until Traefik shows them all: it has then seen whatever
        came before. With `namespaces` or an ingress class among its options Traefik would not see them: wait with `traefik.until` there.
        """
        self._marks += 1
        name = f"mark-{self._marks}"
        self.apply(_MARKS[provider].replace("NAME", name).replace("NUMBER", str(self._marks)), MARKS)
        shown = f"http://10.255.255.254:{self._marks}"

        def seen(data: Mapping[str, Json]) -> bool:
            routers = [one for key, one in _items(data, "routers") if name in key.split("@")[0] + "-"]
            servers = json.dumps([one for key, one in _items(data, "services") if name in key])
            tcp = provider != "kubernetescrd" or any(
                one.get("status") == "enabled" for key, one in _items(data, "tcpRouters") if name in key
            )
            return any(one.get("status") == "enabled" for one in routers) and shown in servers and tcp

        traefik.until(seen, f"the objects {name}")

    def request(self, method: str, path: str, body: str | None = None, content: str = "application/json") -> Object:
        """One request; the answer's object. Raises ApiError."""
        host, _, port = self.url.removeprefix("https://").partition(":")
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=30)
        try:
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content}
            connection.request(method, path, None if body is None else body.encode(), headers)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        finally:
            connection.close()
        found = json.loads(text) if text.startswith("{") else {"message": text}
        if answer.status >= http.client.BAD_REQUEST:
            raise ApiError(answer.status, str(found.get("message", text)))
        assert isinstance(found, dict)
        return found

    def _apply(self, one: Object, sent: str, namespace: str) -> Object:
        metadata = one.get("metadata")
        assert isinstance(metadata, dict), f"an object without metadata: {one}"
        api_version, kind, name = str(one.get("apiVersion")), str(one.get("kind")), str(metadata.get("name"))
        namespace = str(metadata.get("namespace", namespace))
        path = self._path(api_version, kind, namespace, name)
        options = "?fieldManager=tests&fieldValidation=Strict&force=true"
        apply = "application/apply-patch+yaml"
        try:
            return self.request("PATCH", path + options, sent, apply)
        except ApiError as error:
            if f'namespaces "{namespace}" not found' not in str(error):
                raise
        self.request("POST", "/api/v1/namespaces", json.dumps({"metadata": {"name": namespace}}))
        return self.request("PATCH", path + options, sent, apply)

    def _path(self, api_version: str, kind: str, namespace: str, name: str = "") -> str:
        if api_version not in self._resources or kind not in self._resources[api_version]:
            self._discover(api_version)
        if kind not in self._resources[api_version]:
            raise ApiError(http.client.NOT_FOUND, f"the server has no kind {kind} in {api_version}")
        plural, namespaced = self._resources[api_version][kind]
        base = "/api/v1" if api_version == "v1" else f"/apis/{api_version}"
        within = f"/namespaces/{quote(namespace, safe='')}" if namespaced and namespace else ""
        return f"{base}{within}/{plural}{'/' if name else ''}{quote(name, safe='')}"

    def _discover(self, api_version: str) -> None:
        listed = self.request("GET", "/api/v1" if api_version == "v1" else f"/apis/{api_version}")["resources"]
        assert isinstance(listed, list)
        found = {}
        for one in listed:
            assert isinstance(one, dict)
            if "/" not in str(one["name"]):
                found[str(one["kind"])] = (str(one["name"]), bool(one["namespaced"]))
        self._resources[api_version] = found

    def _list(self, api_version: str, kind: str) -> Iterator[Object]:
        items = self.request("GET", self._path(api_version, kind, ""))["items"]
        assert isinstance(items, list)
        for item in items:
            assert isinstance(item, dict)
            metadata = item["metadata"]
            assert isinstance(metadata, dict)
            yield metadata

    def _start(self) -> None:
        key = self._folder / "service-accounts.pem"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        (self._folder / "tokens.csv").write_text(f"{self.token},tests,tests,system:masters\n", "ascii")
        for attempt in range(5):  # between the choice of a free port and its use, another may take it
            try:
                self._spawn(key, attempt)
            except PartError as error:
                self._running.close()
                if "address already in use" not in str(error):
                    raise
            else:
                break
        else:
            raise PartError("no free ports were found in five attempts")
        for name in ("traefik", "voyager"):
            for definition in crds.definitions(name):
                self.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json.dumps(definition))
        self._server.wait(self._served, "serving the CRDs")

    def _spawn(self, key: Path, attempt: int) -> None:
        client, peer, secure = free_ports(3)
        etcd_url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        data = self._folder / f"etcd-{attempt}"
        etcd = Process(
            [
                self._programs["etcd"],
                f"--data-dir={data}",
                f"--listen-client-urls={etcd_url}",
                f"--advertise-client-urls={etcd_url}",
                f"--listen-peer-urls={peer_url}",
                f"--initial-advertise-peer-urls={peer_url}",
                f"--initial-cluster=default={peer_url}",
                "--unsafe-no-fsync=true",
                "--log-level=warn",
            ],
            self._folder / "etcd.log",
        )
        self._running.callback(etcd.stop)
        self.url = f"https://127.0.0.1:{secure}"
        self._server = Process(
            [
                self._programs["kube-apiserver"],
                f"--etcd-servers={etcd_url}",
                f"--secure-port={secure}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--cert-dir={self.ca.parent}",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                "--authorization-mode=RBAC",
                f"--token-auth-file={self._folder / 'tokens.csv'}",
                "--disable-admission-plugins=ServiceAccount",
                "--enable-garbage-collector=false",  # nobody collects here: what is deleted in the foreground would stay for ever
            ],
            self._folder / "kube-apiserver.log",
        )
        self._running.callback(self._server.stop)
        self._server.wait(self._ready, "being ready")

    def _ready(self) -> bool:
        try:
            self.request("GET", "/readyz")
        except (OSError, ApiError):  # refused, no certificate yet, or not ready
            return False
        return True

    def _served(self) -> bool:
        """Whether every kind that was defined can be asked for, and its storage answers."""
        try:
            for api_version, kind in CUSTOM:
                self.request("GET", self._path(api_version, kind, "") + "?limit=1")
        except ApiError:
            return False
        return True


def _objects(text: str) -> Iterator[tuple[Object, str]]:
    """Each object of a stream, and what is sent of it: the document to the letter, or the item of a List."""
    for reading in yaml.read(text, "applied", yaml.KUBERNETES):
        if any(finding.code is Code.EMPTY for finding in reading.diagnostics):
            return
        assert not reading.broken, f"{reading.diagnostics}\n{reading.text}"
        if not isinstance(reading.value, dict):
            assert reading.value is None, f"not an object: {reading.text}"
        elif reading.value.get("kind") == "List":
            items = reading.value["items"]
            assert isinstance(items, list)
            for item in items:
                assert isinstance(item, dict)
                yield item, json.dumps(item)
        else:
            yield reading.value, reading.text


def _items(data: Mapping[str, Json], kind: str) -> Iterator[tuple[str, Object]]:
    found = data.get(kind)
    for name, item in found.items() if isinstance(found, dict) else ():
        if isinstance(item, dict):
            yield name, item


_BACKEND = """
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {ports: [{name: web, port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: NAME}
subsets: [{addresses: [{ip: 10.255.255.254}], ports: [{name: web, port: NUMBER}]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: NAME, labels: {kubernetes.io/service-name: NAME}}
addressType: IPv4
endpoints: [{addresses: [10.255.255.254], conditions: {ready: true}}]
ports: [{name: web, port: NUMBER}]
---
"""
_MARKS = {
    "kubernetescrd": _BACKEND
    + """
apiVersion: v1
kind: Secret
metadata: {name: NAME}
stringData: {users: "nobody:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk="}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: NAME}
spec: {basicAuth: {secret: NAME}}
---
apiVersion: traefik.io/v1alpha1
kind: ServersTransport
metadata: {name: NAME}
spec: {serverName: NAME}
---
apiVersion: traefik.io/v1alpha1
kind: TLSOption
metadata: {name: NAME}
spec: {minVersion: VersionTLS12}
---
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: NAME}
spec: {weighted: {services: [{name: NAME, port: 80, serversTransport: NAME}]}}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: NAME}
spec:
  routes:
  - kind: Rule
    match: Host(`NAME.invalid`)
    middlewares: [{name: NAME}]
    services: [{name: NAME, kind: TraefikService}]
  tls: {options: {name: NAME}}
---
apiVersion: traefik.io/v1alpha1
kind: MiddlewareTCP
metadata: {name: NAME}
spec: {inFlightConn: {amount: 1}}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRouteTCP
metadata: {name: NAME}
spec:
  routes:
  - match: HostSNI(`NAME.invalid`)
    middlewares: [{name: NAME}]
    services: [{name: NAME, port: 80}]
  tls: {passthrough: true}
""",
    "kubernetesingress": _BACKEND
    + """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: NAME}
spec:
  rules:
  - host: NAME.invalid
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: NAME, port: {number: 80}}}}]}
""",
}
