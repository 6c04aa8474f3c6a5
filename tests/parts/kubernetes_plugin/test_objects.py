"""What the stand-in for Pulumi's Kubernetes plugin does to a real API server, asked over gRPC.

With the real engine it is tested in `tests/parts/test_kubernetes_plugin.py`.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pulumi.runtime.proto import provider_pb2
from pydantic import JsonValue

from tests.parts.kubernetes import KubernetesApi
from tests.parts.kubernetes_plugin.asking import (
    FORCE,
    GROUP,
    MANAGER,
    Client,
    at,
    definition,
    edit,
    edit_route,
    hosts,
    kubeconfig,
    managers,
    refused,
    route,
    service,
    started,
    struct,
    until,
    values,
)
from tests.parts.kubernetes_plugin.trees import UNKNOWN

# What it does to one object ----------------------------------------------------------------------------------------------


def test_a_preview_touches_nothing(plugin: Client, kubernetes: KubernetesApi) -> None:
    assert plugin.create(route(), preview=True).id == ""
    assert kubernetes.get(GROUP, "IngressRoute", "shop") is None
    made = plugin.create(route())
    assert made.id == "default/shop"
    before = kubernetes.get(GROUP, "IngressRoute", "shop")
    plugin.update(made.properties, route(host="other.test"), preview=True)
    assert kubernetes.get(GROUP, "IngressRoute", "shop") == before


def test_a_life_of_an_object(plugin: Client, kubernetes: KubernetesApi) -> None:
    made = plugin.create(route())
    assert managers(kubernetes.get(GROUP, "IngressRoute", "shop")) == {"shop"}
    assert plugin.diff(made.properties, route()).changes == provider_pb2.DiffResponse.DIFF_NONE
    changed = plugin.diff(made.properties, route(host="other.test"))
    assert changed.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert set(changed.detailedDiff) == {"spec.routes[0].match"}
    assert not changed.replaces
    state = plugin.update(made.properties, route(host="other.test"))
    assert hosts(kubernetes) == "Host(`other.test`)"
    plugin.delete(provider_pb2.CreateResponse(id=made.id, properties=state), route())
    assert kubernetes.get(GROUP, "IngressRoute", "shop") is None
    plugin.delete(made, route())  # gone is gone


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (route() | {"spec": {"routes": [], "sticky": True}}, ".spec.sticky: field not declared in schema"),
        (service() | {"spec": {"prots": []}}, ".spec.prots: field not declared in schema"),
        (route(name="Shop"), "lowercase RFC 1123"),
    ],
)
def test_what_no_schema_has_is_refused_in_a_preview_and_for_good(
    plugin: Client, kubernetes: KubernetesApi, tree: dict[str, JsonValue], words: str
) -> None:
    for preview in (True, False):
        said = refused(lambda preview=preview: plugin.create(tree, preview=preview))  # type: ignore[misc]
        assert words in said
        assert said.startswith("resource default/")
    assert kubernetes.get(str(tree["apiVersion"]), str(tree["kind"]), "shop") is None


def test_another_name_or_namespace_is_another_object(plugin: Client) -> None:
    made = plugin.create(route())
    renamed = plugin.diff(made.properties, route(name="store"))
    assert list(renamed.replaces) == ["metadata.name"]
    assert not renamed.deleteBeforeReplace
    elsewhere = route()
    assert isinstance(elsewhere["metadata"], dict)
    elsewhere["metadata"]["namespace"] = "far"
    moved = plugin.diff(made.properties, elsewhere)
    assert list(moved.replaces) == ["metadata.namespace"]
    assert not moved.deleteBeforeReplace


def test_a_secret_is_replaced_unless_it_is_said_to_be_mutable(plugin: Client, kubernetes: KubernetesApi, tmp_path: Path) -> None:
    one: dict[str, JsonValue] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "users"}, "stringData": {"users": "a"}}
    two: dict[str, JsonValue] = {**one, "stringData": {"users": "b"}}
    made = plugin.create(one)
    found = plugin.diff(made.properties, two)
    assert list(found.replaces) == ["stringData.users"]
    assert found.deleteBeforeReplace
    assert plugin.diff(made.properties, {**one, "metadata": {"name": "users", "labels": {"a": "b"}}}).replaces == []
    with started(tmp_path, kubeconfig=kubeconfig(kubernetes), enableSecretMutable="true") as mutable:
        assert mutable.diff(made.properties, two).replaces == []
        assert mutable.diff(made.properties, two).changes == provider_pb2.DiffResponse.DIFF_SOME
        assert mutable.diff(made.properties, {**two, "immutable": True}).deleteBeforeReplace


def test_the_namespace_is_that_of_the_provider_and_only_of_what_has_one(kubernetes: KubernetesApi, plugin: Client, tmp_path: Path) -> None:
    with started(tmp_path, kubeconfig=kubeconfig(kubernetes), namespace="far") as client:
        nowhere = route()
        nowhere["metadata"] = {"name": "shop"}
        assert at(values(client.check(nowhere).inputs), "metadata", "namespace") == "far"
        assert at(values(client.check(route()).inputs), "metadata", "namespace") == "default"
        cluster_wide: dict[str, JsonValue] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "far"}}
        assert at(values(client.check(cluster_wide).inputs), "metadata") == {"name": "far"}
        unheard_of = {**nowhere, "apiVersion": "example.com/v1", "kind": "Gadget"}
        assert at(values(client.check(unheard_of).inputs), "metadata", "namespace") == "far"
    assert at(values(plugin.check(nowhere).inputs), "metadata", "namespace") == "default"


def test_a_name_is_made_where_there_is_none_and_kept(plugin: Client) -> None:
    nameless = route()
    nameless["metadata"] = {}
    checked = plugin.check(nameless)
    assert at(values(checked.inputs), "metadata", "name") == "one-00010203"
    tree = values(checked.inputs)
    assert isinstance(tree["metadata"], dict)
    tree["metadata"]["name"] = "one-before"
    assert at(values(plugin.check(nameless, struct(tree)).inputs), "metadata", "name") == "one-before"
    failures = plugin.check(nameless, patch=True).failures
    assert [(each.property, each.reason) for each in failures] == [
        ("metadata.name", "patch resources require the resource `.metadata.name` to be set")
    ]


def test_what_is_to_come_is_not_tried_in_a_preview(plugin: Client) -> None:
    elsewhere = route()
    elsewhere["metadata"] = {"name": "shop", "namespace": "not-there-yet"}
    unknown: JsonValue = {"routes": UNKNOWN, "nonsense": 1}
    for tree in (elsewhere, {**route(), "kind": "NotThereYet"}, {**route(), "spec": unknown}):
        assert at(values(plugin.create(tree, preview=True).properties), "spec") == tree["spec"]


def test_an_object_waits_for_its_crd_and_its_namespace(plugin: Client, kubernetes: KubernetesApi) -> None:
    kind = definition("Gadget")
    gadget: dict[str, JsonValue] = {
        "apiVersion": "example.com/v1",
        "kind": "Gadget",
        "metadata": {"name": "one", "namespace": "plugin-later"},
        "spec": {"size": 3},
    }
    plugin.create(gadget, preview=True)
    with ThreadPoolExecutor(1) as pool:
        later = pool.submit(plugin.create, gadget)
        crd = plugin.create(kind)
        plugin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "plugin-later"}})
        made = later.result(30)
    assert at(kubernetes.get("example.com/v1", "Gadget", "one", "plugin-later"), "spec", "size") == 3
    plugin.delete(crd, kind)
    until(lambda: plugin.read(made, gadget).id == "")  # with its kind it is gone
    plugin.delete(made, gadget)


# Field managers ----------------------------------------------------------------------------------------------------------


def test_a_conflict_names_the_manager_and_the_field(plugin: Client, kubernetes: KubernetesApi) -> None:
    made = plugin.create(route())
    edit_route(kubernetes, "edited.test")
    for preview in (True, False):
        said = refused(lambda preview=preview: plugin.update(made.properties, route(host="ours.test"), preview=preview))  # type: ignore[misc]
        assert said.startswith('the Kubernetes API server reported that "default/shop" failed to fully initialize or become live: ')
        assert "Server-Side Apply field conflict detected. See https://www.pulumi.com/" in said
        assert 'The resource managed by field manager "shop" had an apply conflict: Apply failed with 1 conflict: ' in said
        assert f'conflict with "kubectl-edit" using {GROUP}: .spec.routes' in said
    assert hosts(kubernetes) == "Host(`edited.test`)"
    plugin.update(made.properties, route(host="ours.test", annotations=FORCE))
    assert hosts(kubernetes) == "Host(`ours.test`)"


def test_a_create_adopts_and_meets_conflicts_for_good_only(plugin: Client, kubernetes: KubernetesApi) -> None:
    kubernetes.apply("apiVersion: v1\nkind: Service\nmetadata: {name: shop, labels: {team: x}}\nspec: {ports: [{name: http, port: 80}]}\n")
    adopted = plugin.create(service())
    live = kubernetes.get("v1", "Service", "shop")
    assert at(live, "metadata", "labels", "team") == "x"
    assert managers(live) >= {"tests", "shop"}
    plugin.delete(adopted, service())
    assert kubernetes.get("v1", "Service", "shop") is None
    kubernetes.apply("apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {externalName: a.test, type: ExternalName}\n")
    other: dict[str, JsonValue] = {**service(), "spec": {"externalName": "b.test", "type": "ExternalName"}}
    plugin.create(other, preview=True)
    said = refused(lambda: plugin.create(other))
    assert 'conflict with "tests": .spec.externalName' in said
    assert said.startswith("resource default/shop was not successfully created by the Kubernetes API server: ")


def test_without_upsert_what_is_there_is_refused(kubernetes: KubernetesApi, tmp_path: Path) -> None:
    kubernetes.apply("apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {ports: [{name: http, port: 80}]}\n")
    before = kubernetes.get("v1", "Service", "shop")
    with started(tmp_path, kubeconfig=kubeconfig(kubernetes)) as client:
        assert 'Service "shop" already exists' in refused(lambda: client.create(service(port=81)))
        client.create(service(port=81), preview=True)
        assert kubernetes.get("v1", "Service", "shop") == before
        client.create(service(name="other"))
        client.create(service(), patch=True)
    assert managers(kubernetes.get("v1", "Service", "shop")) >= {"tests", "shop"}


def test_the_manager_stays_and_one_that_is_left_holds_nothing(plugin: Client, kubernetes: KubernetesApi) -> None:
    nobodys = service()
    nobodys["metadata"] = {"name": "shop", "labels": {"a": "1"}}
    made = plugin.create(nobodys)
    (manager,) = managers(kubernetes.get("v1", "Service", "shop"))
    assert manager.startswith("pulumi-kubernetes-")
    state = plugin.update(made.properties, {**nobodys, "metadata": {"name": "shop", "labels": {"a": "2"}}})
    assert managers(kubernetes.get("v1", "Service", "shop")) == {manager}
    plugin.update(state, {**nobodys, "metadata": {"name": "shop", "labels": {"b": "3"}, "annotations": dict(MANAGER)}})
    live = kubernetes.get("v1", "Service", "shop")
    assert managers(live) == {"shop"}
    assert at(live, "metadata", "labels") == {"b": "3"}


def test_a_patch_and_its_end_leave_the_rest_of_the_object(plugin: Client, kubernetes: KubernetesApi) -> None:
    kubernetes.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: theirs, labels: {team: x}, annotations: {shared: '1'}}\nspec: {ports: [{port: 80}]}\n"
    )
    before = kubernetes.get("v1", "Service", "theirs")
    patch: dict[str, JsonValue] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "theirs", "namespace": "default", "annotations": {**MANAGER, "ours": "yes", "shared": "1"}},
    }
    plugin.create(patch, patch=True, preview=True)
    assert kubernetes.get("v1", "Service", "theirs") == before
    made = plugin.create(patch, patch=True)
    live = kubernetes.get("v1", "Service", "theirs")
    assert at(live, "metadata", "annotations") == {**MANAGER, "ours": "yes", "shared": "1"}
    assert plugin.read(made, patch, patch=True).id == made.id
    plugin.delete(made, patch, patch=True)
    after = kubernetes.get("v1", "Service", "theirs")
    assert at(after, "metadata", "annotations") == {"shared": "1"}
    assert at(after, "metadata", "uid") == at(before, "metadata", "uid")
    assert [at(after, "metadata", "labels"), at(after, "spec")] == [at(before, "metadata", "labels"), at(before, "spec")]
    assert "shop" not in managers(after)
    kubernetes.delete("v1", "Service", "theirs")
    plugin.delete(made, patch, patch=True)
    assert kubernetes.get("v1", "Service", "theirs") is None  # an apply of its name alone would have tried to make it


def test_a_patch_of_a_custom_resource(plugin: Client, kubernetes: KubernetesApi) -> None:
    kubernetes.apply(json.dumps(route()))
    patch: dict[str, JsonValue] = {
        "apiVersion": GROUP,
        "kind": "IngressRoute",
        "metadata": {"name": "shop", "namespace": "default", "annotations": {"ours": "yes"}},
    }
    made = plugin.create(patch, patch=True)
    state = plugin.update(made.properties, {**patch, "spec": {"parentRefs": [{"name": "parent"}]}}, patch=True)
    assert at(kubernetes.get(GROUP, "IngressRoute", "shop"), "spec", "parentRefs") == [{"name": "parent"}]
    plugin.delete(provider_pb2.CreateResponse(id=made.id, properties=state), patch, patch=True)
    live = kubernetes.get(GROUP, "IngressRoute", "shop")
    assert at(live, "metadata", "annotations") == MANAGER
    assert at(live, "spec") == route()["spec"]


def test_a_patch_that_holds_a_required_field_says_so(plugin: Client, kubernetes: KubernetesApi) -> None:
    kubernetes.apply("apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {type: ExternalName, externalName: a.test}\n")
    patch: dict[str, JsonValue] = {**service(annotations=FORCE), "spec": {"externalName": "b.test"}}
    made = plugin.create(patch, patch=True)
    said = refused(lambda: plugin.delete(made, patch, patch=True))
    assert said.startswith("this Patch resource is currently managing a required field, so it can't be deleted directly.")
    assert "spec.externalName" in said
    assert at(kubernetes.get("v1", "Service", "shop"), "spec", "externalName") == "b.test"


# A world that changes ----------------------------------------------------------------------------------------------------


def test_drift_is_seen_by_a_refresh_and_put_right(plugin: Client, kubernetes: KubernetesApi) -> None:
    forced = route(annotations=FORCE)
    made = plugin.create(forced)
    same = plugin.read(made, forced)
    assert same.inputs == plugin.check(forced).inputs
    assert same.properties == made.properties
    edit_route(kubernetes, "edited.test")
    edit(
        kubernetes, f"/apis/{GROUP}/namespaces/default/ingressroutes/shop", [{"op": "add", "path": "/metadata/labels", "value": {"x": "y"}}]
    )
    found = plugin.read(made, forced)
    assert at(values(found.inputs), "spec", "routes", 0, "match") == "Host(`edited.test`)"
    assert at(values(found.inputs), "metadata", "labels") is None  # that is theirs
    assert set(plugin.diff(found.properties, forced).detailedDiff) == {"spec.routes[0].match"}
    state = plugin.update(found.properties, forced)
    assert hosts(kubernetes) == "Host(`shop.test`)"
    assert state == made.properties
    kubernetes.delete(GROUP, "IngressRoute", "shop")
    assert plugin.read(made, forced).id == ""


def test_an_update_of_what_is_gone_says_so(plugin: Client, kubernetes: KubernetesApi) -> None:
    made = plugin.create(route())
    kubernetes.delete(GROUP, "IngressRoute", "shop")
    for preview in (True, False):
        said = refused(lambda preview=preview: plugin.update(made.properties, route(host="b.test"), preview=preview))  # type: ignore[misc]
        assert 'IngressRoute "shop" not found' in said
    assert kubernetes.get(GROUP, "IngressRoute", "shop") is None


def test_what_the_server_leaves_out_is_no_drift(plugin: Client) -> None:
    deployment: dict[str, JsonValue] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": "default", "annotations": dict(MANAGER)},
        "spec": {
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {
                "metadata": {"labels": {"app": "shop"}},
                "spec": {
                    "hostNetwork": False,
                    "volumes": [],
                    "containers": [{"name": "a", "image": "a:1", "args": [], "ports": [{"containerPort": 80}]}],
                },
            },
        },
    }
    made = plugin.create(deployment)
    assert plugin.read(made, deployment).inputs == plugin.check(deployment).inputs


def test_what_has_finalizers_is_let_go(plugin: Client, kubernetes: KubernetesApi) -> None:
    held = route()
    assert isinstance(held["metadata"], dict)
    held["metadata"]["finalizers"] = ["example.com/held"]
    made = plugin.create(held)
    plugin.delete(made, held)
    assert at(kubernetes.get(GROUP, "IngressRoute", "shop"), "metadata", "deletionTimestamp") is not None
    plugin.delete(made, held)
    edit(kubernetes, f"/apis/{GROUP}/namespaces/default/ingressroutes/shop", [{"op": "remove", "path": "/metadata/finalizers"}])
    assert kubernetes.get(GROUP, "IngressRoute", "shop") is None


def test_a_live_object_can_be_read_without_a_program(plugin: Client, kubernetes: KubernetesApi) -> None:
    kubernetes.apply("apiVersion: v1\nkind: Service\nmetadata: {name: theirs, labels: {team: x}}\nspec: {ports: [{port: 80}]}\n")
    urn = plugin.urn({"apiVersion": "v1", "kind": "Service"}, patch=False)
    found = plugin.stub.Read(provider_pb2.ReadRequest(id="default/theirs", urn=urn))
    inputs = values(found.inputs)
    assert found.id == "default/theirs"
    assert inputs["metadata"] == {"name": "theirs", "namespace": "default", "labels": {"team": "x"}}
    assert plugin.diff(found.properties, inputs).changes == provider_pb2.DiffResponse.DIFF_NONE
    assert plugin.stub.Read(provider_pb2.ReadRequest(id="default/nobody", urn=urn)).id == ""
