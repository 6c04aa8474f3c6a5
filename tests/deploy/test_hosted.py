"""Components for programs of other languages, and the template for `pulumi new`, on the real engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from pinfeather.deploy.hosted import Host

if TYPE_CHECKING:
    from conftest import Project

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "pinfeather" / "deploy" / "plugin"
REMOTE = """
import json
from pathlib import Path
import pulumi

class Routes(pulumi.ComponentResource):
    def __init__(self, name, props):
        super().__init__("pinfeather-components:index:Routes", name, {**props, "objects": None, "paths": None}, None, True)

props = json.loads((Path.cwd() / "want.json").read_text())["props"]
pulumi.export("objects", Routes("shop", props).objects)
"""
DOCUMENT = """
pinfeather: v1
routes: [{name: shop, hosts: [shop.example.com], to: shop}]
services: {shop: {servers: [{url: "http://10.0.0.1:80"}]}}
"""


def test_the_schema_says_what_each_component_takes() -> None:
    schema = json.loads(Host().schema or "")
    made = {token.rpartition(":")[2]: resource for token, resource in schema["resources"].items()}
    assert {name: sorted(each["inputProperties"]) for name, each in made.items()} == {
        "Routes": ["allow", "bind", "document", "folder", "format", "manager", "namespace", "options", "policy"],
        "Traefik": ["manager", "settings"],
        "ReferenceProxy": ["document", "manager", "settings"],
    }
    assert all(each["isComponent"] for each in made.values())


def test_a_program_of_another_language_uses_a_component(project: Project) -> None:
    """It registers the component as remote, as every language's SDK does; the plugin makes it."""
    configuration = yaml.safe_load((project.folder / "Pulumi.yaml").read_text())
    configuration["plugins"]["providers"].append({"name": "pinfeather-components", "path": str(PLUGIN)})
    (project.folder / "Pulumi.yaml").write_text(json.dumps(configuration))
    (project.folder / "__main__.py").write_text(REMOTE)
    folder = project.folder / "out"
    project.want = {"props": {"document": DOCUMENT, "format": "traefik-file", "folder": str(folder)}}
    project.up()
    assert "shop.example.com" in (folder / "pinfeather.yml").read_text()
    project.up("--expect-no-changes")
    assert json.loads(project.pulumi("stack", "output", "--json")) == {"objects": ["file pinfeather.yml"]}
    project.want = {"props": {"document": DOCUMENT.replace("to: shop}", "to: shopp}"), "format": "traefik-file", "folder": str(folder)}}
    printed = project.up(fails=True)
    assert "there is no service 'shopp'" in printed
    assert "/pinfeather/deploy/" not in printed  # the SDK of the program shows where it stood; none of it is ours
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert not folder.exists()


def test_the_template(project: Project, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    command = [
        "pulumi",
        "new",
        str(ROOT / "templates" / "pinfeather-python"),
        "--generate-only",
        "--yes",
        "--name",
        "routes",
        "--non-interactive",
    ]
    done = subprocess.run(command, cwd=made, env=project.environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert os.access(made / "plugin" / "pulumi-resource-pinfeather", os.X_OK)
    (made / ".venv").symlink_to(ROOT / ".venv")  # what `pulumi install` would make of requirements.txt
    project.folder = made
    project.pulumi("stack", "init", "try")
    for key, value in (("format", "traefik-file"), ("folder", "out"), ("namespace", "default")):
        project.pulumi("config", "set", key, value)
    project.up()
    assert "shop.example.com" in (made / "out" / "pinfeather.yml").read_text()
    project.pulumi("destroy", "--yes", "--skip-preview")
    shutil.rmtree(made)
