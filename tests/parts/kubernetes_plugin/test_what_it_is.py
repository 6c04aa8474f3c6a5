"""What the stand-in is made of: where it is found, and what it says of trees alone."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import JsonValue

from tests.parts.kubernetes_plugin import FOLDER, PLUGIN, plugin_folder
from tests.parts.kubernetes_plugin.asking import GROUP
from tests.parts.kubernetes_plugin.trees import changes, is_patch, seen


def test_it_steps_aside_for_the_real_one(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "bin"
    assert plugin_folder({"PATH": "/nowhere", "PULUMI_HOME": str(home)}) == FOLDER
    assert plugin_folder({"PATH": f"/nowhere{os.pathsep}{FOLDER}", "PULUMI_HOME": str(home)}) == FOLDER
    folder.mkdir()
    (folder / PLUGIN).touch(0o755)
    assert plugin_folder({"PATH": f"/nowhere{os.pathsep}{folder}", "PULUMI_HOME": str(home)}) is None
    installed = home / "plugins" / "resource-kubernetes-v4.34.2"
    installed.mkdir(parents=True)
    assert plugin_folder({"PATH": "/nowhere", "PULUMI_HOME": str(home)}) == FOLDER  # half a download
    (installed / PLUGIN).touch(0o755)
    assert plugin_folder({"PATH": "/nowhere", "PULUMI_HOME": str(home)}) is None


def test_the_product_holds_nothing_of_it() -> None:
    product = FOLDER.parents[2] / "pinfeather"
    assert [path for path in product.rglob("*.py") if "kubernetes_plugin" in path.read_text("utf-8")] == []
    assert PLUGIN not in (product.parent / "Pulumi.yaml").read_text("utf-8")
    assert "kubernetes" not in [line.split(":")[-1].strip() for line in (product.parent / "Pulumi.yaml").read_text().splitlines()]


def test_a_kind_may_be_called_patch_itself() -> None:
    urn = "urn:pulumi:dev::shop::kubernetes:example.com/v1:Patch::one"
    assert not is_patch(urn, {"kind": "Patch"})
    assert is_patch(urn.replace(":Patch:", ":PatchPatch:"), {"kind": "Patch"})


def test_paths_of_changes() -> None:
    before: JsonValue = {"a": {"b.c/d": "1"}, "l": [1, {"x": 1}], "m": [1], "same": {}}
    after: JsonValue = {"a": {"b.c/d": "2"}, "l": [1, {"x": 2}], "m": [1, 2], "same": {}, "new": None}
    assert [each.written for each in changes(before, after)] == ['a["b.c/d"]', "l[1].x", "m"]


def test_what_is_empty_is_kept_for_the_server_s_own_kinds_only() -> None:
    for version, kept in (("v1", True), ("networking.k8s.io/v1", True), (GROUP, False)):
        wanted: dict[str, JsonValue] = {"apiVersion": version, "kind": "X", "spec": {"a": {}}}
        assert seen({**wanted, "spec": {}}, wanted)["spec"] == ({"a": {}} if kept else {})
