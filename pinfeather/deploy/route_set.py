"""`RouteSet`: the canonical document of a set of routes, held in the stack's state.

It has no effect of its own. It is there so that a preview says what a change does to users (`traffic.py`), shows which part of the document
changes, and is refused where the stack's policy forbids it, before anything that depends on it is touched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BeforeValidator, Field, JsonValue, ValidationError
from typing_extensions import override

from pinfeather.deploy.contract import Change, Difference, RefusedError, Resource, Severity, Step, Stored, Value, changed_fields
from pinfeather.deploy.policy import Policy

if TYPE_CHECKING:
    from pinfeather.deploy.traffic import Target

_MOST = 100  # changed paths that are shown one by one; above that the document is shown as one change


def _read(document: object) -> object:
    return json.loads(document) if isinstance(document, str) else document


class RouteSetInputs(Value):
    """What a program asks for: `document` is the canonical document as a JSON tree, `format` and `options` what it is deployed as.

    `losses` and `objects` are lines that stay the same from run to run: what the format cannot say, and what is made.
    """

    name: Annotated[str, Field(min_length=1)]
    document: Annotated[dict[str, JsonValue], BeforeValidator(_read)]
    """Or its JSON text: the engine takes seconds over a tree of thousands of values, and none over a text."""
    format: str = ""
    summary: str = ""
    options: dict[str, str | bool] | None = None
    losses: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    policy: Policy | None = None
    hidden: tuple[str, ...] = ()
    """Secret texts of a document that is given as text: no message shows them."""


class RouteSetOutputs(Value):
    """Nothing comes of it but its inputs."""


_Old = Stored[RouteSetInputs, RouteSetOutputs]


class RouteSetResource(Resource[RouteSetInputs, RouteSetOutputs]):
    """The operations on a `RouteSet`; its id is its name."""

    inputs = RouteSetInputs
    outputs = RouteSetOutputs
    replace_on: ClassVar[frozenset[str]] = frozenset({"name"})
    delete_before_replace: ClassVar[bool] = True

    @override
    def identity(self, new: RouteSetInputs) -> str:
        return new.name

    @override
    def diff(self, step: Step, old: _Old, new: RouteSetInputs) -> Difference:
        changes = changed_fields(old.inputs, new)
        replaces = self.replace_on & changes.keys()
        changes.pop("document", None)  # to Python, `true` and 1 are equal; path by path they are told apart
        paths = dict(_changed_paths("document", old.inputs.document, new.document))
        changes.update(paths if len(paths) <= _MOST else {"document": Change.UPDATE})
        _tell(step, old.inputs, new)
        return Difference(changes, replaces)

    @override
    def create(self, step: Step, new: RouteSetInputs) -> RouteSetOutputs:
        if step.preview:
            from pinfeather.deploy.traffic import first

            step.say(Severity.INFO, first(_target(new)))
        return RouteSetOutputs()

    @override
    def read(self, step: Step, old: _Old) -> RouteSetOutputs:
        return old.outputs

    @override
    def update(self, step: Step, old: _Old, new: RouteSetInputs) -> RouteSetOutputs:
        return RouteSetOutputs()

    @override
    def delete(self, step: Step, old: _Old) -> None:
        return None


def _tell(step: Step, old: RouteSetInputs, new: RouteSetInputs) -> None:
    """Say what users will notice. Raises RefusedError where the policy forbids it."""
    if (old.document, old.format, old.options, old.losses, old.objects) == (new.document, new.format, new.options, new.losses, new.objects):
        return
    from pinfeather.deploy.policy import refusals, unchecked
    from pinfeather.deploy.traffic import traffic

    change = traffic(_target(old), _target(new))
    loose = unchecked(new.policy, change) if new.policy is not None else ()
    lines = [*change.lines(), *([f"  not held against all of this: the policy's {', '.join(loose)}"] if loose else [])]
    step.say(Severity.WARNING if change.grave or change.found is None or loose else Severity.INFO, "\n".join(lines))
    if new.policy is not None and (refused := list(refusals(new.policy, change))):
        raise RefusedError("the stack's policy refuses this change: " + "\n".join(refused))


def _target(inputs: RouteSetInputs) -> Target:
    from pinfeather.deploy.traffic import Target
    from pinfeather.model.document import Document

    try:
        document = Document.model_validate_json(json.dumps(inputs.document))
    except ValidationError:  # of a state that another version wrote
        document = None
    return Target(document, inputs.format, inputs.options, inputs.losses, inputs.objects)


def _changed_paths(path: str, old: JsonValue, new: JsonValue) -> Iterator[tuple[str, Change]]:
    """Every place where two trees differ, as Pulumi writes property paths: `document.routes[0]["a key"]`."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            step = f".{key}" if key.isidentifier() and key.isascii() else f"[{_quoted(key)}]"
            yield from _changed_entry(path + step, key in old, key in new, old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before, after = (tree[index] if index < len(tree) else None for tree in (old, new))
            yield from _changed_entry(f"{path}[{index}]", index < len(old), index < len(new), before, after)
    elif old != new or type(old) is not type(new):
        yield path, Change.UPDATE


def _changed_entry(path: str, was: bool, is_now: bool, old: JsonValue, new: JsonValue) -> Iterator[tuple[str, Change]]:
    if was and is_now:
        yield from _changed_paths(path, old, new)
    else:
        yield path, Change.DELETE if was else Change.ADD


def _quoted(key: str) -> str:
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
