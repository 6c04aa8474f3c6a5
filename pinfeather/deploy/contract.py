"""What a local resource is to the plugin: typed inputs, typed outputs, and the six operations of a Pulumi provider.

No Pulumi and no gRPC here. `edge.py` turns the engine's messages into these values and back; a resource is a class over
them, so that it can be read and tested as plain Python.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """Base of every input and output model: frozen, strict, and no key that we do not know."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Severity(enum.Enum):
    """How the engine shows a message: as a note under the resource, or as a warning."""

    INFO = "info"
    WARNING = "warning"


class RefusedError(Exception):
    """The operation is not done. The message is one sentence for the user, with what to do about it."""


@dataclass(frozen=True)
class Step:
    """One operation on one resource, as the engine asked for it.

    In a `preview` a resource may look, and must touch nothing. `say` shows a message under the resource. `cancelled` is
    set when the user interrupts; whoever waits, waits on it.
    """

    urn: str
    preview: bool
    say: Callable[[Severity, str], None]
    cancelled: Event = field(default_factory=Event)


class Change(enum.Enum):
    """What happened to a property."""

    ADD = enum.auto()
    DELETE = enum.auto()
    UPDATE = enum.auto()


@dataclass(frozen=True)
class Difference:
    """What separates the last known state from the wished one.

    `changes` goes by property path (`command[2]`); a path may name an output (`pid`): then the world has changed and
    not the program. `replaces` are the input names for which an update in place is not possible.
    """

    changes: Mapping[str, Change]
    replaces: frozenset[str] = frozenset()
    delete_before_replace: bool = True


@dataclass(frozen=True)
class Failure:
    """One input that cannot be accepted, and why."""

    name: str
    reason: str


InputsT = TypeVar("InputsT", bound=Value)
OutputsT = TypeVar("OutputsT", bound=Value)


@dataclass(frozen=True)
class Stored(Generic[InputsT, OutputsT]):
    """What the state file holds of a resource: the inputs it was last made from, and what came of them."""

    inputs: InputsT
    outputs: OutputsT


class Resource(ABC, Generic[InputsT, OutputsT]):
    """One kind of resource. Every method raises `RefusedError` (or a `FileError`) with the one message for the user.

    No output has the name of an input: the stack's state holds both in one map. `create` and `update` return None in a
    preview when what comes of them is not known before it is done.
    """

    inputs: type[InputsT]
    outputs: type[OutputsT]
    replace_on: ClassVar[frozenset[str]]
    """The inputs that make up the identity: when one changes, it is another resource."""
    delete_before_replace: ClassVar[bool]
    """Whether such another resource must wait until the old one is gone (a port, a name)."""

    @abstractmethod
    def identity(self, new: InputsT) -> str:
        """The id under which the engine keeps the resource."""

    def check(self, new: InputsT) -> Sequence[Failure]:  # noqa: ARG002 - for those that override it
        """What the types cannot say about the inputs."""
        return ()

    @abstractmethod
    def diff(self, step: Step, old: Stored[InputsT, OutputsT], new: InputsT) -> Difference:
        """Compare; may look at the world, so that a plain `up` notices drift without a refresh."""

    @abstractmethod
    def create(self, step: Step, new: InputsT) -> OutputsT | None:
        """Make it, or adopt what an interrupted run left."""

    @abstractmethod
    def read(self, step: Step, old: Stored[InputsT, OutputsT]) -> OutputsT | None:
        """Look at it; None when it is gone."""

    @abstractmethod
    def update(self, step: Step, old: Stored[InputsT, OutputsT], new: InputsT) -> OutputsT | None:
        """Change it in place, or put it right."""

    @abstractmethod
    def delete(self, step: Step, old: Stored[InputsT, OutputsT]) -> None:
        """Take it away; already gone is success."""


def changed_fields(old: InputsT, new: InputsT) -> dict[str, Change]:
    """The inputs that differ, by name. A field at None is one that was not given."""
    changes: dict[str, Change] = {}
    for name in type(new).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            changes[name] = Change.ADD if before is None else Change.DELETE if after is None else Change.UPDATE
    return changes
