"""The stack `cluster` as a user meets it: the real engine, a real API server, a real Traefik that reads it, and demo servers.

One deployment serves all tests of this file, in their order, each beginning where the one before left off. There is no kubelet.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator

import pytest

from tests.deploy.cluster_project import GROUP, PYTHON, ClusterProject, cluster_project
from tests.parts.kubernetes import KubernetesApi

OTHERS = """
apiVersion: v1
kind: Service
metadata: {name: somebodys, labels: {team: other}}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: somebodys}
spec: {stripPrefix: {prefixes: [/x]}}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, kubernetes_server: KubernetesApi) -> Iterator[ClusterProject]:
    with cluster_project(tmp_path_factory.mktemp("cluster"), kubernetes_server, "shop") as made:
        kubernetes_server.apply(OTHERS, "shop")
        yield made


def test_up_serves_through_a_real_traefik_and_verify_says_so(shop: ClusterProject) -> None:
    shop.configure()
    printed = shop.run([PYTHON, "-m", "tools.stack", "up", "--stack", "cluster"])
    assert "It behaves as the document says." in printed
    assert "the Kubernetes plugin: " in printed
    assert shop.names("IngressRoute") == ["shop"]
    assert len(shop.processes()) == 3


def test_up_again_changes_nothing(shop: ClusterProject) -> None:
    before = shop.object("TraefikService", "shop-split")
    shop.up("--expect-no-changes")
    assert shop.object("TraefikService", "shop-split") == before


def test_the_preview_of_a_weight_says_who_moves_and_up_touches_one_object(shop: ClusterProject) -> None:
    before = {kind: shop.object(kind, name) for kind, name in (("IngressRoute", "shop"), ("Middleware", "secure-headers"))}
    shop.edit(("weight: 90", "weight: 70"), ("weight: 10", "weight: 30"))
    sentence = "20 % of new clients go to shop-v2, and no longer to shop-v1: http://shop.localhost/; pinned clients stay where they are."
    assert sentence in shop.pulumi("preview")
    printed = shop.pulumi("preview", "--json")
    preview = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])
    assert any(sentence in each["message"] for each in preview["diagnostics"])
    updated = {step["urn"].split("::")[2].rpartition("$")[2] for step in preview["steps"] if step["op"] == "update"}
    assert updated == {"pinfeather:index:RouteSet", f"kubernetes:{GROUP}:TraefikService", "pinfeather:index:ConfigFile"}
    shop.up()
    split = shop.object("TraefikService", "shop-split")
    assert [each["weight"] for each in split["spec"]["weighted"]["services"]] == [70, 30]  # type: ignore[index,call-overload]
    assert {kind: shop.object(kind, name) for kind, name in (("IngressRoute", "shop"), ("Middleware", "secure-headers"))} == before


def test_a_renamed_route_is_made_before_the_old_one_goes_and_no_request_is_lost(shop: ClusterProject) -> None:
    done, faults, count = threading.Event(), list[str](), 0

    def load() -> None:
        nonlocal count
        while not done.is_set():
            try:
                status = shop.get()
            except OSError as problem:
                faults.append(str(problem))
            else:
                count += 1
                if status != 200:
                    faults.append(str(status))

    thread = threading.Thread(target=load)
    thread.start()
    try:
        shop.edit(("name: shop\n", "name: store\n"))
        printed = shop.up()
    finally:
        done.set()
        thread.join()
    assert not faults, faults[:5]
    assert count > 100
    assert re.search(r"IngressRoute \S+_store created.*IngressRoute \S+_shop deleted", printed, re.DOTALL), printed
    assert shop.names("IngressRoute") == ["store"]
    assert shop.names("TraefikService") == ["store-split"]
    shop.up("--expect-no-changes")


def test_an_edit_by_hand_is_found_and_put_right(shop: ClusterProject) -> None:
    path = f"/apis/{GROUP}/namespaces/shop/ingressroutes/store"
    before = shop.object("IngressRoute", "store")
    edit = json.dumps([{"op": "replace", "path": "/spec/routes/0/match", "value": "Host(`elsewhere.localhost`)"}])
    shop.api.request("PATCH", f"{path}?fieldManager=kubectl-edit", edit, "application/json-patch+json")
    printed = shop.up()
    assert "IngressRoute shop/store: spec.routes was changed by 'kubectl-edit'; it is put back" in printed
    assert shop.object("IngressRoute", "store")["spec"] == before["spec"]  # type: ignore[index]
    shop.api.request("DELETE", path)
    shop.up()
    assert shop.object("IngressRoute", "store")["spec"] == before["spec"]  # type: ignore[index]
    shop.up("--expect-no-changes")


def test_what_a_controller_holds_is_not_taken_from_it(shop: ClusterProject) -> None:
    path = f"/apis/{GROUP}/namespaces/shop/traefikservices/store-split"
    edit = json.dumps([{"op": "replace", "path": "/spec/weighted/services/0/weight", "value": 55}])
    shop.api.request("PATCH", f"{path}?fieldManager=rollouts-controller", edit, "application/json-patch+json")
    printed = shop.up(fails=True)
    assert "TraefikService shop/store-split: spec.weighted.services is held by 'rollouts-controller' at another value" in printed
    assert "pinfeather:weightOwner" in printed
    shop.settings["weightOwner"] = "external"
    shop.up()
    split = shop.object("TraefikService", "store-split")
    assert [each["weight"] for each in split["spec"]["weighted"]["services"]] == [55, 30]  # type: ignore[index,call-overload]
    del shop.settings["weightOwner"]
    shop.settings["takeOver"] = True
    shop.up()
    split = shop.object("TraefikService", "store-split")
    assert [each["weight"] for each in split["spec"]["weighted"]["services"]] == [70, 30]  # type: ignore[index,call-overload]
    del shop.settings["takeOver"]
    shop.up("--expect-no-changes")


def test_a_policy_refuses_and_nothing_is_touched(shop: ClusterProject) -> None:
    before = shop.object("TraefikService", "store-split")
    shop.settings["policy"] = {"max_moved_share": "10%"}
    shop.edit(("weight: 70", "weight: 40"), ("weight: 30", "weight: 60"))
    for words in (["preview"], ["up", "--yes", "--skip-preview"]):
        printed = shop.pulumi(*words, fails=True)
        assert "30 % of the new clients of one class of requests go elsewhere, and 10% may" in printed
        assert "pulumi config set --path pinfeather:policy.max_moved_share 30%" in printed
    assert shop.object("TraefikService", "store-split") == before
    shop.settings["policy"] = {"max_deletions": 0}
    shop.edit(("weight: 40", "weight: 70"), ("weight: 60", "weight: 30"), ("middlewares: [secure-headers]\n", "# none\n"))
    text = shop.document.read_text("utf-8")
    shop.document.write_text(text[: text.index("middlewares:\n  secure")], "utf-8")
    assert "1 objects would be deleted, and 0 may: Middleware shop/secure-headers" in shop.up(fails=True)
    assert shop.names("Middleware") == ["secure-headers", "somebodys"]
    shop.document.write_text(text, "utf-8")
    shop.edit(("# none\n", "middlewares: [secure-headers]\n"))
    del shop.settings["policy"]
    shop.up("--expect-no-changes")


def test_fields_that_the_installed_crd_does_not_know_stop_before_anything(shop: ClusterProject) -> None:
    definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/traefikservices.traefik.io"
    whole = shop.api.request("GET", definition)
    properties = whole["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]  # type: ignore[index,call-overload]
    cookie = properties["spec"]["properties"]["weighted"]["properties"]["sticky"]["properties"]["cookie"]["properties"]  # type: ignore[index,call-overload]
    sticky_same_site = cookie.pop("sameSite")  # type: ignore[union-attr,call-arg,arg-type]
    shop.api.request("PUT", definition, json.dumps(whole))
    try:
        shop.edit(("weight: 70", "weight: 60"))
        printed = shop.up(fails=True)
        assert "near.crd-version" in printed
        assert "TraefikService shop/store-split: spec.weighted.sticky.cookie.sameSite is not in the installed CRD" in printed
        split = shop.object("TraefikService", "store-split")
        assert [each["weight"] for each in split["spec"]["weighted"]["services"]] == [70, 30]  # type: ignore[index,call-overload]
    finally:
        whole = shop.api.request("GET", definition)
        properties = whole["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]  # type: ignore[index,call-overload]
        cookie = properties["spec"]["properties"]["weighted"]["properties"]["sticky"]["properties"]["cookie"]["properties"]  # type: ignore[index,call-overload]
        cookie["sameSite"] = sticky_same_site  # type: ignore[index,call-overload]
        shop.api.request("PUT", definition, json.dumps(whole))
    shop.edit(("weight: 60", "weight: 70"))


def test_destroy_leaves_nothing_of_ours_and_touches_nothing_else(shop: ClusterProject) -> None:
    theirs = shop.object("Service", "somebodys", "v1"), shop.object("Middleware", "somebodys")
    shop.pulumi("destroy", "--yes", "--skip-preview")
    assert shop.everything() == {
        "IngressRoute": [], "TraefikService": [], "Middleware": ["somebodys"], "Service": ["somebodys"], "Secret": [],
    }  # fmt: skip
    assert (shop.object("Service", "somebodys", "v1"), shop.object("Middleware", "somebodys")) == theirs
    assert shop.processes() == []
