"""Between the engine's property values and the typed inputs and outputs of a resource.

Here is all that is peculiar to Pulumi's values: numbers that arrive as floats, secrets that must stay marked, and
values that a preview does not know yet.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, Generic, TypeVar

import pulumi
from pulumi.provider.experimental.property_value import Computed, PropertyValue, ResourceReference
from pydantic import JsonValue, ValidationError

from pinfeather.deploy.contract import (
    Change,
    Difference,
    Failure,
    InputsT,
    OutputsT,
    RefusedError,
    Resource,
    Step,
    Stored,
    Value,
)

Properties = dict[str, PropertyValue]
_ValueT = TypeVar("_ValueT", bound=Value)
_SHORTEST, _LONGEST = 8, 256  # characters: a shorter text occurs by chance, and a longer one is a file, of which no message speaks
_EXACT = 2.0**53  # above it a float does not tell neighbouring whole numbers apart


class _NotKnownError(Exception):
    """A part of a value is not known yet."""


UNKNOWN: Final = PropertyValue(pulumi.runtime.rpc.UNKNOWN)
"""How a value that is not known before the operation is done is told to the engine."""


class Operations(ABC):
    """The six operations over property values: what `provider.py` serves."""

    @abstractmethod
    def check(self, new: Properties) -> list[Failure]: ...

    @abstractmethod
    def diff(self, step: Step, old: Properties, new: Properties) -> Difference: ...

    @abstractmethod
    def create(self, step: Step, new: Properties) -> tuple[str, Properties]: ...

    @abstractmethod
    def read(self, step: Step, old: Properties) -> Properties | None: ...

    @abstractmethod
    def update(self, step: Step, old: Properties, new: Properties) -> Properties: ...

    @abstractmethod
    def delete(self, step: Step, old: Properties) -> None: ...


class Edge(Operations, Generic[InputsT, OutputsT]):
    """One resource behind property values.

    The state holds the inputs as they came (secrets stay secrets) and beside them the outputs, so that a later `diff`
    can say by name what changed.
    """

    def __init__(self, resource: Resource[InputsT, OutputsT]) -> None:
        self._resource = resource

    def check(self, new: Properties) -> list[Failure]:
        known, unknown = _plain_map(new)
        try:
            inputs = _model(self._resource.inputs, known)
        except ValidationError as error:
            return [failure for failure, top in _failures(error) if top not in unknown]
        return [] if unknown else list(self._resource.check(inputs))

    def diff(self, step: Step, old: Properties, new: Properties) -> Difference:
        known, unknown = _plain_map(new)
        if not unknown:
            veil = _veil(old, new)
            try:
                return self._resource.diff(_veiled(step, veil), self._stored(old), _model(self._resource.inputs, known))
            except RefusedError as problem:
                raise RefusedError(veil(str(problem))) from None
        before, _ = _plain_map(old)
        names = [name for name in self._resource.inputs.model_fields if before.get(name) != known.get(name)]
        changes = {name: Change.UPDATE if name in before else Change.ADD for name in names}
        replaces = self._resource.replace_on & changes.keys()
        return Difference(changes, replaces, self._resource.delete_before_replace)

    def create(self, step: Step, new: Properties) -> tuple[str, Properties]:
        known, unknown = _plain_map(new)
        if unknown:
            return "", self._state(new, None)
        inputs = _model(self._resource.inputs, known)
        return self._resource.identity(inputs), self._state(new, self._resource.create(_veiled(step, _veil(new)), inputs))

    def read(self, step: Step, old: Properties) -> Properties | None:
        outputs = self._resource.read(step, self._stored(old))
        return None if outputs is None else self._state(old, outputs)

    def update(self, step: Step, old: Properties, new: Properties) -> Properties:
        known, unknown = _plain_map(new)
        if unknown:
            return self._state(new, None)
        inputs = _model(self._resource.inputs, known)
        return self._state(new, self._resource.update(step, self._stored(old), inputs))

    def delete(self, step: Step, old: Properties) -> None:
        self._resource.delete(step, self._stored(old))

    def _state(self, inputs: Properties, outputs: OutputsT | None) -> Properties:
        state = {name: inputs[name] for name in self._resource.inputs.model_fields if name in inputs}
        if outputs is None:
            return state | dict.fromkeys(self._resource.outputs.model_fields, UNKNOWN)
        return state | {name: _property(value) for name, value in outputs.model_dump(mode="json").items()}

    def _stored(self, old: Properties) -> Stored[InputsT, OutputsT]:
        known, _ = _plain_map(old)
        try:
            inputs = _model(self._resource.inputs, _only(self._resource.inputs, known))
            return Stored(inputs, _model(self._resource.outputs, _only(self._resource.outputs, known)))
        except ValidationError as error:
            reasons = "; ".join(f"{failure.name}: {failure.reason}" for failure, _ in _failures(error))
            raise RefusedError(
                f"the stack's state of this resource cannot be read ({reasons}); it was written by another version of "
                "Pinfeather, or it is an import, which is not supported"
            ) from error


def _only(model: type[Value], known: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {name: known[name] for name in model.model_fields if name in known}


def _model(model: type[_ValueT], known: Mapping[str, JsonValue]) -> _ValueT:
    # By way of JSON text: only there does a strict model take an array for a tuple and a string for an enumeration.
    return model.model_validate_json(json.dumps(known))


def _failures(error: ValidationError) -> Iterator[tuple[Failure, str]]:
    """Each thing wrong with the inputs, and the top-level name that it concerns."""
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        top, *rest = map(str, each["loc"] or ("",))
        path = top + "".join(f"[{part}]" if part.isdecimal() else f".{part}" for part in rest)
        reason = "is not an input of this resource" if each["type"] == "extra_forbidden" else each["msg"]
        yield Failure(path, reason[:1].lower() + reason[1:]), top


def _veiled(step: Step, veil: Callable[[str], str]) -> Step:
    """The same step, of which no message shows a secret."""
    return replace(step, say=lambda severity, message: step.say(severity, veil(message)))


def _veil(*values: Properties) -> Callable[[str], str]:
    """What hides the secret texts among these values, and the words in them: a message may hold a part, or a host in small letters."""
    texts = {text for each in values for one in each.values() for text in _secrets(one, secret=False) if len(text) <= _LONGEST}
    words = texts | {word for text in texts for word in re.findall("[A-Za-z0-9]+", text)}
    hidden = sorted((word for word in words if len(word) >= _SHORTEST), key=lambda word: (-len(word), word))
    if not hidden:
        return lambda message: message
    pattern = re.compile("|".join(map(re.escape, hidden)), re.IGNORECASE)
    return lambda message: pattern.sub("[secret]", message)


def _secrets(wrapped: PropertyValue, *, secret: bool) -> Iterator[str]:
    secret, value = secret or wrapped.is_secret, wrapped.value
    if isinstance(value, str):
        yield from (value,) if secret else ()
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _secrets(each, secret=secret)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _secrets(item, secret=secret) if isinstance(item, PropertyValue) else ()


def _plain_map(values: Mapping[str, PropertyValue]) -> tuple[dict[str, JsonValue], frozenset[str]]:
    """The values that are known, as plain data, and the names of those that are not. Null counts as not given."""
    known: dict[str, JsonValue] = {}
    unknown = set()
    for name, value in values.items():
        try:
            plain = _plain(value)
        except _NotKnownError:
            unknown.add(name)
            continue
        if plain is not None:
            known[name] = plain
    return known, frozenset(unknown)


def _plain(wrapped: PropertyValue) -> JsonValue:
    """Raises `_NotKnownError` when any part of the value is not known before the operation is done."""
    value = wrapped.value
    if isinstance(value, Computed):
        raise _NotKnownError
    if isinstance(value, str):
        if value == pulumi.runtime.rpc.UNKNOWN:
            raise _NotKnownError
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (pulumi.Asset, pulumi.Archive, ResourceReference)):
        raise RefusedError(f"{type(value).__name__} is not plain data; Pinfeather takes text, numbers and trees")
    return [_plain(each) for each in value]


def _property(value: JsonValue) -> PropertyValue:
    if isinstance(value, dict):
        return PropertyValue({name: _property(each) for name, each in value.items()})
    if isinstance(value, list):
        return PropertyValue([_property(each) for each in value])
    return PropertyValue(float(value) if isinstance(value, int) and not isinstance(value, bool) else value)
