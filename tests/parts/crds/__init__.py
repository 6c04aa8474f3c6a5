"""CustomResourceDefinitions with a strict structural schema: what is not named in them is refused, never dropped in silence.

The files beside this one hold them in a short form. A leaf is a type; `name!` must be there, `{'*': type}` is a map, `[type]` a list,
`$Name` one of the file's definitions, `enum a b` one of these, `integer 0..9` a range, and `any` is not looked into.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias, TypedDict

import yaml

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class Form(TypedDict):
    """A file of the short form."""

    groups: list[str]
    definitions: dict[str, Json]
    kinds: dict[str, Json]
    """By kind, plural and version; the first version of a kind is the one that is stored."""


TYPES: Mapping[str, dict[str, Json]] = {
    **{name: {"type": name} for name in ("string", "boolean", "integer", "number")},
    "int-or-string": {"x-kubernetes-int-or-string": True},
    "duration": {"x-kubernetes-int-or-string": True, "pattern": "^([0-9]+(ns|us|µs|ms|s|m|h)?)+$"},
    "status": {"type": "string", "pattern": "^([1-5][0-9]{2}[,-]?)+$"},
    "any": {"x-kubernetes-preserve-unknown-fields": True},
}
RANGE = re.compile(r"integer (-?\d*)\.\.(\d*)")


def definitions(name: str) -> list[dict[str, Json]]:
    """The CustomResourceDefinition objects of `traefik` or `voyager`."""
    form = _form(name)
    found: dict[tuple[str, str], list[tuple[str, Json]]] = {}
    for key, spec in form["kinds"].items():
        kind, plural, version = key.split()
        found.setdefault((kind, plural), []).append((version, _schema(spec, form["definitions"])))
    return [_definition(group, kind, plural, versions) for group in form["groups"] for (kind, plural), versions in found.items()]


def kinds(name: str) -> list[tuple[str, str]]:
    """The `apiVersion` and `kind` of what `traefik` or `voyager` defines, each once, in the version that is stored."""
    form = _form(name)
    stored: dict[str, str] = {}
    for key in form["kinds"]:
        kind, _, version = key.split()
        stored.setdefault(kind, version)
    return [(f"{group}/{version}", kind) for group in form["groups"] for kind, version in stored.items()]


def _definition(group: str, kind: str, plural: str, versions: list[tuple[str, Json]]) -> dict[str, Json]:
    served: list[Json] = [
        {
            "name": version,
            "served": True,
            "storage": index == 0,
            "schema": {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": {**_HEAD, "spec": spec}}},
        }
        for index, (version, spec) in enumerate(versions)
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": {"kind": kind, "plural": plural}, "scope": "Namespaced", "versions": served},
    }


_HEAD: dict[str, Json] = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}


def _form(name: str) -> Form:
    form: Form = yaml.safe_load((Path(__file__).parent / f"{name}.yaml").read_text("utf-8"))
    return form


def _schema(form: Json, named: Mapping[str, Json]) -> dict[str, Json]:
    if isinstance(form, list):
        return {"type": "array", "items": _schema(form[0], named)}
    if isinstance(form, dict):
        if "*" in form:
            return {"type": "object", "additionalProperties": _schema(form["*"], named)}
        made: dict[str, Json] = {"type": "object", "properties": {key.removesuffix("!"): _schema(one, named) for key, one in form.items()}}
        if required := [key.removesuffix("!") for key in form if key.endswith("!")]:
            made["required"] = list[Json](required)
        return made
    assert isinstance(form, str)
    if form.startswith("$"):
        return _schema(named[form.removeprefix("$")], named)
    if form.startswith("enum "):
        return {"type": "string", "enum": list[Json](form.split()[1:])}
    if limits := RANGE.fullmatch(form):
        ends = {"minimum": limits[1], "maximum": limits[2]}
        return {"type": "integer", **{end: int(number) for end, number in ends.items() if number}}
    return TYPES[form]
