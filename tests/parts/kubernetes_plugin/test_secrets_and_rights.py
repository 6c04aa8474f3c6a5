"""What the stand-in keeps secret, what it says of what it may not do or cannot reach, how long it takes, and how it ends."""

from __future__ import annotations

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import psutil
import pytest
from pulumi.runtime.proto import provider_pb2
from pydantic import JsonValue

from tests.parts.kubernetes import KubernetesApi
from tests.parts.kubernetes_plugin import FOLDER, PLUGIN
from tests.parts.kubernetes_plugin.asking import (
    GROUP,
    SECRET_SIGNATURE,
    Client,
    at,
    edit,
    first_line,
    hosts,
    kubeconfig,
    refused,
    route,
    started,
    values,
    watcher_token,
)


def sealed_value(value: JsonValue) -> JsonValue:
    return {**SECRET_SIGNATURE, "value": value}


def _open(tree: object, marker: str) -> list[str]:
    """The texts with the marker that stand outside of a secret."""
    if isinstance(tree, dict):
        return [] if tree.items() >= SECRET_SIGNATURE.items() else [text for each in tree.values() for text in _open(each, marker)]
    if isinstance(tree, list):
        return [text for each in tree for text in _open(each, marker)]
    return [tree] if isinstance(tree, str) and marker in tree else []


def test_secrets_stay_secret_and_those_of_a_secret_become_so(plugin: Client, kubernetes: KubernetesApi) -> None:
    said: dict[str, JsonValue] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "users"}, "stringData": {"users": "marker-a"}}
    sealed = route(annotations={"secret": sealed_value("marker-b")})
    sealed["spec"] = {"routes": [{"kind": "Rule", "match": sealed_value("Host(`marker-c.test`)")}]}
    within: dict[str, JsonValue] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "all"},
        "data": sealed_value({"a": "marker-d"}),
    }
    for tree in (said, sealed, within):
        inputs = values(plugin.check(tree).inputs)
        previewed, made = plugin.create(tree, preview=True), plugin.create(tree)
        found = plugin.read(made, tree)
        state = plugin.update(found.properties, tree)
        for each in (inputs, *map(values, (previewed.properties, made.properties, found.properties, found.inputs, state))):
            assert "marker-" in json.dumps(each)
            assert _open(each, "marker-") == []
        assert plugin.diff(found.properties, tree).changes == provider_pb2.DiffResponse.DIFF_NONE
    assert at(kubernetes.get("v1", "Secret", "users"), "data", "users") == "bWFya2VyLWE="
    assert hosts(kubernetes) == "Host(`marker-c.test`)"
    edit(kubernetes, "/api/v1/namespaces/default/secrets/users", [{"op": "replace", "path": "/data/users", "value": "eA=="}])
    made = plugin.create({**said, "metadata": {"name": "users", "annotations": {"pulumi.com/patchForce": "true"}}}, preview=True)
    drifted = plugin.read(provider_pb2.CreateResponse(id="default/users", properties=made.properties), said)
    assert list(plugin.diff(drifted.properties, said).replaces) == ["stringData.users"]


def test_a_token_that_may_not_is_told_what_it_may_not(plugin: Client, kubernetes: KubernetesApi, tmp_path: Path) -> None:
    made = plugin.create(route())
    token = watcher_token(kubernetes)
    with started(tmp_path, kubeconfig=kubeconfig(kubernetes, token), upsertExistingObjects="true") as client:
        for preview in (True, False):
            if preview:  # what cannot be tried is shown as it is
                client.update(made.properties, route(host="b.test"), preview=True)
                client.create(route(name="new"), preview=True)
                continue
            for call in (lambda: client.update(made.properties, route(host="b.test")), lambda: client.create(route(name="new"))):
                said = refused(call)
                assert 'cannot patch resource "ingressroutes" in API group "traefik.io" in the namespace "default"' in said
                assert token not in said
        assert 'cannot delete resource "ingressroutes"' in refused(lambda: client.delete(made, route()))
        assert client.read(made, route()).id == "default/shop"
    assert hosts(kubernetes) == "Host(`shop.test`)"


def test_what_does_not_answer_is_named(kubernetes: KubernetesApi, tmp_path: Path) -> None:
    dead = kubeconfig(kubernetes).replace(kubernetes.url, "https://127.0.0.1:9")
    path = tmp_path / "kubeconfig"
    path.write_text(dead, "utf-8")
    with started(tmp_path, kubeconfig=str(path)) as client:
        for preview in (True, False):
            said = refused(lambda preview=preview: client.create(route(), preview=preview))  # type: ignore[misc]
            assert said.startswith("https://127.0.0.1:9 does not answer: ")
    for given in ({"kubeconfig": str(tmp_path / "none")}, {"kubeconfig": "{not: [a kubeconfig"}, {"kubeconfig": dead, "context": "nope"}):
        with pytest.raises(grpc.RpcError, match="configured Kubernetes cluster is unreachable: no cluster"), started(tmp_path, **given):
            pass


def test_a_thousand_objects_are_no_long_matter(plugin: Client, kubernetes: KubernetesApi) -> None:
    count = 100
    with ThreadPoolExecutor(8) as pool:
        plugin.create(route())
        began = time.monotonic()
        made = list(pool.map(lambda number: plugin.create(route(name=f"many-{number}")), range(count)))
        each = (time.monotonic() - began) / count
        list(pool.map(lambda one: plugin.delete(one, route()), made))
    assert each < 0.1, f"{each:.3f} s an object"
    assert hosts(kubernetes) == "Host(`shop.test`)"
    assert kubernetes.get(GROUP, "IngressRoute", "many-0") is None


def test_it_ends_with_its_engine(tmp_path: Path) -> None:
    script = f"{FOLDER / PLUGIN} 127.0.0.1:1 & echo $! >&2; wait"
    with subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as engine:
        assert engine.stderr is not None
        plugin = psutil.Process(int(engine.stderr.readline()))
        assert first_line(engine) > 0
        engine.kill()
        plugin.wait(20)
