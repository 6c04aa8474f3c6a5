"""What the engine sends, as objects of Kubernetes: values and secrets, what changed, and what the live object says to it. Nobody is asked.

The facts are those of pulumi-kubernetes 4.34 (`provider/pkg/provider/diff.go` and `provider.go`).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pulumi
from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pydantic import JsonValue

from pinfeather.deploy.cluster import Object
from pinfeather.deploy.contract import RefusedError

UNKNOWN = pulumi.runtime.rpc.UNKNOWN
HIDDEN = ("data", "stringData")
MANAGER = "__fieldManager"
AUTONAMED = "pulumi.com/autonamed"
SERVERS = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
"""Of an object's metadata, what the server alone writes."""
REPLACED: Mapping[tuple[str, str], Sequence[tuple[str, ...]]] = {
    ("v1", "Secret"): (("type",), ("data",), ("stringData",)),
    ("v1", "ConfigMap"): (("data",), ("binaryData",)),
    ("v1", "Service"): (("spec", "clusterIP"),),
    ("apps/v1", "Deployment"): (("spec", "selector"),),
    ("apps/v1", "DaemonSet"): (("spec", "selector"),),
    ("apps/v1", "StatefulSet"): (("spec", "selector"), ("spec", "serviceName"), ("spec", "volumeClaimTemplates")),
    ("batch/v1", "Job"): (("spec", "completions"), ("spec", "parallelism"), ("spec", "selector"), ("spec", "template")),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): (("roleRef",),),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): (("roleRef",),),
}
"""The fields whose change replaces the object, beside its name and namespace. Patches only have those two."""
MUTABLE = {"Secret": "enableSecretMutable", "ConfigMap": "enableConfigMapMutable"}
"""The provider's input without which a change of the kind's data replaces the object."""
_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*")
Properties = dict[str, PropertyValue]
Path = tuple[str | int, ...]


class Change(NamedTuple):
    """One difference. `before` or `after` is None where the field is not there."""

    path: Path
    before: JsonValue
    after: JsonValue

    @property
    def written(self) -> str:
        """The path as Pulumi writes it: `metadata.annotations["a.b/c"]`, `spec.routes[0].match`."""
        text = ""
        for step in self.path:
            if isinstance(step, int):
                text += f"[{step}]"
            elif _PLAIN_KEY.fullmatch(step):
                text += f".{step}" if text else step
            else:
                text += f'["{step}"]'
        return text


def plain(wrapped: PropertyValue) -> JsonValue:
    """The value without its marks; what is not known yet is `UNKNOWN`. Raises RefusedError for assets and archives."""
    value = wrapped.value
    if isinstance(value, Computed):
        return UNKNOWN
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items() if each.value is not None}
    if isinstance(value, (pulumi.Asset, pulumi.Archive)):
        raise RefusedError("an object holds no files")
    assert isinstance(value, Sequence), f"not plain data: {value!r}"
    return [plain(each) for each in value if isinstance(each, PropertyValue)]


def wrapped(value: JsonValue, like: PropertyValue | None = None) -> PropertyValue:
    """The value for the engine, secret where `like` is: a map key by key, a list as a whole, since its order may be another."""
    if isinstance(value, dict):
        held = like.value if like is not None and isinstance(like.value, Mapping) else None
        secret = like is not None and (like.is_secret if held is not None else like.contains_secret())
        return PropertyValue({key: wrapped(each, held.get(key) if held is not None else None) for key, each in value.items()}, secret)
    secret = like is not None and like.contains_secret()
    if isinstance(value, list):
        return PropertyValue([wrapped(each) for each in value], secret)
    return PropertyValue(float(value) if isinstance(value, int) and not isinstance(value, bool) else value, secret)


def tree_of(properties: Mapping[str, PropertyValue]) -> Object:
    """The object that inputs or outputs hold."""
    return {key: plain(value) for key, value in properties.items() if not key.startswith("__") and value.value is not None}


def concealed(properties: Mapping[str, PropertyValue]) -> Properties:
    """The same, with what a Secret holds marked, whether or not the program did."""
    kind = properties.get("kind")
    secret = kind is not None and kind.value == "Secret"
    return {key: value.with_secret(True) if secret and key in HIDDEN else value for key, value in properties.items()}


def state_of(inputs: Mapping[str, PropertyValue], manager: str) -> Properties:
    """What the engine keeps: the object that was asked for, or after a refresh the live one in its shape, and who applied it."""
    return {**{key: value for key, value in concealed(inputs).items() if not key.startswith("__")}, MANAGER: PropertyValue(manager)}


def seen(live: Object, wanted: Object) -> Object:
    """The live object, in as far as the inputs name it; what others added is theirs."""
    if wanted["kind"] == "Secret":  # the server keeps `stringData` as `data`
        data = live.get("data")
        texts = data.items() if isinstance(data, dict) else ()
        live = {**live, "stringData": {key: base64.b64decode(str(text)).decode("utf-8", "replace") for key, text in texts}}
    group = group_of(wanted)
    found = _named(live, wanted, typed="." not in group or group.endswith(".k8s.io"))
    assert isinstance(found, dict)
    return found


def _named(live: JsonValue, wanted: JsonValue, typed: bool) -> JsonValue:
    if isinstance(wanted, dict) and isinstance(live, dict):
        # The server leaves out what is empty of its own kinds; custom resources it keeps as they were sent.
        kept = {key: live.get(key, each) for key, each in wanted.items() if key in live or (typed and not each)}
        return {key: _named(each, wanted[key], typed) for key, each in kept.items()}
    if isinstance(wanted, list) and isinstance(live, list) and len(wanted) == len(live):
        return [_named(one, each, typed) for one, each in zip(live, wanted, strict=True)]
    return live


def whole(live: Object) -> Object:
    """Inputs for a live object that no program has named yet."""
    metadata = live["metadata"]
    assert isinstance(metadata, dict)
    annotations = metadata.get("annotations")
    said = {key: each for key, each in (annotations if isinstance(annotations, dict) else {}).items() if "last-applied" not in key}
    own: Object = {key: each for key, each in metadata.items() if key not in (*SERVERS, "annotations")}
    held: Object = {**own, **({"annotations": said} if said else {})}
    return {**{key: each for key, each in live.items() if key != "status"}, "metadata": held}


def changes(before: JsonValue, after: JsonValue, path: Path = ()) -> Iterator[Change]:
    """Every difference, as deep as it goes; a list of another length as a whole."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from changes(before.get(key), after.get(key), (*path, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from changes(one, other, (*path, index))
    elif before != after:
        yield Change(path, before, after)


def replacing(before: Object, after: Object, patch: bool, mutable: Mapping[str, bool]) -> Sequence[tuple[str, ...]]:
    """The fields whose change replaces the object. `mutable` are the provider's inputs of `MUTABLE`."""
    identity = [("metadata", "name"), ("metadata", "namespace"), ("kind",)]
    if group_of(before) != group_of(after):
        identity.append(("apiVersion",))
    kind = str(after["kind"])
    free = kind in MUTABLE and mutable[MUTABLE[kind]] and after.get("immutable") is not True
    return identity if patch or free else [*identity, *REPLACED.get((str(after["apiVersion"]), kind), ())]


def replaces(change: Change, fields: Sequence[tuple[str, ...]]) -> bool:
    return any(all(one == other for one, other in zip(change.path, field, strict=False)) for field in fields)


def identity_of(tree: Object) -> tuple[str, str | None]:
    """The name and the namespace."""
    metadata = tree["metadata"]
    assert isinstance(metadata, dict)
    namespace = metadata.get("namespace")
    return str(metadata.get("name")), None if namespace is None else str(namespace)


def called(tree: Object) -> str:
    """`NAMESPACE/NAME`, or the name of what has no namespace: also the resource's id."""
    name, namespace = identity_of(tree)
    return f"{namespace}/{name}" if namespace else name


def group_of(tree: Object) -> str:
    return str(tree["apiVersion"]).rpartition("/")[0]


def annotation(tree: Object, name: str) -> str | None:
    metadata = tree.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    found = annotations.get(name) if isinstance(annotations, dict) else None
    return None if found is None else str(found)


def token_of(urn: str) -> str:
    """The resource's own type token: before it stand those of the components that hold it."""
    return urn.split("::")[2].rpartition("$")[2]


def is_patch(urn: str, tree: Object) -> bool:
    """Whether the token is that of the kind's patch. There are kinds whose own name ends so."""
    return token_of(urn).rpartition(":")[2] == f"{tree['kind']}Patch"


def bare(urn: str, resource_id: str) -> Object:
    """The object that a token and an id name, and nothing of what is in it."""
    _, api_version, kind = token_of(urn).split(":")
    namespace, _, name = resource_id.rpartition("/")
    metadata: Object = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api_version.removeprefix("core/"), "kind": kind, "metadata": metadata}
