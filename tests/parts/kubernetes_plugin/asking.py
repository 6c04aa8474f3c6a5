"""How the stand-in is asked: over gRPC as the engine asks, and about what objects."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf import json_format, struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc
from pydantic import JsonValue

from tests.parts.crds import Json
from tests.parts.kubernetes import KubernetesApi, Object
from tests.parts.kubernetes_plugin import FOLDER, PLUGIN

GROUP = "traefik.io/v1alpha1"
SECRET_SIGNATURE = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
"""What marks a secret value on the wire."""
MANAGER = {"pulumi.com/patchFieldManager": "shop"}
FORCE = {"pulumi.com/patchForce": "true"}


def route(name: str = "shop", host: str = "shop.test", annotations: Mapping[str, JsonValue] | None = None) -> dict[str, JsonValue]:
    return {
        "apiVersion": GROUP,
        "kind": "IngressRoute",
        "metadata": {"name": name, "namespace": "default", "annotations": {**MANAGER, **(annotations or {})}},
        "spec": {"entryPoints": ["web"], "routes": [{"kind": "Rule", "match": f"Host(`{host}`)"}]},
    }


def service(name: str = "shop", port: int = 80, annotations: Mapping[str, JsonValue] | None = None) -> dict[str, JsonValue]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "annotations": {**MANAGER, **(annotations or {})}},
        "spec": {"ports": [{"name": "http", "port": port}]},
    }


def kubeconfig(api: KubernetesApi, token: str | None = None) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": {"server": api.url, "certificate-authority": str(api.ca)}}],
            "users": [{"name": "tests", "user": {"token": token or api.token}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
            "current-context": "tests",
        }
    )


def at(tree: Json, *steps: str | int) -> Json:
    """What stands at a path, None where there is nothing."""
    for step in steps:
        if isinstance(step, int):
            tree = tree[step] if isinstance(tree, list) and step < len(tree) else None
        else:
            tree = tree.get(step) if isinstance(tree, dict) else None
    return tree


def hosts(api: KubernetesApi, name: str = "shop") -> Json:
    return at(api.get(GROUP, "IngressRoute", name), "spec", "routes", 0, "match")


def managers(live: Object | None) -> set[str]:
    fields = at(live, "metadata", "managedFields")
    return {str(at(each, "manager")) for each in fields} if isinstance(fields, list) else set()


def edit(api: KubernetesApi, path: str, operations: list[dict[str, JsonValue]], manager: str = "kubectl-edit") -> None:
    api.request("PATCH", f"{path}?fieldManager={manager}", json.dumps(operations), "application/json-patch+json")


def edit_route(api: KubernetesApi, host: str, name: str = "shop") -> None:
    path = f"/apis/{GROUP}/namespaces/default/ingressroutes/{name}"
    edit(api, path, [{"op": "replace", "path": "/spec/routes/0/match", "value": f"Host(`{host}`)"}])


def struct(values: Mapping[str, object]) -> struct_pb2.Struct:
    result = struct_pb2.Struct()
    result.update(values)
    return result


def values(given: struct_pb2.Struct) -> dict[str, JsonValue]:
    """As sent, whole numbers as such."""
    found = json.loads(
        json_format.MessageToJson(given), parse_float=lambda text: int(float(text)) if float(text).is_integer() else float(text)
    )
    assert isinstance(found, dict)
    return found


class Client:
    """The plugin, asked as the engine asks: each resource is checked before anything else."""

    def __init__(self, stub: provider_pb2_grpc.ResourceProviderStub) -> None:
        self.stub = stub

    def urn(self, tree: Mapping[str, JsonValue], patch: bool, name: str = "one") -> str:
        version = str(tree["apiVersion"])
        token = f"kubernetes:{version if '/' in version else f'core/{version}'}:{tree['kind']}{'Patch' if patch else ''}"
        return f"urn:pulumi:dev::shop::pinfeather:index:Routes${token}::{name}"

    def check(
        self, tree: Mapping[str, JsonValue], olds: struct_pb2.Struct | None = None, *, patch: bool = False
    ) -> provider_pb2.CheckResponse:
        request = provider_pb2.CheckRequest(urn=self.urn(tree, patch), olds=olds, news=struct(tree), randomSeed=b"\x00\x01\x02\x03more")
        reply: provider_pb2.CheckResponse = self.stub.Check(request)
        return reply

    def create(self, tree: Mapping[str, JsonValue], *, patch: bool = False, preview: bool = False) -> provider_pb2.CreateResponse:
        checked = self.check(tree, patch=patch)
        assert not checked.failures
        request = provider_pb2.CreateRequest(urn=self.urn(tree, patch), properties=checked.inputs, preview=preview)
        reply: provider_pb2.CreateResponse = self.stub.Create(request)
        return reply

    def diff(self, state: struct_pb2.Struct, tree: Mapping[str, JsonValue], *, patch: bool = False) -> provider_pb2.DiffResponse:
        inputs = self.check(tree, patch=patch).inputs
        reply: provider_pb2.DiffResponse = self.stub.Diff(provider_pb2.DiffRequest(urn=self.urn(tree, patch), olds=state, news=inputs))
        return reply

    def update(
        self, state: struct_pb2.Struct, tree: Mapping[str, JsonValue], *, patch: bool = False, preview: bool = False
    ) -> struct_pb2.Struct:
        inputs = self.check(tree, patch=patch).inputs
        request = provider_pb2.UpdateRequest(urn=self.urn(tree, patch), olds=state, news=inputs, preview=preview)
        reply: struct_pb2.Struct = self.stub.Update(request).properties
        return reply

    def read(self, known: provider_pb2.CreateResponse, tree: Mapping[str, JsonValue], *, patch: bool = False) -> provider_pb2.ReadResponse:
        inputs = self.check(tree, patch=patch).inputs
        request = provider_pb2.ReadRequest(id=known.id, urn=self.urn(tree, patch), properties=known.properties, inputs=inputs)
        reply: provider_pb2.ReadResponse = self.stub.Read(request)
        return reply

    def delete(self, known: provider_pb2.CreateResponse, tree: Mapping[str, JsonValue], *, patch: bool = False) -> None:
        self.stub.Delete(provider_pb2.DeleteRequest(id=known.id, urn=self.urn(tree, patch), properties=known.properties))


@contextmanager
def started(folder: Path, **inputs: str) -> Iterator[Client]:
    """The stand-in, configured."""
    with subprocess.Popen(
        [FOLDER / PLUGIN, "127.0.0.1:1"], stdout=subprocess.PIPE, text=True, cwd=folder, env={"PATH": os.defpath}
    ) as process:
        try:
            with grpc.insecure_channel(f"127.0.0.1:{first_line(process)}") as channel:
                stub = provider_pb2_grpc.ResourceProviderStub(channel)
                reply = stub.Configure(provider_pb2.ConfigureRequest(acceptSecrets=True, args=struct(inputs)))
                assert reply.acceptSecrets
                assert reply.supportsPreview
                yield Client(stub)
        finally:
            process.terminate()


def first_line(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 30)
    assert ready, "the plugin neither printed nor ended within 30 s"
    return int(process.stdout.readline())


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    details = str(raised.value.details())
    assert raised.value.code() == grpc.StatusCode.FAILED_PRECONDITION, details
    return details


RIGHTS = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: watcher, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: plugin-watcher}
rules: [{apiGroups: [traefik.io], resources: [ingressroutes], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: plugin-watcher}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: plugin-watcher}
subjects: [{kind: ServiceAccount, name: watcher, namespace: default}]
"""


def definition(kind: str) -> dict[str, JsonValue]:
    plural = f"{kind.lower()}s"
    spec: JsonValue = {"type": "object", "properties": {"size": {"type": "integer"}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
                }
            ],
        },
    }


def watcher_token(api: KubernetesApi) -> str:
    """Of a user who may look at IngressRoutes, and may do nothing else."""
    api.apply(RIGHTS)
    asked = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    return str(at(api.request("POST", "/api/v1/namespaces/default/serviceaccounts/watcher/token", asked), "status", "token"))


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)
