"""A document in the format of a stack: what is written as files and what as objects, and what there is to say about it. Pure.

Formats say what they emit (`TextFile`, `KubernetesObject`, `KubernetesPatch`); a plugin's is treated like ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from pydantic import JsonValue

from pinfeather import _render
from pinfeather._convert import options_for, read, write
from pinfeather._plugins import translator
from pinfeather.deploy.settings import RefusalError
from pinfeather.model.bind import bind, expressions
from pinfeather.model.diagnostics import Allowed, Diagnostic, Report, Severity, dotted, span_at
from pinfeather.model.document import Document
from pinfeather.translators.canonical import CanonicalOptions
from pinfeather.translators.contract import AnyTranslator, File, KubernetesObject, KubernetesPatch, Options, Source, TextFile

Tree = dict[str, JsonValue]
CLUSTER_WIDE = frozenset(
    {"Namespace", "ClusterRole", "ClusterRoleBinding", "IngressClass", "GatewayClass", "CustomResourceDefinition", "PriorityClass"}
)
"""Kinds without a namespace, of those that anybody is likely to emit here."""
_OPENING = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})
_QUIET = ("near.", "carried.")


@dataclass(frozen=True)
class Translation:
    """One document, said in one format."""

    document: Document
    format: str
    options: Mapping[str, str | bool]
    files: tuple[TextFile, ...] = ()
    objects: tuple[Tree, ...] = ()
    """Whole objects, in the order in which they are to be applied."""
    patches: tuple[Tree, ...] = ()
    """Named fields of objects that others own."""
    remarks: tuple[str, ...] = ()
    """What the proxy will do a little differently from the document, a line each."""
    losses: tuple[str, ...] = ()
    """What the format cannot say and was allowed, a line each."""
    others: tuple[str, ...] = ()
    """What is deployed beside it, by name."""
    secrets: frozenset[str] = frozenset()
    """Texts that must not be seen: whoever writes one of them anywhere marks it as secret."""

    def deployed(self) -> tuple[str, ...]:
        """What this comes to, by names that stay: `IngressRoute shop/shop`, `patch Service shop/v1`, `file shop.yml`; sorted."""
        names = [f"file {each.name}" for each in self.files]
        names += [called(each) for each in self.objects]
        names += [f"patch {called(each)}" for each in self.patches]
        names += self.others
        return tuple(sorted(names))

    def beside(self, trees: Sequence[Tree]) -> Translation:
        """The same, with what is deployed to serve it: it counts among what is there, and what may go."""
        return replace(self, others=tuple(map(called, trees)))

    def within(self, namespace: str) -> Translation:
        """The same with each object that says no namespace in this one."""
        return replace(
            self,
            objects=tuple(placed(each, namespace) for each in self.objects),
            patches=tuple(placed(each, namespace) for each in self.patches),
        )

    def hides(self, text: str) -> bool:
        """Whether a value holds a secret, as it is or as a rule or a text of JSON would write it."""
        return any(form in text for form in self._forms)

    @cached_property
    def _forms(self) -> tuple[str, ...]:
        return tuple(form for secret in self.secrets for form in {secret, json.dumps(secret)[1:-1], secret.replace("\\", "\\\\")} if form)


def called(tree: Tree) -> str:
    """`KIND NAMESPACE/NAME`, or `KIND NAME`."""
    metadata = tree["metadata"]
    assert isinstance(metadata, dict)
    namespace = metadata.get("namespace")
    return f"{tree['kind']} {f'{namespace}/' if namespace else ''}{metadata['name']}"


def slug(tree: Tree) -> str:
    """`ingressroute-shop_shop`: a name that stays while the object does, and that no other object has.

    No name of Kubernetes holds `_`, so that a namespace and a name cannot be taken for others.
    """
    group = str(tree["apiVersion"]).rpartition("/")[0]
    foreign = group and group != "traefik.io" and "." in group and not group.endswith(".k8s.io")
    kind, _, place = called(tree).partition(" ")
    return f"{kind}{f'.{group}' if foreign else ''}-{place}".lower().replace("/", "_")


def placed(tree: Tree, namespace: str) -> Tree:
    """The object in a namespace, unless it says one or is of a kind that has none."""
    metadata = tree["metadata"]
    assert isinstance(metadata, dict)
    if "namespace" in metadata or tree["kind"] in CLUSTER_WIDE:
        return tree
    return {**tree, "metadata": {**metadata, "namespace": namespace}}


def document_of(source: File, values: Mapping[str, str]) -> tuple[Document, frozenset[str]]:
    """The canonical document of a file, its templates bound; and the texts in it that are secret.

    Raises RefusalError with every finding at its line.
    """
    reader, unknown = translator("pinfeather")
    if reader is None:
        raise RefusalError(_render.text(Report.of(unknown)))
    parsed = read(Source((source,)), reader, CanonicalOptions())
    document, found = parsed.document, parsed.diagnostics
    if document is not None and values:
        document, said = bind(document, values)
        found = (*found, *said)
    if document is None or any(each.severity is Severity.ERROR for each in found):
        report = Report.of(each.at(span_at(parsed.spans, each.path)) for each in found)
        raise RefusalError(f"the document cannot be read:\n{_render.text(report)}")
    if left := expressions(document):
        first = left[0]
        raise RefusalError(
            f"{source.name}: {first.flag} has no value: `pulumi config set --path 'pinfeather:bind[\"{first.text}\"]' VALUE`"
        )
    return document, frozenset(_secrets(document))


def _secrets(document: Document) -> Iterator[str]:
    """Hashes of users, and what stands in request headers that open doors."""
    for middleware in document.middlewares.values():
        if middleware.basic_auth is not None:
            yield from filter(None, (str(user).partition(":")[2] for user in middleware.basic_auth.users))
        if middleware.headers is not None:
            yield from (str(value) for name, value in middleware.headers.request.items() if str(name).lower() in _OPENING and value)


def translation(
    document: Document,
    format_name: str,
    options: Mapping[str, str | bool],
    *,
    allowed: Sequence[Allowed] = (),
    namespace: str | None = None,
    secrets: frozenset[str] = frozenset(),
    adopted: Sequence[Tree] = (),
) -> Translation:
    """Say a document in a format. Raises RefusalError with every loss that is not allowed."""
    writer, made = writer_of(format_name, options, namespace)
    written = write(document, writer, made, allowed=allowed)
    if written.refused:
        raise RefusalError(f"the document cannot be said as {format_name}:\n{_render.text(written.report)}")
    files = tuple(each for each in written.artifacts if isinstance(each, TextFile))
    objects = tuple(_tree(each) for each in written.artifacts if isinstance(each, KubernetesObject))
    if adopted:
        from pinfeather.importing.adopted import as_adopted

        objects = as_adopted(objects, adopted, writer, made)
    found = written.report.diagnostics
    return Translation(
        document=document,
        format=format_name,
        options=_asked(writer, options, namespace),
        files=files,
        objects=objects,
        patches=tuple(_tree(each) for each in written.artifacts if isinstance(each, KubernetesPatch)),
        remarks=tuple(_render.line(each) for each in found if each.code.startswith("near.")),
        losses=tuple(_loss(each) for each in found if each.severity is Severity.WARNING and not each.code.startswith(_QUIET)),
        secrets=secrets,
    )


def writer_of(format_name: str, options: Mapping[str, str | bool], namespace: str | None = None) -> tuple[AnyTranslator, Options]:
    """A format with its options; the namespace is one of them where it has such an option. Raises RefusalError."""
    writer, unknown = translator(format_name)
    if writer is None:
        raise RefusalError(f"pinfeather:format: {_render.text(Report.of(unknown))}")
    wrong = sorted(options.keys() - writer.options.model_fields.keys())
    if wrong:
        known = ", ".join(sorted(writer.options.model_fields)) or "none"
        raise RefusalError(f"pinfeather:options.{wrong[0]}: {format_name} has no such option; it has {known}")
    made, said = options_for(writer, _asked(writer, options, namespace))
    if made is None:
        raise RefusalError(f"pinfeather:options: {_render.text(Report.of(said))}")
    return writer, made


def _asked(writer: AnyTranslator, options: Mapping[str, str | bool], namespace: str | None) -> dict[str, str | bool]:
    """The namespace counts: Traefik's cookie values are made of it."""
    has = namespace is not None and "namespace" in writer.options.model_fields
    return {**({"namespace": namespace} if namespace is not None and has else {}), **options}


def _tree(artifact: KubernetesObject | KubernetesPatch) -> Tree:
    tree = artifact.tree
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}


def _loss(finding: Diagnostic) -> str:
    return f"{finding.code} at {dotted(finding.path)}: {finding.message}" + (f"; {finding.instead}" if finding.instead else "")
