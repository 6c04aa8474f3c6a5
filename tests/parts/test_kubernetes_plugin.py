"""A small program with `pulumi_kubernetes` on the real engine and a real API server: the real plugin where there is one, else the stand-in.

What the stand-in does beyond this is in the tests beside it, over gRPC.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.parts.kubernetes import TOKEN, KubernetesApi
from tests.parts.kubernetes_plugin import name_plugin, plugin_folder
from tests.parts.kubernetes_plugin.asking import GROUP, at, edit_route, hosts, kubeconfig, managers
from tests.required import missing
from tools.running import FailedError
from tools.toolchain import pulumi_environment

ROOT = Path(__file__).resolve().parents[2]
MARKER = "mArKeR-7c1d"
THEIRS = """
apiVersion: v1
kind: Service
metadata: {name: theirs, labels: {team: x}}
spec: {ports: [{name: http, port: 80}]}
"""
PROGRAM = """
import json
from pathlib import Path
import pulumi
import pulumi_kubernetes as k8s

want = json.loads(Path("want.json").read_text())
provider = k8s.Provider("cluster", kubeconfig=want["kubeconfig"], upsert_existing_objects=want["upsert"])
options = pulumi.ResourceOptions(provider=provider)
said = {"pulumi.com/patchFieldManager": "shop", **want["annotations"]}
if want["host"]:
    k8s.apiextensions.CustomResource(
        "route", api_version="traefik.io/v1alpha1", kind="IngressRoute", opts=options, metadata={"name": "shop", "annotations": said},
        spec={"routes": [{"kind": "Rule", "match": f"Host(`{want['host']}`)"}]},
    )
    k8s.core.v1.Service(
        "service", opts=options, metadata={"name": "shop", "annotations": said}, spec={"ports": [{"name": "http", "port": want["port"]}]},
    )
if want["patch"]:
    k8s.core.v1.ServicePatch("patch", opts=options, metadata={"name": "theirs", "annotations": {**said, "patched": want["patch"]}})
if want["users"]:
    k8s.core.v1.Secret("users", opts=options, metadata={"name": "users", "annotations": said}, string_data={"users": want["users"]})
    k8s.core.v1.ConfigMap(
        "sealed", opts=options, metadata={"name": "sealed", "annotations": said}, data={"a": pulumi.Output.secret(want["users"]), "b": "open"},
    )
"""


@dataclass
class Project:
    """A throwaway project with the stack `dev`. `want` is what its program asks for."""

    folder: Path
    environment: Mapping[str, str]
    want: dict[str, object] = field(default_factory=dict)

    def pulumi(self, *arguments: str, fails: bool = False) -> str:
        """Run one command; return what it printed. Fails the test when it ends otherwise than expected."""
        (self.folder / "want.json").write_text(json.dumps(self.want), "utf-8")
        command = ["pulumi", *arguments, "--non-interactive", "--color", "never"]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=240, check=False)
        printed = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, f"{' '.join(command)} ended with {done.returncode}:\n{printed}"
        assert "Traceback" not in printed, printed
        return printed

    def up(self, *arguments: str, fails: bool = False) -> str:
        return self.pulumi("up", "--yes", "--skip-preview", *arguments, fails=fails)

    def destroy(self) -> str:
        return self.pulumi("destroy", "--yes", "--skip-preview")

    def steps(self, *arguments: str) -> dict[str, str]:
        """What a preview would change of ours: name -> operation."""
        printed = self.pulumi("preview", "--json", *arguments)
        preview = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])
        found = {step["urn"].rpartition("::")[2]: step["op"] for step in preview["steps"] if step["op"] not in ("same", "refresh")}
        return {name: operation for name, operation in found.items() if name in {"route", "service", "patch", "users", "sealed"}}


@pytest.fixture
def project(kubernetes: KubernetesApi, tmp_path: Path) -> Project:
    try:
        environment = pulumi_environment(ROOT)
    except FailedError as problem:
        missing(f"the Pulumi engine ({problem})")
    if shutil.which("pulumi", path=environment["PATH"]) is None:
        missing("the Pulumi engine (`make setup` gets it)")
    folder, state = tmp_path / "project", tmp_path / "state"
    folder.mkdir()
    state.mkdir()
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": str(ROOT / ".venv")}}
    (folder / "Pulumi.yaml").write_text(json.dumps({"name": "shop", "runtime": runtime}), "utf-8")
    (folder / "__main__.py").write_text(PROGRAM, "utf-8")
    if (plugin := plugin_folder(environment)) is not None:
        name_plugin(folder / "Pulumi.yaml", plugin)
    config = folder / "kubeconfig"
    config.write_text(kubeconfig(kubernetes), "utf-8")
    own = {"PULUMI_BACKEND_URL": f"file://{state}", "PULUMI_CONFIG_PASSPHRASE": "a test", "KUBECONFIG": str(tmp_path / "none")}
    want: dict[str, object] = {
        "kubeconfig": str(config), "upsert": True, "annotations": {}, "host": "shop.test", "port": 80, "patch": "", "users": "",
    }  # fmt: skip
    made = Project(folder, {**environment, **own}, want)
    made.pulumi("stack", "init", "dev")
    return made


def test_a_life(project: Project, kubernetes: KubernetesApi) -> None:
    kubernetes.apply(THEIRS)
    before = kubernetes.get("v1", "Service", "theirs")
    project.want["patch"] = "yes"
    assert project.steps() == {"route": "create", "service": "create", "patch": "create"}
    assert kubernetes.get("v1", "Service", "theirs") == before
    assert kubernetes.get(GROUP, "IngressRoute", "shop") is None
    assert "warning" not in project.up()
    assert hosts(kubernetes) == "Host(`shop.test`)"
    assert at(kubernetes.get("v1", "Service", "theirs"), "metadata", "annotations", "patched") == "yes"
    project.up("--expect-no-changes", "--refresh")
    project.want |= {"host": "other.test", "patch": "again"}
    assert project.steps() == {"route": "update", "patch": "update"}
    assert hosts(kubernetes) == "Host(`shop.test`)"
    project.up()
    assert hosts(kubernetes) == "Host(`other.test`)"
    kubernetes.delete("v1", "Service", "shop")  # it is gone: its deletion is none
    project.destroy()
    assert kubernetes.get(GROUP, "IngressRoute", "shop") is None
    after = kubernetes.get("v1", "Service", "theirs")
    assert at(after, "metadata", "annotations") is None
    assert [at(after, "metadata", "uid"), at(after, "metadata", "labels"), at(after, "spec")] == [
        at(before, "metadata", "uid"), at(before, "metadata", "labels"), at(before, "spec"),
    ]  # fmt: skip
    assert managers(after) == managers(before)


def test_an_edit_by_hand_is_found_and_put_right_by_force_only(project: Project, kubernetes: KubernetesApi) -> None:
    project.up()
    edit_route(kubernetes, "edited.test")
    project.up("--expect-no-changes")  # nobody has looked
    for words in (("preview", "--refresh"), ("up", "--yes", "--skip-preview", "--refresh")):
        printed = project.pulumi(*words, fails=True)
        assert "Server-Side Apply field conflict detected." in printed
        assert 'The resource managed by field manager "shop" had an apply conflict: ' in printed
        assert f'conflict with "kubectl-edit" using {GROUP}: .spec.routes' in printed
    assert hosts(kubernetes) == "Host(`edited.test`)"
    project.want["annotations"] = {"pulumi.com/patchForce": "true"}
    project.up("--refresh")
    assert hosts(kubernetes) == "Host(`shop.test`)"
    kubernetes.delete(GROUP, "IngressRoute", "shop")
    assert project.steps("--refresh") == {"route": "create"}
    project.up("--refresh")
    project.up("--expect-no-changes", "--refresh")
    assert hosts(kubernetes) == "Host(`shop.test`)"


def test_what_is_there_is_adopted_or_refused(project: Project, kubernetes: KubernetesApi) -> None:
    kubernetes.apply(THEIRS.replace("theirs", "shop"))
    before = kubernetes.get("v1", "Service", "shop")
    project.want |= {"upsert": False, "port": 81}
    assert "already exists" in project.up(fails=True)
    assert kubernetes.get("v1", "Service", "shop") == before
    project.want |= {"upsert": True, "port": 80}
    project.up()
    after = kubernetes.get("v1", "Service", "shop")
    assert at(after, "metadata", "uid") == at(before, "metadata", "uid")
    assert at(after, "metadata", "labels") == {"team": "x"}
    assert managers(after) == {"tests", "shop"}


def test_secrets_are_nowhere_in_the_clear(project: Project, kubernetes: KubernetesApi) -> None:
    project.want |= {"users": f"{MARKER}-one"}
    printed = project.pulumi("preview", "--diff") + project.pulumi("preview", "--json") + project.up("--diff")
    project.want["users"] = f"{MARKER}-two"
    assert project.steps() == {"users": "replace", "sealed": "replace"}
    printed += project.pulumi("preview", "--diff") + project.up("--diff") + project.up("--refresh", "--expect-no-changes")
    printed += project.pulumi("stack", "export")
    state = Path(project.environment["PULUMI_BACKEND_URL"].removeprefix("file://"))
    files = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    assert any(b"IngressRoute" in data for data in files.values())
    for secret in (MARKER, TOKEN):
        assert secret not in printed
        assert [path for path, data in files.items() if secret.encode() in data] == []
    assert at(kubernetes.get("v1", "ConfigMap", "sealed"), "data") == {"a": f"{MARKER}-two", "b": "open"}
    project.destroy()
    assert kubernetes.get("v1", "Secret", "users") is None


def test_a_cluster_that_does_not_answer_stops_the_preview_in_a_sentence(project: Project, kubernetes: KubernetesApi) -> None:
    config = project.folder / "kubeconfig"
    config.write_text(kubeconfig(kubernetes).replace(kubernetes.url, "https://127.0.0.1:9"), "utf-8")
    if plugin_folder(project.environment) is None:
        pytest.skip("the real plugin lets such a preview pass, and warns")
    assert "https://127.0.0.1:9 does not answer: " in project.pulumi("preview", fails=True)


def test_on_path_it_is_found_as_well(project: Project, kubernetes: KubernetesApi) -> None:
    plugin = plugin_folder(project.environment)
    if plugin is None:
        pytest.skip("the real plugin is here")
    settings = json.dumps({"name": "shop", "runtime": {"name": "python", "options": {"virtualenv": str(ROOT / ".venv")}}})
    (project.folder / "Pulumi.yaml").write_text(settings, "utf-8")
    project.environment = {**project.environment, "PATH": f"{plugin}{os.pathsep}{project.environment['PATH']}"}
    printed = project.up()
    assert hosts(kubernetes) == "Host(`shop.test`)"
    warnings = [line for line in printed.splitlines() if "warning: " in line]
    assert warnings
    assert [line for line in warnings if "warning: using pulumi-resource-kubernetes from $PATH" not in line] == []
