"""Values of a Helm chart that hold Traefik's objects as texts, which the chart fills in with `tpl`.

    pinfeather convert shop.yaml --to helm-values              # writes values.yaml
    pinfeather convert values.yaml --to ingressroute --bind '.Values.domain=example.com' --bind 'include "app.name" .=shop'

    customResources:                   # a list, or customResourcesMap: name -> text
      - |
        apiVersion: traefik.io/v1alpha1
        kind: IngressRoute
        …

Reading. The texts below `customResources` and `customResourcesMap`, each with the line and column that it has in the values
file; an item may be a mapping instead of a text. Objects are read as `ingressroute` reads them; those of other kinds, and all
other values, are named once and left alone. An expression (`{{ .Values.domain }}`, quoted or bare) is kept to the letter and never
evaluated: the text that holds it is a template, which other formats refuse until `--bind` says its value. An object whose
name is a template is called after it, in letters, digits and `-`. What decides or repeats (`if`, `range`, `with`, `define`, …),
sets a variable, or writes lines of its own (`toYaml`, `nindent`) is named at its line, and nothing of the text around it is read:
render the chart and convert that. In a text that is quoted or folded, everything stands where the text does.

Writing. One file, `values.yaml`, a literal text for each object. Expressions are written to the letter; `{{` in a plain text becomes
an action that prints it. For the rest, see `ingressroute`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from pinfeather.model.bind import HELM, bind
from pinfeather.model.build import build
from pinfeather.model.diagnostics import Code, Diagnostic, Path, Severity, Span, error, span_at, warning
from pinfeather.model.document import Document
from pinfeather.model.features import Feature, Support, places, walk
from pinfeather.model.noun import Noun, Template
from pinfeather.model.sticky import Cookie
from pinfeather.translators._crd.catalogue import MANNER, SUBJECT, CrdOptions, free_name
from pinfeather.translators._crd.identity import crd_identity
from pinfeather.translators._crd.reading import document_tree
from pinfeather.translators._crd.writing import object_trees
from pinfeather.translators._helm.reading import LIST, MAP, read_values
from pinfeather.translators._helm.supports import values_supports
from pinfeather.translators._helm.text import Holes
from pinfeather.translators._syntax import kube, yaml
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators.contract import Emitted, File, Identity, Parsed, Source, TextFile, Translator


class HelmValues(CrdOptions):
    """Options of `helm-values`."""

    shape: Literal["list", "map"] = "list"
    """What is written: `customResources`, a list, or `customResourcesMap`, a mapping of names. Both are read."""


def supports(options: HelmValues) -> Mapping[Feature, Support]:
    return values_supports(options)


# Reading ---------------------------------------------------------------------------------------------------------------


def parse(source: Source, options: HelmValues) -> Parsed:
    stream = kube.Stream()
    flat, expressions = set[Span](), set[str]()
    for file in source.files:
        values = read_values(file)
        stream.found += values.found
        flat |= values.flat
        expressions |= values.expressions
        kube.take_readings(stream, values.readings, values.text, SUBJECT, MANNER)
    tree, spans = document_tree(stream, options, HELM)
    document, faults = build(tree)
    found = [fault.at(span_at(spans, fault.path)) for fault in faults]
    if document is not None:
        found += [*_lengths(document, spans), *_cookies(document, spans)]
        found += [each.at(span_at(spans, each.path)) for each in _misplaced(tree, document, expressions)]
        document = None if any(each.severity is Severity.ERROR for each in found) else bind(document, {})[0]
    held = {path: span for path, span in spans.items() if len(path) < 3 or span not in flat}
    said = (_without_edits(each, flat) for each in (*stream.finish(), *found))
    return Parsed(document, tuple(said), held, tuple(stream.passed))


def _lengths(document: Document, spans: Mapping[Path, Span]) -> Iterator[Diagnostic]:
    """A rule without a priority has the length of its text, which nobody knows before Helm has filled it in."""
    filled = {
        place.path[:2]
        for place in places(document)
        if place.row.feature is Feature.TEMPLATE and place.path[2] in ("hosts", "path", "match")
    }
    if len(document.routes) + sum(len(route.canaries) for route in document.routes) < 2:
        return
    for index, route in enumerate(document.routes):
        at: Path = ("routes", index)
        if at in filled and (*at, "priority") not in spans:
            said = f"{route.name!r} has no priority: Traefik takes the length of its rule, which is not known before Helm has filled it in"
            yield warning(Code.ASSUMED, said, (*at, "priority"), instead="write priorities", span=span_at(spans, (*at, "match")))


def _cookies(document: Document, spans: Mapping[Path, Span]) -> Iterator[Diagnostic]:
    """A cookie without a name is called after the service, whose name holds what Helm fills in."""
    if not any(place.row.feature is Feature.TEMPLATE for place in places(document)):
        return
    for path, noun in walk(document):
        if isinstance(noun, Cookie) and path[-2:] == ("sticky", "cookie") and (*path, "name") not in spans:
            said = "the cookie has no name: Traefik makes one of the service's, which is not known before Helm has filled it in"
            yield warning(Code.ASSUMED, said, (*path, "name"), instead="give it a name", span=span_at(spans, path))


def _misplaced(tree: Tree, document: Document, expressions: set[str]) -> Iterator[Diagnostic]:
    """Expressions where the model has no place for one: a name, a key, a part of a text, something carried to the letter."""
    held = {place.path for place in places(document) if place.row.feature is Feature.TEMPLATE}
    for path, text in _texts(tree, ()):
        inside = isinstance(text, Template) or ("{{" in text and any(each in text for each in expressions))
        if inside and path not in held:
            said = f"an expression cannot stand here: {text}"
            yield error(Code.TEMPLATE, said, path, instead="write the value in its place, or render the chart first: `helm template`")


def _texts(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    """Every text of a tree, keys too. A template may be in its written form."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        if list(value) == ["template"] and isinstance(value["template"], str):
            yield path, Template(value["template"])
            return
        for key, inner in value.items():
            yield path, key
            yield from _texts(inner, (*path, key))
    elif isinstance(value, Noun):
        for name, field in type(value).model_fields.items():
            yield from _texts(getattr(value, name), (*path, field.alias or name))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index))


def _without_edits(finding: Diagnostic, flat: set[Span]) -> Diagnostic:
    """In a text of which nothing can be told apart nothing can be repaired."""
    return finding._replace(fixes=()) if finding.span in flat else finding


_KEY = re.compile(rf"^(?:{MAP}|{LIST})[ \t]*:", re.MULTILINE)


def recognise(file: File) -> bool:
    text = file.text if isinstance(file.text, str) else file.text[: 1 << 20].decode("utf-8", "replace")
    return _KEY.search(text) is not None


# Writing ---------------------------------------------------------------------------------------------------------------


def emit(document: Document, options: HelmValues) -> Emitted:
    trees = object_trees(document, options, templates=True)
    holes = Holes(repr(trees))
    texts: dict[str, Tree] = {}
    for tree in trees:
        texts[free_name(_key(tree), set(texts))] = holes.filled(yaml.emit(holes.punched(tree)))
    values: Tree = {MAP: texts} if options.shape == "map" else {LIST: list(texts.values())}
    return Emitted((TextFile("values.yaml", yaml.emit(values), "yaml"),))


def _key(tree: Tree) -> str:
    """A name for an object that no other has: its kind, its namespace if it says one, its name."""
    assert isinstance(tree, dict)
    head = tree["metadata"]
    assert isinstance(head, dict)
    words = [str(tree["kind"]).lower(), *(str(head[key]) for key in ("namespace", "name") if head.get(key))]
    return "-".join(kube.object_name(word, 253) if HELM.search(word) else word for word in words)


def identity(document: Document, options: HelmValues) -> Identity:
    """Of a document whose templates have their values; of another nothing is known."""
    filled = not any(place.row.feature is Feature.TEMPLATE for place in places(document))
    return crd_identity(document, options) if filled else Identity()


TRANSLATOR = Translator(
    name="helm-values",
    doc=__doc__,
    options=HelmValues,
    supports=supports,
    parse=parse,
    emit=emit,
    recognise=recognise,
    identity=identity,
)
