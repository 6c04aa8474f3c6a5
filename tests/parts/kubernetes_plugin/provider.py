"""A stand-in for `pulumi-resource-kubernetes`, which no package registry has: the engine of an ordinary user downloads it.

It does what pulumi-kubernetes 4 does with server-side apply, as far as the tests of this project go: every kind by its token, `*Patch` too,
dry runs in a preview, field managers and conflicts, strict fields, adoption (`upsertExistingObjects`), drift after a refresh, secrets. It
knows nothing of waiting for rollouts, of names of its own making, of Helm and of other plugins' functions. It steps aside for the real
one (`plugin_folder`), and is no part of the product.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import grpc.aio
import pulumi
from pulumi.provider.experimental import provider as messages
from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime.proto import provider_pb2_grpc
from pydantic import JsonValue

from pinfeather.deploy.cluster import Cluster, ClusterError, ConflictError, Object
from pinfeather.deploy.contract import RefusedError
from pinfeather.deploy.provider import PlainErrors

VERSION = "4.34.2"
UNKNOWN = pulumi.runtime.rpc.UNKNOWN
HIDDEN = ("data", "stringData")
MANAGER = "__fieldManager"
_PARENT_PAUSE = 0.5  # seconds between two looks at whether the engine still lives
Properties = dict[str, PropertyValue]
T = TypeVar("T")


class Api(Cluster):
    """The connection of the product, which only reads, and what changes things beside it."""

    def apply(self, tree: Object, manager: str, *, force: bool, dry: bool, strict: bool = True) -> Object | None:
        """None where the namespace is not there, or the object is deleted meanwhile."""
        query = {"fieldManager": manager, "force": str(force).lower(), "fieldValidation": "Strict" if strict else "Warn"}
        return self._found("PATCH", self._of(tree), {**query, **({"dryRun": "All"} if dry else {})}, tree)

    def there(self, tree: Object) -> Object | None:
        return self._found("GET", self._of(tree))

    def delete(self, tree: Object) -> None:
        self._found("DELETE", self._of(tree))

    def _of(self, tree: Object) -> str:
        name, namespace = _identity(tree)
        return self.path(str(tree["apiVersion"]), str(tree["kind"]), namespace, name)


class StandIn(messages.Provider):
    """The plugin. Every operation of a resource runs in a thread: it waits for the API server."""

    api: Api
    namespace: str
    upsert: bool
    force: bool

    async def check_config(self, request: messages.CheckRequest) -> messages.CheckResponse:
        return messages.CheckResponse(inputs=request.new_inputs, failures=[])

    async def diff_config(self, request: messages.DiffRequest) -> messages.DiffResponse:
        changed = [
            key for key, value in request.new_inputs.items() if _plain(value) != _plain(request.old_state.get(key, PropertyValue(None)))
        ]
        # pulumi 3.259 hands this on as the number of an enumeration, in which 1 is "none" and 2 is "some".
        return messages.DiffResponse(changes=2 if changed else 1, diffs=changed)  # type: ignore[arg-type]

    async def configure(self, request: messages.ConfigureRequest) -> messages.ConfigureResponse:
        given = {key: _plain(value) for key, value in request.args.items()}
        kubeconfig, context = given.get("kubeconfig"), given.get("context")
        try:
            self.api = Api.of(Path(str(kubeconfig)) if kubeconfig else None, str(context) if context else None)
        except ClusterError as problem:
            raise RefusedError(f"configured Kubernetes cluster is unreachable: {problem}") from None
        self.namespace = str(given.get("namespace") or self.api.namespace)
        self.upsert, self.force = (str(given.get(key)).lower() == "true" for key in ("upsertExistingObjects", "enablePatchForce"))
        return messages.ConfigureResponse(accept_secrets=True, supports_preview=True)

    async def check(self, request: messages.CheckRequest) -> messages.CheckResponse:
        inputs = dict(request.new_inputs)
        tree = _tree(inputs)
        metadata = tree.get("metadata")
        if not isinstance(metadata, dict) or not metadata.get("name"):
            failure = messages.CheckFailure("metadata.name", "the stand-in makes no names: say one")
            return messages.CheckResponse(inputs=inputs, failures=[failure])
        if not metadata.get("namespace") and await asyncio.to_thread(self._namespaced, tree):
            held = inputs["metadata"].value
            assert isinstance(held, Mapping)
            inputs["metadata"] = PropertyValue({**held, "namespace": PropertyValue(self.namespace)})
        return messages.CheckResponse(inputs=inputs, failures=[])

    async def diff(self, request: messages.DiffRequest) -> messages.DiffResponse:
        old, new = _tree(request.old_state), _tree(request.new_inputs)
        changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        moved = (old["kind"], _identity(old)) != (new["kind"], _identity(new)) or _group(old) != _group(new)
        replaces = ["metadata"] if moved else []
        detailed = {key: messages.PropertyDiff(_kind(key, old, new, moved), input_diff=True) for key in changed}
        same_name = moved and _identity(old) == _identity(new)
        return messages.DiffResponse(
            changes=bool(changed), replaces=replaces, diffs=changed, detailed_diff=detailed, delete_before_replace=same_name
        )

    async def create(self, request: messages.CreateRequest) -> messages.CreateResponse:
        tree = _tree(request.properties)
        manager = _manager(tree) or f"pulumi-kubernetes-{os.urandom(4).hex()}"
        await asyncio.to_thread(self._apply, request.urn, tree, manager, request.preview, True)
        name, namespace = _identity(tree)
        return messages.CreateResponse(f"{namespace}/{name}" if namespace else name, _state(request.properties, tree, manager))

    async def update(self, request: messages.UpdateRequest) -> messages.UpdateResponse:
        tree = _tree(request.news)
        manager = _manager(tree) or str(_plain(request.olds[MANAGER]))
        await asyncio.to_thread(self._apply, request.urn, tree, manager, request.preview, False)
        return messages.UpdateResponse(_state(request.news, tree, manager))

    async def read(self, request: messages.ReadRequest) -> messages.ReadResponse:
        tree = _tree(request.inputs or request.properties)
        live = await asyncio.to_thread(_calmly, lambda: self.api.there(tree))
        if live is None:
            return messages.ReadResponse("")
        secret = tree["kind"] == "Secret"  # what the server holds of it is in another form
        now = {key: value if secret and key in HIDDEN else _named(live.get(key), value) for key, value in tree.items()}
        inputs = {key: PropertyValue(_property(value).value, _hidden(request.inputs.get(key))) for key, value in now.items()}
        return messages.ReadResponse(request.resource_id, _state(inputs, now, str(_plain(request.properties[MANAGER]))), inputs)

    async def delete(self, request: messages.DeleteRequest) -> None:
        tree = _tree(request.properties)
        manager = str(_plain(request.properties[MANAGER]))

        def go() -> None:
            if _is_patch(request.urn):
                name, namespace = _identity(tree)
                bare: Object = {**{key: tree[key] for key in ("apiVersion", "kind")}, "metadata": {"name": name, "namespace": namespace}}
                if self.api.there(tree) is not None:
                    self.api.apply(bare, manager, force=True, dry=False)
            else:
                self.api.delete(tree)

        await asyncio.to_thread(_calmly, go)

    def _namespaced(self, tree: Object) -> bool:
        found = _calmly(lambda: self.api.kind(str(tree["apiVersion"]), str(tree["kind"])))
        return found is None or found.namespaced

    def _apply(self, urn: str, tree: Object, manager: str, preview: bool, new: bool) -> None:
        called, patch = " ".join(map(str, (tree["kind"], "/".join(filter(None, reversed(_identity(tree))))))), _is_patch(urn)

        def go() -> None:
            if preview and (UNKNOWN in str(tree) or self.api.kind(str(tree["apiVersion"]), str(tree["kind"])) is None):
                return
            there = self.api.there(tree)
            if patch and there is None:
                raise RefusedError(f"{called}: a patch needs an object that is there")
            if new and not patch and there is not None and not self.upsert:
                raise RefusedError(f"{called} exists already: set upsertExistingObjects to adopt it")
            annotated = _annotation(tree, "pulumi.com/patchForce")
            force = self.force if annotated is None else annotated == "true"
            try:
                applied = self.api.apply(tree, manager, force=force, dry=preview)
            except ConflictError as problem:
                raise RefusedError(
                    "Server-Side Apply field conflict detected. See https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/"
                    f'managing-resources-with-server-side-apply/ for troubleshooting help: The resource managed by field manager "{manager}" '
                    f"had an apply conflict: {problem}"
                ) from None
            if applied is None and not preview:
                raise RefusedError(f"{called}: there is no such namespace")

        _calmly(go)


def _calmly(ask: Callable[[], T]) -> T:
    """What the cluster says against it, as the engine shows it."""
    try:
        return ask()
    except ClusterError as problem:
        raise RefusedError(str(problem)) from None


def _plain(wrapped: PropertyValue) -> JsonValue:
    value = wrapped.value
    if isinstance(value, Computed):
        return UNKNOWN
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (pulumi.Asset, pulumi.Archive)):
        raise RefusedError("an object holds no files")
    assert isinstance(value, Sequence), f"not plain data: {value!r}"
    return [_plain(each) for each in value if isinstance(each, PropertyValue)]


def _property(value: JsonValue) -> PropertyValue:
    if isinstance(value, dict):
        return PropertyValue({key: _property(each) for key, each in value.items()})
    if isinstance(value, list):
        return PropertyValue([_property(each) for each in value])
    return PropertyValue(float(value) if isinstance(value, int) and not isinstance(value, bool) else value)


def _tree(properties: Mapping[str, PropertyValue]) -> Object:
    return {key: _plain(value) for key, value in properties.items() if not key.startswith("__") and value.value is not None}


def _state(inputs: Mapping[str, PropertyValue], tree: Object, manager: str) -> Properties:
    """What the engine keeps: the inputs as they came, secrets marked, and who applied them."""
    secret = tree["kind"] == "Secret"
    shown = {key: PropertyValue(value.value, True) if secret and key in HIDDEN else value for key, value in inputs.items()}
    return {**shown, MANAGER: PropertyValue(manager)}


def _hidden(value: PropertyValue | None) -> bool:
    """Whether anything in it is secret."""
    if value is None:
        return False
    if value.is_secret:
        return True
    held = value.value
    if isinstance(held, Mapping):
        return any(map(_hidden, held.values()))
    return isinstance(held, Sequence) and not isinstance(held, str) and any(map(_hidden, held))


def _named(live: JsonValue, wanted: JsonValue) -> JsonValue:
    """The live value, in as far as the inputs name it; what others added is theirs."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        return {key: _named(live[key], each) for key, each in wanted.items() if key in live}
    if isinstance(wanted, list) and isinstance(live, list) and len(wanted) == len(live):
        return [_named(before, after) for before, after in zip(live, wanted, strict=True)]
    return live


def _identity(tree: Object) -> tuple[str, str | None]:
    metadata = tree["metadata"]
    assert isinstance(metadata, dict)
    namespace = metadata.get("namespace")
    return str(metadata["name"]), None if namespace is None else str(namespace)


def _group(tree: Object) -> str:
    return str(tree["apiVersion"]).rpartition("/")[0]


def _annotation(tree: Object, name: str) -> str | None:
    metadata = tree["metadata"]
    assert isinstance(metadata, dict)
    annotations = metadata.get("annotations")
    found = annotations.get(name) if isinstance(annotations, dict) else None
    return None if found is None else str(found)


def _manager(tree: Object) -> str | None:
    return _annotation(tree, "pulumi.com/patchFieldManager")


def _is_patch(urn: str) -> bool:
    return urn.split("::")[2].endswith("Patch")


def _kind(key: str, old: Object, new: Object, moved: bool) -> messages.PropertyDiffKind:
    if moved and key == "metadata":
        return messages.PropertyDiffKind.UPDATE_REPLACE
    if key not in old:
        return messages.PropertyDiffKind.ADD
    return messages.PropertyDiffKind.UPDATE if key in new else messages.PropertyDiffKind.DELETE


async def _serve(arguments: list[str]) -> None:
    engine = next(each for each in arguments if not each.startswith("-"))
    parent = os.getppid()
    sizes = [(f"grpc.max_{way}_message_length", 1 << 28) for way in ("receive", "send")]
    server = grpc.aio.server(interceptors=[PlainErrors()], options=sizes)
    servicer = ProviderServicer(arguments, VERSION, StandIn(), engine)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    while os.getppid() == parent:  # noqa: ASYNC110 - nobody tells a process that its parent has died
        await asyncio.sleep(_PARENT_PAUSE)
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
