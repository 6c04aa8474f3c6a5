"""What can be built with Go from `tools/*/go.mod`, and the folder of the cache that holds each once it has been. Nothing is built here."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.running import FailedError


@dataclass(frozen=True)
class Recipe:
    """Go modules with `tool` lines that are built into one folder."""

    name: str
    modules: tuple[str, ...]
    """Their folders, each with a go.mod and a go.sum of its own, so that versions do not pull on each other."""
    pin: str
    """The Go module whose version is that of the whole; the first of `modules` requires it."""
    stamps: tuple[str, ...]
    """Variables that the linker sets: without them the programs do not know their own version."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """A program by Go's name for it, and by its own."""


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "pulumi",
            ("tools/pulumi", "tools/language-host"),
            "github.com/pulumi/pulumi/pkg/v3",
            ("github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{version}",),  # else the Automation API cannot read it
        ),
        Recipe(
            "kubernetes",
            ("tools/kubernetes",),
            "k8s.io/kubernetes",
            tuple(
                f"k8s.io/component-base/version.{variable}"
                for variable in ("gitVersion=v{version}", "gitMajor={major}", "gitMinor={minor}")
            ),
            {"server": "etcd"},
        ),
        Recipe("helm", ("tools/helm",), "helm.sh/helm/v4", ("helm.sh/helm/v4/internal/version.version=v{version}",)),
        Recipe(
            "traefik-v2",
            ("tools/traefik-v2",),
            "github.com/traefik/traefik/v2",
            ("github.com/traefik/traefik/v2/pkg/version.Version={version}",),
        ),
    )
}


def cache(environment: Mapping[str, str]) -> Path:
    """`$XDG_CACHE_HOME/pinfeather`, by default under `~/.cache` (on macOS as well)."""
    base = environment.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "pinfeather"


def cached_home(root: Path, recipe: Recipe, environment: Mapping[str, str]) -> Path:
    """The cache's folder for what the recipe makes on this kind of machine. It gets there by one rename: if it is there, it is whole."""
    texts = [(root / module / name).read_bytes() for module in recipe.modules for name in ("go.mod", "go.sum")]
    return folder_for(recipe.name, texts, environment)


def folder_for(name: str, texts: list[bytes], environment: Mapping[str, str]) -> Path:
    """The cache's folder for what is made from these texts on this kind of machine; a home may be shared by several kinds."""
    made = hashlib.sha256(f"{sys.platform} {platform.machine()}".encode())
    for text in texts:
        made.update(text)
    return cache(environment) / f"{name}-{made.hexdigest()[:16]}"


def pinned_version(root: Path, recipe: Recipe) -> str:
    """The version that the recipe's go.mod asks for, as `3.259.0`."""
    found = re.search(rf"\b{re.escape(recipe.pin)} v(\S+)", _go_mod(root, recipe.modules[0]))
    if found is None:
        raise FailedError(f"{recipe.modules[0]}/go.mod does not name {recipe.pin}")
    return found[1]


def stamp(root: Path, recipe: Recipe) -> str:
    """The linker's arguments for the recipe's `stamps`."""
    version = pinned_version(root, recipe)
    major, minor, *_ = version.split(".")
    return " ".join(f"-X {each.format(version=version, major=major, minor=minor)}" for each in recipe.stamps)


def go_needed(root: Path, recipe: Recipe) -> str:
    """The newest of the `go` lines, as `1.26.0`."""
    return max((_go_line(root, module) for module in recipe.modules), key=lambda version: tuple(map(int, version.split("."))))


def _go_line(root: Path, module: str) -> str:
    found = re.search(r"^go (\S+)$", _go_mod(root, module), re.MULTILINE)
    if found is None:
        raise FailedError(f"{module}/go.mod has no `go` line")
    return found[1]


def _go_mod(root: Path, module: str) -> str:
    return (root / module / "go.mod").read_text("utf-8")
