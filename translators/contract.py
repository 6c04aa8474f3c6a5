"""What a format is: one module, two pure functions and a table, held in one `Translator` value.

`parse` reads text into a document; `emit` writes a document of which `features.project` has taken out what the format's
`supports` table cannot say. Both are pure: same input, same output; no files, sockets, clock or environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

from pinfeather.model.diagnostics import Diagnostic, Path, Span
from pinfeather.model.document import Document
from pinfeather.model.features import Feature, Support
from pinfeather.model.noun import Tree


class Options(BaseModel):
    """What a format can be asked for. Command-line flags and stack configuration are made from the fields.

    A field is a text, a bool or a Literal, has a default, and under it a text that says what it means.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)


O = TypeVar("O", bound=Options)  # noqa: E741 - an options class, as in the design


NOTHING: Mapping[Any, Any] = MappingProxyType({})


# Plain values are named tuples here and in `model/diagnostics.py`: a dataclass costs six times as much at each start.
class File(NamedTuple):
    """One input: the name that messages use (a path, or `<stdin>`), and its bytes or text."""

    name: str
    text: str | bytes


class Source(NamedTuple):
    """Everything that one `parse` reads: one file, or the files of one folder, in their order."""

    files: tuple[File, ...]


class Parsed(NamedTuple):
    """What was read: the document (None where it could not be built), what there is to say, and where each value stood."""

    document: Document | None
    diagnostics: tuple[Diagnostic, ...] = ()
    spans: Mapping[Path, Span] = NOTHING
    passed: tuple[str, ...] = ()
    """Whole documents of a stream that are about something else, byte for byte: what `--pass-through` copies."""


class TextFile(NamedTuple):
    """A whole file of the target. `name` has no folder."""

    name: str
    text: str
    language: Literal["yaml", "toml", "json", "text"] = "yaml"


class KubernetesObject(NamedTuple):
    """An object to be applied as it stands."""

    tree: Tree


class KubernetesPatch(NamedTuple):
    """Named fields of an object that others own."""

    tree: Tree


Artifact = TextFile | KubernetesObject | KubernetesPatch


class Emitted(NamedTuple):
    """What was written, in the order in which it is to be applied."""

    artifacts: tuple[Artifact, ...]

    def files(self) -> tuple[TextFile, ...]:
        """All of it as text: the files, then the objects and patches as one stream, `objects.yaml`."""
        texts = tuple(part for part in self.artifacts if isinstance(part, TextFile))
        trees = [part.tree for part in self.artifacts if not isinstance(part, TextFile)]
        if not trees:
            return texts
        from pinfeather.translators._syntax.yaml_emit import emit_all

        return (*texts, TextFile("objects.yaml", emit_all(trees)))

    def source(self) -> Source:
        """The same as an input, for reading back: everything that was written, together."""
        return Source(tuple(File(part.name, part.text) for part in self.files()))


class Identity(NamedTuple):
    """The cookie value that the target uses, where it can be known.

    `variants` and `servers`: (service, child name or server key) -> value.
    """

    variants: Mapping[tuple[str, str], str] = NOTHING
    servers: Mapping[tuple[str, str], str] = NOTHING


@dataclass(frozen=True, slots=True)
class Translator(Generic[O]):
    """A format. `doc` is its user documentation: the docstring of its module."""

    name: str
    doc: str
    options: type[O]
    supports: Callable[[O], Mapping[Feature, Support]]
    parse: Callable[[Source, O], Parsed]
    emit: Callable[[Document, O], Emitted]
    recognise: Callable[[File], bool]
    """Whether a file looks like this format. Cheap, and never raises."""
    identity: Callable[[Document, O], Identity] = lambda _document, _options: Identity()
    companions: tuple[str, ...] = ()
    """Formats whose files this one reads together with its own: a compose file, and the fragment for the file provider beside it."""


AnyTranslator = Translator[Any]
"""A translator whose options are its own business: they are made by its own `options` class."""

GROUP = "pinfeather.translators"
"""The entry point group in which other distributions announce a module with the hook of `hook.py`."""
