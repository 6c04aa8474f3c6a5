"""The way into manifests, for their tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from pinfeather.deploy.manifests.common import Tree
from pinfeather.deploy.manifests.reference_proxy import ReferenceProxySettings

POINTS = {"web": 80, "websecure": 443}
PROXY = ReferenceProxySettings(namespace="proxies", entry_points=POINTS, image="registry.example/pinfeather-proxy:0.1.0")


def branch(tree: Mapping[str, JsonValue], *path: str) -> Tree:
    """The mapping at a path."""
    found: JsonValue = dict(tree)
    for key in path:
        assert isinstance(found, dict), path
        found = found[key]
    assert isinstance(found, dict), path
    return found


def deployment(trees: Sequence[Tree]) -> Tree:
    """The one Deployment."""
    (found,) = (each for each in trees if each["kind"] == "Deployment")
    return found


def container(trees: Sequence[Tree]) -> Tree:
    """Its one container."""
    containers = branch(deployment(trees), "spec", "template", "spec")["containers"]
    assert isinstance(containers, list)
    (found,) = containers
    assert isinstance(found, dict)
    return found


def words(found: JsonValue) -> list[str]:
    """Arguments, or a command."""
    assert isinstance(found, list)
    return [str(word) for word in found]
