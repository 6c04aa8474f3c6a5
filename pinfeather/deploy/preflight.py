"""What is asked of a cluster before the first resource is made, so that what cannot go well is said at once, and whole.

Nothing is changed: objects are listed, CRDs read, and what others hold is tried by a dry run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

from pydantic import JsonValue

from pinfeather.deploy.cluster import Cluster, ClusterError, ConflictError
from pinfeather.deploy.settings import RefusalError, WeightOwner
from pinfeather.deploy.translation import Translation, Tree, called
from pinfeather.model.codes import Code

_MOST = 10
Key = tuple[str, str, str, str]
"""apiVersion, kind, namespace and name."""


@dataclass(frozen=True)
class Wishes:
    """What the stack's settings say about the cluster."""

    manager: str
    """The field manager that applies."""
    weight_owner: WeightOwner = WeightOwner.DOCUMENT
    take_over: bool = False
    """Whether fields that others hold are taken from them."""
    crds: Sequence[Tree] = ()
    """What the stack installs itself."""
    own: Sequence[Tree] = ()
    """What serves the routes: the proxy, demo servers. Of these nothing is adopted: somebody else's proxy is not ours to end."""


def checked(cluster: Cluster, said: Translation, wishes: Wishes) -> tuple[Translation, tuple[str, ...]]:
    """The translation as it may be applied to this cluster, and what there is to say.

    Raises RefusalError: a namespace or kind that is not there, fields that an installed CRD does not know, fields that others hold.
    """
    try:
        return _checked(cluster, said, wishes)
    except ClusterError as problem:
        raise RefusalError(str(problem)) from None


def _checked(cluster: Cluster, said: Translation, wishes: Wishes) -> tuple[Translation, tuple[str, ...]]:
    coming = {(_group(each), str(_at(each, "spec", "names", "kind"))) for each in wishes.crds}
    every = (*said.objects, *said.patches, *wishes.own)
    # What the stack's own CRDs bring can be asked for as soon as they are there.
    objects = [each for each in every if (_group_of(each), str(each["kind"])) not in coming or _known(cluster, each)]
    wrong = [*_missing(cluster, objects)]
    if wrong:
        raise RefusalError("\n".join(wrong[:_MOST]))
    remarks: list[str] = []
    try:
        wrong = [line for each in objects for line in unknown_fields(each, cluster.schema(str(each["apiVersion"]), str(each["kind"])))]
    except ClusterError as problem:
        if problem.status != HTTPStatus.FORBIDDEN:
            raise
        remarks.append(f"fields were not checked against the installed CRDs: {problem}")
    if wrong:
        raise RefusalError("\n".join([*wrong[:_MOST], *_more(wrong), _OLDER]))
    live = _live(cluster, objects)
    if wishes.weight_owner is WeightOwner.EXTERNAL:
        said = replace(said, objects=tuple(with_weights_of(each, live.get(_key(each))) for each in said.objects))
    if foreign := [called(each) for each in wishes.own if _key(each) in live and wishes.manager not in _managers(live[_key(each)])]:
        raise RefusalError(f"{foreign[0]} is there already, and is not this stack's: {_NOT_TAKEN}")
    conflicts, drift = _held(cluster, (*said.objects, *said.patches, *wishes.own), live, wishes)
    if conflicts:
        raise RefusalError("\n".join([*conflicts[:_MOST], *_more(conflicts), _HELD]))
    remarks += [*drift[:_MOST], *_more(drift)]
    adopted = [each for each in said.objects if _key(each) in live and wishes.manager not in _managers(live[_key(each)])]
    remarks += [f"{called(each)} is there already; it is adopted, and goes when this stack goes" for each in adopted[:_MOST]]
    remarks += _more(adopted)
    made = {_key(each) for each in wishes.own}
    gone = [called(each) for each in said.patches if _key(each) not in live and _key(each) not in made]
    if gone:
        raise RefusalError(
            f"{gone[0]} is not there: some of its fields are set by this stack, and the object itself is somebody else's to make"
        )
    return said, tuple(remarks)


_OLDER = (
    f"{Code.CRD_VERSION}: the API server would drop or refuse these. Install the CRDs of the Traefik that is deployed, say an older one "
    "with pinfeather:options, or take out what it cannot do."
)
_HELD = (
    "Somebody else holds these fields, and nothing was changed. Take them out of what the other one applies; or, where a controller is to "
    "say the weights, set pinfeather:weightOwner to external. Only where all of it is to be taken over: set pinfeather:takeOver to true."
)
_NOT_TAKEN = "give the proxy another name (pinfeather:proxy.name), or let the stack run none (pinfeather:run nothing)"
_BY_HAND = "kubectl"
"""What the field managers of people begin with: kubectl-edit, kubectl-patch, kubectl."""


def unknown_fields(tree: Tree, schema: Mapping[str, JsonValue] | None) -> Iterator[str]:
    """A line for each field of an object that its CRD does not know. No schema: it is of no CRD, and the API server knows best."""
    if schema is None:
        return
    for path in _unknown({key: value for key, value in tree.items() if key not in ("apiVersion", "kind", "metadata")}, schema, ""):
        yield f"{called(tree)}: {path} is not in the installed CRD"


def _unknown(value: JsonValue, schema: Mapping[str, JsonValue], path: str) -> Iterator[str]:
    if schema.get("x-kubernetes-preserve-unknown-fields") is True:
        return
    if isinstance(value, dict):
        properties, more = schema.get("properties"), schema.get("additionalProperties")
        for key, each in value.items():
            below = properties.get(key) if isinstance(properties, dict) else None
            if below is None and more is True:
                continue
            below = below if below is not None else more
            if isinstance(below, dict):
                yield from _unknown(each, below, f"{path}.{key}" if path else key)
            else:
                yield f"{path}.{key}" if path else key
    elif isinstance(value, list) and isinstance(items := schema.get("items"), dict):
        for index, each in enumerate(value):
            yield from _unknown(each, items, f"{path}[{index}]")


def with_weights_of(tree: Tree, live: Tree | None) -> Tree:
    """A TraefikService with the weights of the live one, where both name the same service; any other object as it is."""
    mine, theirs = _services(tree), _services(live or {})
    if tree["kind"] != "TraefikService" or not mine or not theirs:
        return tree
    weights = {_named(each): each["weight"] for each in theirs if "weight" in each}
    services: list[JsonValue] = [{**each, **({"weight": weights[_named(each)]} if _named(each) in weights else {})} for each in mine]
    spec, weighted = tree["spec"], _at(tree, "spec", "weighted")
    assert isinstance(spec, dict)
    assert isinstance(weighted, dict)
    return {**tree, "spec": {**spec, "weighted": {**weighted, "services": services}}}


def _services(tree: Tree) -> list[Tree]:
    found = _at(tree, "spec", "weighted", "services")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _named(service: Tree) -> tuple[str, ...]:
    return tuple(str(service.get(key, "")) for key in ("kind", "namespace", "name", "port"))


def _known(cluster: Cluster, tree: Tree) -> bool:
    return cluster.kind(str(tree["apiVersion"]), str(tree["kind"])) is not None


def _missing(cluster: Cluster, objects: Sequence[Tree]) -> Iterator[str]:
    for api_version, kind in dict.fromkeys((str(each["apiVersion"]), str(each["kind"])) for each in objects):
        if cluster.kind(api_version, kind) is None:
            yield (
                f"{cluster.called} does not know the kind {kind} of {api_version}: "
                "install its CRD, or name a file of CRDs as pinfeather:crds"
            )
    for namespace in dict.fromkeys(str(_at(each, "metadata", "namespace") or "") for each in objects):
        if namespace and cluster.get("v1", "Namespace", namespace) is None:
            yield f"{cluster.called} has no namespace {namespace!r}: `kubectl create namespace {namespace}`, or set pinfeather:namespace"


def _live(cluster: Cluster, objects: Sequence[Tree]) -> dict[Key, Tree]:
    """What is there already, of those objects and their neighbours of the same kinds."""
    wanted = dict.fromkeys(_key(each)[:3] for each in objects)
    return {_key(each): each for api_version, kind, namespace in wanted for each in cluster.all(api_version, kind, namespace or None)}


def _held(cluster: Cluster, trees: Sequence[Tree], live: Mapping[Key, Tree], wishes: Wishes) -> tuple[list[str], list[str]]:
    """Fields that others hold at another value: those that forbid an apply, and those of our own objects that somebody edited by hand."""
    conflicts: list[str] = []
    drift: list[str] = []
    for tree in trees:
        there = live.get(_key(tree))
        if there is None or not _managers(there) - {wishes.manager}:
            continue
        try:
            cluster.dry_apply(tree, wishes.manager)
        except ConflictError as problem:
            ours = wishes.manager in _managers(there)
            for cause in problem.causes:
                what = f"{called(tree)}: {cause.field.lstrip('.')}"
                if wishes.take_over or (ours and cause.manager.startswith(_BY_HAND)):
                    drift.append(f"{what} was changed by {cause.manager!r}; it is put back")
                else:
                    conflicts.append(f"{what} is held by {cause.manager!r} at another value")
    return conflicts, drift


def _managers(tree: Tree) -> set[str]:
    held = _at(tree, "metadata", "managedFields")
    return {str(each.get("manager")) for each in held if isinstance(each, dict)} if isinstance(held, list) else set()


def _key(tree: Tree) -> Key:
    return str(tree["apiVersion"]), str(tree["kind"]), str(_at(tree, "metadata", "namespace") or ""), str(_at(tree, "metadata", "name"))


def _group(definition: Tree) -> str:
    return str(_at(definition, "spec", "group"))


def _group_of(tree: Tree) -> str:
    return str(tree["apiVersion"]).rpartition("/")[0]


def _more(lines: Sequence[object]) -> list[str]:
    return [f"... and {len(lines) - _MOST} more"] if len(lines) > _MOST else []


def _at(tree: JsonValue, *keys: str) -> JsonValue:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree
