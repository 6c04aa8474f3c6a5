"""Objects of Kubernetes as Pulumi resources: each by `pulumi_kubernetes`, server-side applied, under a name that stays.

A kind that `pulumi_kubernetes` has a class for is made by it; every other by the same provider, as a custom resource. So an object of a
format that nobody here has heard of is deployed like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Any

import pulumi
from pydantic import JsonValue

from pinfeather.deploy.translation import Tree, called, slug

MANAGER = "pulumi.com/patchFieldManager"
"""The annotation that says under which name the API server keeps what is applied: one that outlives a run that was cut off.

Read by pulumi-kubernetes 4 in server-side apply; without it each object gets a random one, which only the state knows."""
SKIP_AWAIT = "pulumi.com/skipAwait"
FORCE = "pulumi.com/patchForce"
_HIDDEN = ("data", "stringData")
_KEY = re.compile(r"(?<=[a-z0-9])([A-Z])")
_HUMP = re.compile(r"_([a-z])")
_PACKAGES = {"v1": "core.v1"}
"""Of API groups, where the package's module is not called after the group's first word."""


def make_objects(
    owner: str,
    trees: Sequence[Tree],
    manager: str,
    options: Callable[[list[pulumi.Resource]], pulumi.ResourceOptions],
    hides: Callable[[str], bool],
    *,
    patch: bool = False,
    force: bool = False,
) -> dict[str, pulumi.Resource]:
    """One resource for each object, or for each patch. An object waits for those before it that it names.

    `force`: what others changed in these objects is put back; who says so has asked the cluster before (`preflight.py`).
    `options` makes a resource's options from those that it waits for, `hides` tells what is secret. Returns them by `KIND NAMESPACE/NAME`.
    """
    made: dict[str, pulumi.Resource] = {}
    by_name: dict[str, list[pulumi.Resource]] = {}
    for tree in trees:
        metadata = tree["metadata"]
        assert isinstance(metadata, dict)
        waits = [one for text in dict.fromkeys(_texts(tree)) for one in by_name.get(text, ())]
        name = f"{owner}-{'patch-' if patch else ''}{slug(tree)}"
        kind = _class(str(tree["apiVersion"]), f"{tree['kind']}{'Patch' if patch else ''}")
        made[called(tree)] = one = kind(
            name, opts=options(waits), **_arguments(tree, {MANAGER: manager, **({FORCE: "true"} if force else {})}, hides)
        )
        by_name.setdefault(str(metadata["name"]), []).append(one)
    return made


@cache
def _class(api_version: str, kind: str) -> Callable[..., pulumi.CustomResource]:
    """The class of `pulumi_kubernetes` for a kind, or what makes a custom resource of that provider."""
    group, _, revision = api_version.partition("/")
    module = _PACKAGES.get(api_version, f"{group.partition('.')[0]}.{revision}")
    if api_version in _PACKAGES or group.endswith(".k8s.io") or "." not in group:
        try:
            found: Callable[..., pulumi.CustomResource] | None = getattr(import_module(f"pulumi_kubernetes.{module}"), kind, None)
        except ModuleNotFoundError:
            found = None
        if found is not None:
            return found
    return _custom(f"kubernetes:{api_version}:{kind}")


def _custom(token: str) -> Callable[..., pulumi.CustomResource]:
    # `pulumi_kubernetes.apiextensions.CustomResource` takes `spec` alone; there are kinds with other fields beside it.
    def made(name: str, opts: pulumi.ResourceOptions, **fields: Any) -> pulumi.CustomResource:
        own = pulumi.ResourceOptions(version=_version())
        props = {_HUMP.sub(lambda found: found[1].upper(), key): value for key, value in fields.items()}
        return pulumi.CustomResource(token, name, props, pulumi.ResourceOptions.merge(own, opts))

    return made


@cache
def _version() -> str:
    """Of `pulumi_kubernetes`. To look it up takes as long as to make a resource."""
    return version("pulumi-kubernetes")


def _arguments(tree: Tree, added: Mapping[str, str], hides: Callable[[str], bool]) -> dict[str, Any]:
    """An object's fields as the arguments of its class, what is secret in them marked."""
    metadata = tree["metadata"]
    assert isinstance(metadata, dict)
    annotations = metadata.get("annotations")
    held = {**(annotations if isinstance(annotations, dict) else {}), **added}
    if tree["kind"] == "Ingress":  # else it is waited for until somebody writes an address into it, and not everybody does
        held[SKIP_AWAIT] = "true"
    fields = {**tree, "metadata": {**metadata, "annotations": held}}
    secret = tree["kind"] == "Secret"
    return {
        _KEY.sub(r"_\1", key).lower(): pulumi.Output.secret(value) if secret and key in _HIDDEN else hidden(value, hides)
        for key, value in fields.items()
    }


def hidden(value: JsonValue, hides: Callable[[str], bool]) -> Any:
    """A tree in which every text that holds a secret is one."""
    if isinstance(value, str):
        return pulumi.Output.secret(value) if hides(value) else value
    if isinstance(value, Mapping):
        return {key: hidden(each, hides) for key, each in value.items()}
    return [hidden(each, hides) for each in value] if isinstance(value, list) else value


def _texts(tree: JsonValue) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for each in tree.values():
            yield from _texts(each)
    elif isinstance(tree, list):
        for each in tree:
            yield from _texts(each)
