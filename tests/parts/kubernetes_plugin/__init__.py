"""The stand-in for Pulumi's plugin for Kubernetes, and whether it must step aside."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PLUGIN = "pulumi-resource-kubernetes"
FOLDER = Path(__file__).parent


def plugin_folder(environment: Mapping[str, str]) -> Path | None:
    """The folder to put on PATH for the engine; None where the real plugin is on PATH or in PULUMI_HOME."""
    home = Path(environment.get("PULUMI_HOME") or Path.home() / ".pulumi")
    folders = map(Path, environment.get("PATH", os.defpath).split(os.pathsep))
    on_path = [folder / PLUGIN for folder in folders if folder.parts[-3:] != FOLDER.parts[-3:]]  # nor that of another checkout
    installed = home.glob(f"plugins/resource-kubernetes-v*/{PLUGIN}")
    return None if any(each.is_file() for each in (*on_path, *installed)) else FOLDER


def name_plugin(project: Path, folder: Path) -> None:
    """Have the Pulumi.yaml of a throwaway project name the plugin: then the engine finds it without the warning that PATH costs."""
    import yaml

    settings = yaml.safe_load(project.read_text("utf-8"))
    others = [each for each in settings.get("plugins", {}).get("providers", []) if each["name"] != "kubernetes"]
    settings.setdefault("plugins", {})["providers"] = [*others, {"name": "kubernetes", "path": str(folder)}]
    project.write_text(yaml.safe_dump(settings, sort_keys=False), "utf-8")
