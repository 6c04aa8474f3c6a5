"""Streams of Kubernetes objects, both ways: which objects are a format's own, what is stuck to them, and what is about something else.

A stream has many documents; each is an object, or a `kind: List` of objects. What is of no kind that the format asked for is
counted and named once a file, and its whole documents are handed on, byte for byte. Scalars are read as kubectl reads
them (sigs.k8s.io/yaml). A broken document hides none of the others.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from pinfeather.model.diagnostics import Code, Diagnostic, Edit, Fix, Severity, Span, info
from pinfeather.model.metadata import Metadata
from pinfeather.translators._syntax import yaml
from pinfeather.translators._syntax.decoding import decode
from pinfeather.translators._syntax.taking import STRICT, Manner, Taking
from pinfeather.translators._syntax.tree import LIMITS, Reading, Tree
from pinfeather.translators.contract import File

Kind = tuple[str, str]
"""API group and kind: `("traefik.io", "IngressRoute")`; the group of core objects is empty."""
DNS = "external-dns.alpha.kubernetes.io/"
MACHINES = ("kubectl.kubernetes.io/last-applied-configuration",)
"""Annotations that a program wrote about the object itself: they are not carried along."""
_SERVERS_OWN = dict.fromkeys((
    "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "managedFields", "ownerReferences", "finalizers",
    "selfLink", "generateName",
))  # fmt: skip
"""Keys of `metadata` that the API server, or whoever owns the object, writes."""


@dataclass(frozen=True, eq=False)
class KubeObject:
    """One object. `node` is the whole of it; `apiVersion`, `kind`, `metadata` and `status` have been taken."""

    group: str
    version: str
    kind: str
    name: str
    namespace: str | None
    metadata: dict[str, Tree]
    """The tree of a `Metadata`, without the object's name."""
    node: Taking
    metadata_node: Taking | None
    text: str
    """The text of its whole file, for edits."""
    document: str = ""
    """The text of its YAML document, byte for byte; empty where it is one of a List."""

    @property
    def where(self) -> str:
        """As kubectl writes it: `IngressRoute default/shop`."""
        return f"{self.kind} {self.namespace or 'default'}/{self.name}"


@dataclass
class Stream:
    """What a run has read."""

    objects: list[KubeObject] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    """Whole documents that are none of the format's business, byte for byte."""
    found: list[Diagnostic] = field(default_factory=list)
    roots: list[Taking] = field(default_factory=list)
    readings: int = 0
    """How many documents were objects of any kind."""

    def of(self, kind: str, *groups: str) -> Iterator[KubeObject]:
        """The objects of one kind, of any or of the named groups, in the order of the stream."""
        return (each for each in self.objects if each.kind == kind and (not groups or each.group in groups))

    def finish(self) -> tuple[Diagnostic, ...]:
        """Everything that was found, and what nobody took."""
        return (*self.found, *(finding for root in self.roots for finding in root.finish()))


def read_objects(files: Iterable[File], subject: Collection[Kind], manner: Manner = STRICT) -> Stream:
    """Every object of the kinds in `subject`."""
    stream = Stream()
    for file in files:
        text = decode(file.text, file.name, LIMITS.stream_bytes)
        if isinstance(text, Diagnostic):
            stream.found.append(text)
            continue
        take_readings(stream, yaml.read_stream(text, file.name, yaml.KUBERNETES), text, subject, manner)
    return stream


def take_readings(stream: Stream, readings: Iterable[Reading], text: str, subject: Collection[Kind], manner: Manner = STRICT) -> None:
    """The same of the documents of one file, whose whole text is `text`."""
    others: Counter[str] = Counter()
    first: Span | None = None
    for reading in readings:
        if reading.broken or reading.value is None:
            nothing = text.strip() and [finding.code for finding in reading.diagnostics] == [Code.EMPTY]
            stream.found += () if nothing else reading.diagnostics  # a stream of comments is one without objects
            continue
        own, kinds = _take(reading, text, subject, manner, stream)
        if kinds and not own:
            stream.passed.append(reading.text)
        if kinds:
            first = first or reading.span_at(("kind",))
            others.update(kinds)
    if others:
        counted = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
        said = f"not routing, left alone: {counted}"
        stream.found.append(info(Code.SCOPE, said, span=first, instead="--pass-through copies them to the output"))


def _take(reading: Reading, text: str, subject: Collection[Kind], manner: Manner, stream: Stream) -> tuple[bool, list[str]]:
    """Takes the objects of one document; whether one of them is the format's own, and the kinds of the others."""
    if _is_json_patch(reading.value):
        said = "a patch, and no object: whoever applies it knows what it changes"
        stream.found.append(info(Code.PATCH_FRAGMENT, said, span=reading.span(reading.mark), instead="convert what it is applied to"))
        stream.passed.append(reading.text)
        return True, []
    if not isinstance(reading.value, dict):
        stream.found += Taking.of(reading, manner).finish()
        return False, []
    listed = reading.value.get("kind") == "List" and isinstance(reading.value.get("items"), list)
    trees = reading.value["items"] if listed else [reading.value]
    assert isinstance(trees, list)
    kinds = [_kind(tree) for tree in trees]
    if not listed and (kinds[0] is None or kinds[0] not in subject) and reading.value.get("apiVersion") and reading.value.get("kind"):
        stream.readings += 1
        stream.found += reading.diagnostics
        return False, [str(reading.value["kind"])]
    root = Taking.of(reading, manner)
    stream.roots.append(root)
    items = [root]
    if listed:
        root.text("kind"), root.text("apiVersion"), root.tree("metadata")
        items = root.list("items")
    own, others = False, []
    for item in items:
        kind = _kind(item.value)
        if kind is not None and kind not in subject and kind[1] != "List":
            item.forget()
            others.append(kind[1])
            stream.readings += 1
        elif (found := _object(item, text, subject, "" if listed else reading.text)) is not None:
            stream.objects.append(found)
            stream.readings += 1
            own = True
    return own, others


def _kind(tree: Tree) -> Kind | None:
    if not isinstance(tree, dict) or not isinstance(tree.get("kind"), str) or not isinstance(tree.get("apiVersion"), str):
        return None
    group, slash, _ = str(tree["apiVersion"]).partition("/")
    return (group if slash else "", str(tree["kind"]))


def _is_json_patch(tree: Tree) -> bool:
    return isinstance(tree, list) and bool(tree) and all(isinstance(step, dict) and {"op", "path"} <= set(step) for step in tree)


def _object(node: Taking, text: str, subject: Collection[Kind], document: str) -> KubeObject | None:
    """One object of the format's own kinds; None where it is none, and the reason was reported."""
    api, kind = node.text("apiVersion"), node.text("kind")
    if not api or not kind:
        node.forget()
        lacks = "apiVersion" if not api else "kind"
        node.error(Code.VALUE, f"this is no Kubernetes object: it has no `{lacks}`", instead=f"write its {lacks}")
        return None
    if kind == "List":
        node.forget()
        node.error(Code.VALUE, "a List within a List: the API server takes none", instead="write its items into the outer one")
        return None
    group, slash, version = api.partition("/")
    held = node.map("metadata")
    node.tree("status")
    name, tree = (None, {}) if held is None else _metadata(held)
    if not name:
        node.forget()
        node.error(Code.VALUE, f"this {kind} has no `metadata.name`", instead="give it a name")
        return None
    if "$patch" in (node.value if isinstance(node.value, dict) else {}):
        node.forget()
        said = f"a patch of the {kind} {name!r}, and no object: whoever applies it knows what it changes"
        node.report(info(Code.PATCH_FRAGMENT, said, node.path, span=node.span, instead="convert what it is applied to"))
        return None
    assert (group if slash else "", kind) in subject
    namespace = tree.get("namespace")
    where = namespace if isinstance(namespace, str) else None  # a template stays one
    return KubeObject(group if slash else "", version if slash else api, kind, name, where, tree, node, held, text, document)


def _metadata(node: Taking) -> tuple[str | None, dict[str, Tree]]:
    """The name, and the tree of a `Metadata`."""
    name, namespace = node.text("name"), node.text("namespace")
    labels, annotations = node.text_map("labels"), node.text_map("annotations")
    for key in node.present(_SERVERS_OWN):
        node.tree(key)
    if isinstance(node.value, dict) and "annotation" in node.value:
        _singular(node)
    dns = {key.removeprefix(DNS): text for key, text in annotations.items() if key.startswith(DNS)}
    kept = {key: text for key, text in annotations.items() if not key.startswith(DNS) and key not in MACHINES}
    tree: dict[str, Tree] = {"namespace": namespace or None, "labels": dict(labels), "annotations": dict(kept), "dns": dict(dns)}
    return name, {key: value for key, value in tree.items() if value}


def _singular(node: Taking) -> None:
    node.tree("annotation")
    span = node.key_span_of("annotation")
    fix = Fix("write annotations", (Edit(span, "annotations"),))
    said = "`annotation` is no key of metadata: it is dropped without a word, and what stands in it does nothing"
    node.report(Diagnostic(Code.ANNOTATION_SINGULAR, Severity.ERROR, said, (*node.path, "annotation"), "write `annotations`", span, (fix,)))


# Writing ---------------------------------------------------------------------------------------------------------------

_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")


def is_name(text: str, longest: int = 63) -> bool:
    """Whether a text is a DNS-1123 label, as names of objects are written here."""
    return len(text) <= longest and _NAME.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """Whether a text can be the name of most objects: DNS-1123 labels with dots between them."""
    return 0 < len(text) <= 253 and all(_NAME.fullmatch(part) for part in text.split("."))


def subdomain_name(text: str) -> str:
    """The same as `object_name`, but for names that may have dots."""
    return text if is_subdomain(text) else object_name(text)


def service_name(text: str) -> str:
    """A DNS-1035 label, as Services have it: the same, and it begins with a letter."""
    name = object_name(text)
    return name if name[0].isalpha() else object_name(f"s-{text}") if is_name(f"s-{text}") else f"s-{name}"[:63].rstrip("-")


def object_name(text: str, longest: int = 63) -> str:
    """A DNS-1123 label for any text: itself where it is one, else what is left of it and eight hex digits of its hash."""
    if is_name(text, longest):
        return text
    kept = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[: longest - 9].strip("-")
    return f"{kept or 'x'}-{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def put_object(api_version: str, kind: str, name: str, metadata: Metadata | None, spec: Mapping[str, Tree]) -> dict[str, Tree]:
    """One object. What the metadata says of namespace, labels and annotations is written; `spec` may be several keys of the object."""
    head: dict[str, Tree] = {"name": name}
    if metadata is not None:
        annotations = {**metadata.annotations, **{f"{DNS}{key}": text for key, text in metadata.dns.items()}}
        parts: dict[str, Tree] = {
            "namespace": metadata.namespace, "labels": dict(metadata.labels), "annotations": dict(annotations),
        }  # fmt: skip
        head |= {key: value for key, value in parts.items() if value}
    return {"apiVersion": api_version, "kind": kind, "metadata": head, **spec}
