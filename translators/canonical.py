"""The canonical document, as a file: YAML 1.2, one document, `pinfeather: v1` at its head.

Everything that the model can say is said here, so nothing is ever lost on the way in or out. Keys are in snake_case, texts
that YAML might take for something else are in quotes. JSON is read too: it is YAML. The first line may name the schema for
editors: `# yaml-language-server: $schema=schema.json` (`pinfeather schema` prints it).
"""

from __future__ import annotations

from collections.abc import Mapping

from pinfeather.model.build import build
from pinfeather.model.diagnostics import Code, Diagnostic, Severity, error, span_at
from pinfeather.model.document import Document
from pinfeather.model.features import FULL, Feature, Support
from pinfeather.translators._syntax import yaml
from pinfeather.translators.contract import Emitted, File, Options, Parsed, Source, TextFile, Translator


class CanonicalOptions(Options):
    """There is nothing to choose."""


def supports(options: CanonicalOptions) -> Mapping[Feature, Support]:  # noqa: ARG001 - the contract's signature
    return dict.fromkeys(Feature, FULL)


def parse(source: Source, options: CanonicalOptions) -> Parsed:  # noqa: ARG001
    if len(source.files) != 1:
        names = ", ".join(file.name for file in source.files)
        return Parsed(None, (error(Code.OPTION, f"a canonical document is one file, not {len(source.files)}: {names}"),))
    file = source.files[0]
    readings = yaml.read(file.text, file.name, yaml.CORE)
    if len(readings) > 1:
        second = readings[1].spans.get(())
        more = error(Code.SYNTAX, "a canonical file holds one document; here another one begins", span=second, instead="put it in a file")
        return Parsed(None, (*readings[0].diagnostics, more))
    reading = readings[0]
    broken = any(finding.severity is Severity.ERROR for finding in reading.diagnostics)
    if broken:
        return Parsed(None, reading.diagnostics, reading.spans)
    document, found = build(reading.value)
    placed = tuple(_placed(finding, reading) for finding in found)
    return Parsed(document, (*reading.diagnostics, *placed), reading.spans)


def _placed(finding: Diagnostic, reading: yaml.Reading) -> Diagnostic:
    key = reading.key_spans.get(finding.path) if finding.code == Code.UNKNOWN else None
    return finding.at(key or span_at(reading.spans, finding.path))


def emit(document: Document, options: CanonicalOptions) -> Emitted:  # noqa: ARG001
    tree = document.model_dump(mode="json", exclude_defaults=True)
    return Emitted((TextFile("pinfeather.yaml", yaml.emit({"pinfeather": document.pinfeather, **tree})),))


def recognise(file: File) -> bool:
    """The key `pinfeather` at the beginning of a line."""
    text = file.text if isinstance(file.text, str) else file.text[:65536].decode("utf-8", "replace")
    return text.startswith(("pinfeather:", '{"pinfeather"')) or "\npinfeather:" in text[:65536]


TRANSLATOR = Translator(
    name="pinfeather",
    doc=__doc__,
    options=CanonicalOptions,
    supports=supports,
    parse=parse,
    emit=emit,
    recognise=recognise,
)
