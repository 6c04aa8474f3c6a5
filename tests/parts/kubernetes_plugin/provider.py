"""A stand-in for `pulumi-resource-kubernetes`, which no package registry has: the engine of an ordinary user downloads it.

It does what pulumi-kubernetes 4.34 does in server-side apply, as far as the tests of this project go: every kind by its token, and its
`Patch`; dry runs in a preview, where a patch, or what the user may not do, is not tried; field managers and conflicts; adoption
(`upsertExistingObjects`); drift after a refresh; replacement of a Secret whose data changes (without `enableSecretMutable`), of a ConfigMap
and of a few fields more; secrets.

It differs in these: without `upsertExistingObjects` a create is an apply of what is not there, which refuses unknown fields as every apply
does (the real one creates, where they cost a warning); the state holds what the program names and not the whole live object, so that a server
that changes what it is given is noticed at a refresh only; the fields that `kubectl apply` holds are not taken over without force; a CRD is
applied like anything else (the real one puts it); a deletion goes by the kind's default and not in the foreground, which would wait for a
controller; one that is forbidden stays so; another kubeconfig never means another cluster; a cluster that does not answer stops a preview.
It knows nothing of waiting for rollouts and deletions, of Helm, of rendering and of other functions. It steps aside for the real one
(`plugin_folder`), and is no part of the product. What is said of the real one here is from its source; it was never run beside this.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from threading import Event
from typing import Final, TypeVar

import grpc.aio
from pulumi.provider.experimental import provider as messages
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime.proto import provider_pb2_grpc
from typing_extensions import override

from pinfeather.deploy.cluster import ClusterError, ConflictError, Object
from pinfeather.deploy.contract import RefusedError
from pinfeather.deploy.provider import PlainErrors
from tests.parts.kubernetes_plugin.api import Api
from tests.parts.kubernetes_plugin.trees import (
    AUTONAMED,
    MANAGER,
    MUTABLE,
    UNKNOWN,
    Change,
    annotation,
    bare,
    called,
    changes,
    concealed,
    identity_of,
    is_patch,
    plain,
    replaces,
    replacing,
    seen,
    state_of,
    tree_of,
    whole,
    wrapped,
)

SWITCHES: Final = {
    "upsertExistingObjects": "PULUMI_K8S_UPSERT_EXISTING_OBJECTS",
    "enablePatchForce": "PULUMI_K8S_ENABLE_PATCH_FORCE",
    "enableSecretMutable": "PULUMI_K8S_ENABLE_SECRET_MUTABLE",
    "enableConfigMapMutable": "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE",
}
"""The inputs of the provider that are yes or no, and the variable that stands for each where it is left out."""
_GUIDE = (
    "https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/managing-resources-with-server-side-apply/"
    "#handle-field-conflicts-on-existing-resources"
)
_LARGEST_MESSAGE = 1 << 28  # bytes
_PARENT_PAUSE = 0.5  # seconds between two looks at whether the engine still lives
_KINDS = {  # whether it was there, whether it is, whether it replaces the object
    (False, True, False): messages.PropertyDiffKind.ADD,
    (False, True, True): messages.PropertyDiffKind.ADD_REPLACE,
    (True, False, False): messages.PropertyDiffKind.DELETE,
    (True, False, True): messages.PropertyDiffKind.DELETE_REPLACE,
    (True, True, False): messages.PropertyDiffKind.UPDATE,
    (True, True, True): messages.PropertyDiffKind.UPDATE_REPLACE,
}
T = TypeVar("T")


class StandIn(messages.Provider):
    """The plugin. Every operation of a resource runs in a thread: it waits for the API server."""

    api: Api
    namespace: str
    switches: Mapping[str, bool]

    def __init__(self) -> None:
        self._cancelled = Event()

    @override
    async def get_schema(self, request: messages.GetSchemaRequest) -> messages.GetSchemaResponse:
        return messages.GetSchemaResponse("{}")

    @override
    async def diff_config(self, request: messages.DiffRequest) -> messages.DiffResponse:
        old, new = ({key: plain(value) for key, value in each.items()} for each in (request.old_state, request.new_inputs))
        changed = sorted(key for key in {*old, *new} - {"version"} if old.get(key) != new.get(key))
        # pulumi 3.259 hands this on as the number of an enumeration, in which 1 is "none" and 2 is "some".
        return messages.DiffResponse(changes=2 if changed else 1, diffs=changed)  # type: ignore[arg-type]

    @override
    async def configure(self, request: messages.ConfigureRequest) -> messages.ConfigureResponse:
        given = {key: plain(value) for key, value in request.args.items()}
        try:
            self.api = _api(str(given.get("kubeconfig") or ""), str(given.get("context") or ""))
        except ClusterError as problem:
            raise RefusedError(f"configured Kubernetes cluster is unreachable: {problem}") from None
        self.api.prepare(self._cancelled)
        self.namespace = str(given.get("namespace") or self.api.namespace)
        self.switches = {name: str(given.get(name, os.environ.get(variable, ""))).lower() == "true" for name, variable in SWITCHES.items()}
        return messages.ConfigureResponse(accept_secrets=True, supports_preview=True)

    @override
    async def check(self, request: messages.CheckRequest) -> messages.CheckResponse:
        inputs, tree = concealed(request.new_inputs), tree_of(request.new_inputs)
        metadata = inputs.get("metadata", PropertyValue({}))
        if plain(metadata) == UNKNOWN:
            return messages.CheckResponse(inputs=inputs, failures=[])
        held = metadata.value
        assert isinstance(held, Mapping)
        held = {key: each for key, each in held.items() if each.value is not None}
        if not held.get("name", PropertyValue("")).value:
            if is_patch(request.urn, tree):
                failure = messages.CheckFailure("metadata.name", "patch resources require the resource `.metadata.name` to be set")
                return messages.CheckResponse(inputs=inputs, failures=[failure])
            held = _autonamed(request, held)
        if "namespace" not in held and await asyncio.to_thread(self._is_namespaced, tree):
            held = {**held, "namespace": PropertyValue(self.namespace)}
        return messages.CheckResponse(inputs={**inputs, "metadata": PropertyValue(held, metadata.is_secret)}, failures=[])

    @override
    async def diff(self, request: messages.DiffRequest) -> messages.DiffResponse:
        old, new = tree_of(request.old_state), tree_of(request.new_inputs)
        fields = replacing(old, new, is_patch(request.urn, new), {name: self.switches[name] for name in MUTABLE.values()})
        found = [(each, replaces(each, fields)) for each in changes(old, new)]
        replaced = [each.written for each, anew in found if anew]
        return messages.DiffResponse(
            changes=bool(found),
            replaces=replaced,
            diffs=sorted({str(each.path[0]) for each, _ in found}),
            detailed_diff={each.written: messages.PropertyDiff(_kind(each, anew), input_diff=True) for each, anew in found},
            # Two objects of one name cannot be; a name that was made here is made anew.
            delete_before_replace=bool(replaced) and identity_of(old) == identity_of(new) and annotation(new, AUTONAMED) is None,
        )

    @override
    async def create(self, request: messages.CreateRequest) -> messages.CreateResponse:
        tree = tree_of(request.properties)
        manager = _manager(tree) or f"pulumi-kubernetes-{os.urandom(4).hex()}"
        await asyncio.to_thread(_calmly, self._create, request.urn, tree, manager, request.preview)
        return messages.CreateResponse("" if request.preview else called(tree), state_of(request.properties, manager))

    @override
    async def update(self, request: messages.UpdateRequest) -> messages.UpdateResponse:
        tree, before = tree_of(request.news), _stored_manager(request.olds)
        manager = _manager(tree) or before
        await asyncio.to_thread(_calmly, self._update, tree, manager, request.preview)
        if not request.preview and manager != before:
            await asyncio.to_thread(_calmly, self.api.relinquish, tree, before)
        return messages.UpdateResponse(state_of(request.news, manager))

    @override
    async def read(self, request: messages.ReadRequest) -> messages.ReadResponse:
        known = request.inputs or {key: value for key, value in request.properties.items() if not key.startswith("__")}
        tree = tree_of(known) or bare(request.urn, request.resource_id)
        live = await asyncio.to_thread(_calmly, self.api.there, tree)
        if live is None:
            return messages.ReadResponse("")
        now = seen(live, tree) if known else whole(live)
        inputs = concealed({key: wrapped(value, known.get(key)) for key, value in now.items()})
        manager = _stored_manager(request.properties) if MANAGER in request.properties else f"pulumi-kubernetes-{os.urandom(4).hex()}"
        return messages.ReadResponse(request.resource_id, state_of(inputs, manager), inputs)

    @override
    async def delete(self, request: messages.DeleteRequest) -> None:
        tree = tree_of(request.properties)
        if is_patch(request.urn, tree):
            await asyncio.to_thread(_calmly, self._leave, tree, _stored_manager(request.properties))
        else:
            await asyncio.to_thread(_calmly, self.api.delete, tree)

    @override
    async def cancel(self) -> None:
        self._cancelled.set()

    def _is_namespaced(self, tree: Object) -> bool:
        found = _calmly(self.api.kind, str(tree["apiVersion"]), str(tree["kind"]))
        return found is None or found.namespaced

    def _create(self, urn: str, tree: Object, manager: str, preview: bool) -> None:
        patch, forced = is_patch(urn, tree), self._forced(tree)
        if preview and (patch or UNKNOWN in str(tree) or not self.api.serves(tree)):
            return  # as it is: what it will meet is not there yet
        there = None if patch or self.switches["upsertExistingObjects"] else self.api.there(tree)
        if preview and there is not None:
            return  # it may be deleted before: a replacement
        with _told(f"resource {called(tree)} was not successfully created by the Kubernetes API server", manager, preview):
            if there is not None:
                raise ClusterError(f'{tree["kind"]} "{identity_of(tree)[0]}" already exists; upsertExistingObjects adopts it')
            if preview:
                self.api.dry_run(tree, manager, force=True)  # as the real one: a replacement would meet the fields of the one it replaces
            else:
                self.api.apply(tree, manager, force=forced)

    def _update(self, tree: Object, manager: str, preview: bool) -> None:
        if preview and (UNKNOWN in str(tree) or not self.api.serves(tree)):
            return
        with _told(f'the Kubernetes API server reported that "{called(tree)}" failed to fully initialize or become live', manager, preview):
            if self.api.there(tree) is None:
                raise ClusterError(f'{tree["kind"]} "{identity_of(tree)[0]}" not found: it was deleted by somebody else, `pulumi refresh`')
            if preview:
                self.api.dry_run(tree, manager, force=self._forced(tree))
            else:
                self.api.apply(tree, manager, force=self._forced(tree))

    def _leave(self, tree: Object, manager: str) -> None:
        try:
            self.api.relinquish(tree, manager)
        except ClusterError as problem:
            if problem.status != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
            raise RefusedError(
                "this Patch resource is currently managing a required field, so it can't be deleted directly. Either set the "
                f"`retainOnDelete` resource option, or transfer ownership of the field before deleting: {problem}"
            ) from None

    def _forced(self, tree: Object) -> bool:
        said = annotation(tree, "pulumi.com/patchForce")
        return self.switches["enablePatchForce"] if said is None else said == "true"


@contextmanager
def _told(what: str, manager: str, preview: bool) -> Iterator[None]:
    """What the API server says against it, told as the real plugin tells it; what the user may not do is let pass in a preview."""
    try:
        yield
    except ConflictError as problem:
        raise RefusedError(
            f"{what}: Server-Side Apply field conflict detected. See {_GUIDE} for troubleshooting help.\n"
            f'The resource managed by field manager "{manager}" had an apply conflict: {problem}'
        ) from None
    except ClusterError as problem:
        if not preview or problem.status != HTTPStatus.FORBIDDEN:
            raise RefusedError(f"{what}: {problem}") from None


def _api(kubeconfig: str, context: str) -> Api:
    """`kubeconfig` is a path, or the contents, or nothing. Raises ClusterError."""
    if "\n" not in kubeconfig and not kubeconfig.lstrip().startswith("{"):
        return Api.of(Path(kubeconfig).expanduser() if kubeconfig else None, context or None)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:  # made for this user alone
        file.write(kubeconfig)
        file.flush()
        return Api.of(Path(file.name), context or None)


def _calmly(ask: Callable[..., T], *arguments: object) -> T:
    """What the cluster says against it, as the engine shows it."""
    try:
        return ask(*arguments)
    except ClusterError as problem:
        raise RefusedError(str(problem)) from None


def _autonamed(request: messages.CheckRequest, metadata: Mapping[str, PropertyValue]) -> dict[str, PropertyValue]:
    """A name made from the resource's; the one that was made before, where there is one."""
    before = tree_of(request.old_inputs)
    if annotation(before, AUTONAMED) is not None:
        name = identity_of(before)[0]
    else:
        name = f"{request.name.lower()}-{(request.random_seed or os.urandom(4))[:4].hex()}"
    said = metadata.get("annotations", PropertyValue({})).value
    marked = PropertyValue({**(said if isinstance(said, Mapping) else {}), AUTONAMED: PropertyValue("true")})
    return {**metadata, "name": PropertyValue(name), "annotations": marked}


def _manager(tree: Object) -> str | None:
    return annotation(tree, "pulumi.com/patchFieldManager")


def _stored_manager(state: Mapping[str, PropertyValue]) -> str:
    return str(plain(state[MANAGER]))


def _kind(change: Change, anew: bool) -> messages.PropertyDiffKind:
    return _KINDS[change.before is not None, change.after is not None, anew]


async def _serve(arguments: list[str]) -> None:
    engine = next(each for each in arguments if not each.startswith("-"))
    parent = os.getppid()
    sizes = [(f"grpc.max_{way}_message_length", _LARGEST_MESSAGE) for way in ("receive", "send")]
    server = grpc.aio.server(interceptors=[PlainErrors()], options=sizes)
    servicer = ProviderServicer(arguments, version("pulumi-kubernetes"), StandIn(), engine)
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
