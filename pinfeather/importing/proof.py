"""What the first `up` would do to what is there: object by object, field by field. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from pinfeather.deploy.cluster import Cluster, ConflictError
from pinfeather.importing.grouping import Key, Tree, key_of
from pinfeather.importing.live_objects import cleaned

Applied = Callable[[Tree, Tree], "tuple[Tree, tuple[str, ...]]"]
"""From what would be applied and what is there to what would come of it, and the fields that others hold."""
_ABSENT: JsonValue = "\0nothing"
_WHY = {"priority": "its priority is written, or another than before", "match": "the rule as we write it"}


class Change(NamedTuple):
    """One object that would not stay as it is."""

    key: Key
    fields: tuple[str, ...]
    """A line for each: what is at which value, what it would be, and why."""


class Proof(NamedTuple):
    """What the first `up` would do."""

    unchanged: tuple[Key, ...]
    changed: tuple[Change, ...]
    created: tuple[Key, ...]
    alone: Mapping[Key, str]
    """What is there and is left alone, each with a reason or an empty text."""

    @property
    def nothing(self) -> bool:
        """Whether nothing would change."""
        return not self.changed and not self.created


def proof(objects: Sequence[Tree], there: Mapping[Key, Tree], applied: Applied) -> Proof:
    """`there`: what is there of the kinds that the format writes. Raises what `applied` raises."""
    unchanged, changed, created = [], [], []
    for tree in objects:
        key = key_of(tree)
        if key not in there:
            created.append(key)
            continue
        after, held = applied(tree, there[key])
        fields = (*differences(cleaned(there[key]), cleaned(after)), *held)
        if fields:
            changed.append(Change(key, fields))
        else:
            unchanged.append(key)
    ours = {key_of(tree) for tree in objects}
    left = {key: "" for key in there if key not in ours}
    return Proof(tuple(unchanged), tuple(changed), tuple(created), left)


def by_cluster(cluster: Cluster, manager: str) -> Applied:
    """What the API server says by a dry run. Raises ClusterError."""

    def applied(tree: Tree, there: Tree) -> tuple[Tree, tuple[str, ...]]:
        try:
            return cluster.dry_apply(tree, manager), ()
        except ConflictError as problem:
            held = tuple(
                f"{cause.field.lstrip('.')} is held by {cause.manager!r} at another value: `up` would be refused"
                for cause in problem.causes
            )
            return there, held or (f"`up` would be refused: {problem}",)

    return applied


def laid_over(tree: Tree, there: Tree) -> tuple[Tree, tuple[str, ...]]:
    """What a server-side apply would come to, without a server: mappings are merged, all else is taken as it stands."""
    return {**there, **_over(tree, there)}, ()


def _over(tree: Tree, there: Tree) -> Tree:
    found: Tree = dict(there)
    for key, value in tree.items():
        before = there.get(key)
        found[key] = _over(value, before) if isinstance(value, dict) and isinstance(before, dict) else value
    return found


def differences(before: JsonValue, after: JsonValue, path: str = "") -> Iterator[str]:
    """A line for each field that differs."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from differences(before.get(key, _ABSENT), after.get(key, _ABSENT), f"{path}.{key}" if path else key)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    else:
        why = _WHY.get(path.rpartition(".")[2])
        yield f"{path}: {_shown(before)} -> {_shown(after)}" + (f" ({why})" if why else "")


def _shown(value: JsonValue) -> str:
    if value == _ABSENT:
        return "nothing"
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
