"""`pinfeather import`: what it reads, what it writes, and how it ends."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from pinfeather import _render
from pinfeather._convert_command import _permission, allowances
from pinfeather._files import FileError
from pinfeather._plugins import translator
from pinfeather._progress import Progress
from pinfeather._sources import UsageError
from pinfeather.deploy.cluster import ClusterError
from pinfeather.deploy.settings import RefusalError, Settings
from pinfeather.deploy.translation import Translation, document_of, placed, translation, writer_of
from pinfeather.importing import proof, stack
from pinfeather.importing.files import Wanted, write_all
from pinfeather.importing.grouping import Tree, key_of
from pinfeather.importing.live_objects import KINDS
from pinfeather.importing.reading import Taken, taken
from pinfeather.importing.saying import Said, say
from pinfeather.model.diagnostics import Allowed, Code, Diagnostic, Report, Severity, dotted
from pinfeather.model.document import Document
from pinfeather.model.project import project
from pinfeather.translators.contract import AnyTranslator, File

_PRIVATE = 0o600


class _Stack(NamedTuple):
    """What is to be written, and what comes of it."""

    files: tuple[Wanted, ...]
    said: Translation
    namespace: str
    """Where objects go that name no namespace; empty: nobody said."""
    private: bool


def run(given: argparse.Namespace) -> int:
    """Exit codes: 0 the first `up` would change nothing, 1 it would, 2 input, 4 nobody answers.

    Raises FileError, UsageError and OSError.
    """
    writer, unknown = translator(given.format)
    if writer is None:
        raise UsageError(_render.text(Report.of(unknown)).strip())
    root = Path(given.cwd)
    if not root.is_dir():
        raise FileError(root, "is no folder")
    try:
        with Progress() as progress:
            progress.stage("reading")
            found = taken(given, writer)
            report = found_report(found, given)
            sys.stderr.write(_render.text(report, most=len(report.diagnostics) if given.all else _render.SCREEN))
            document = found.parsed.document
            if document is None or report.errors:
                _tell_how(found, report)
                return 2
            progress.stage("writing")
            made = _stack(given, root, found, document, writer)
            progress.stage("asking what the first `up` would change")
            proved = _proved(given, root, found, made)
    except ClusterError as problem:
        sys.stderr.write(f"pinfeather: {problem}{_hint(problem)}\n")
        return 2 if HTTPStatus.BAD_REQUEST <= problem.status < HTTPStatus.INTERNAL_SERVER_ERROR else 4
    except RefusalError as problem:
        raise UsageError(str(problem)) from None
    write_all(made.files, force=given.force)
    unread = sum(each.code.startswith("unread.") for each in report.diagnostics)
    say(Said(found, made.files, made.said, made.private, unread, proved), given.stack, every=given.all)
    return 0 if proved.nothing and not made.said.files else 1


def found_report(found: Taken, given: argparse.Namespace) -> Report:
    """What was said of the reading, as far as it is not allowed."""
    allowed = [_permission(text, "--allow") for text in given.allow]
    if given.allow_file is not None:
        allowed += allowances(Path(given.allow_file))
    # What is about something else is left alone here anyway.
    return Report.of(each for each in found.parsed.diagnostics if each.code != Code.SCOPE).allowing(allowed)


def _tell_how(found: Taken, report: Report) -> None:
    """What would let the import pass."""
    wrong = [each for each in report.diagnostics if each.severity is Severity.ERROR]
    out = sys.stderr
    out.write("\nNothing was written.\n")
    if found.cluster is not None and (objects := sorted({each.span.file for each in wrong if each.span is not None})):
        out.write("To leave these objects alone:\n\n" + "".join(f"  --except '{_render.plain(each)}'\n" for each in objects))
    if any("say --" in each.instead for each in wrong):
        out.write("\nAn option of a format is said as --option here: --option allow-empty-services=true\n")
    if losses := [each for each in wrong if each.allowable]:
        out.write("\nTo go on without exactly this, keep these lines in a file and give it as --allow-file:\n\n")
        out.write(_render.allow_file(losses))


def _hint(problem: ClusterError) -> str:
    return "; name those that you may read with --namespace" if problem.status == HTTPStatus.FORBIDDEN else ""


# What is written -------------------------------------------------------------------------------------------------------


def _stack(given: argparse.Namespace, root: Path, found: Taken, document: Document, writer: AnyTranslator) -> _Stack:
    """Raises UsageError, FileError and RefusalError."""
    target = Path(given.output) if given.output else Path("stacks") / given.stack / "routes.yaml"
    # What will be read is what counts: `pulumi up` knows the text alone.
    text = stack.document_text(document)
    document, secrets = document_of(File(str(target), text), {})
    options = {name: value for name, value in found.options.items() if name in writer.options.model_fields}
    namespace = str(options.pop("namespace", "")) or _namespace(found)
    losses, nears = _losses(document, writer, options, namespace, given)
    said = _translated(document, given, options, namespace, losses, found.around + found.objects)
    adopted = _adopted(found, said, namespace or "")
    if adopted:
        said = _translated(document, given, options, namespace, losses, adopted)
    allow = stack.allow_text(losses, nears)
    beside = {"allow": target.with_suffix(".allow"), "adopted": target.with_suffix(".adopted.yaml")}
    if target in beside.values() or target.suffix not in (".yaml", ".yml", ".json"):
        raise UsageError(f"-o {target}: the document is a .yaml file; beside it go {beside['adopted'].name} and {beside['allow'].name}")
    values: dict[str, JsonValue] = {"document": _relative(root, target), "format": writer.name, "run": "nothing"}
    values |= {"options": dict(options)} if options else {}
    values |= {"allow": _relative(root, beside["allow"])} if allow else {}
    values |= {"adopted": _relative(root, beside["adopted"])} if adopted else {}
    values |= {"namespace": namespace} if namespace else {}
    values |= {"kubeconfig": _relative(root, Path(os.path.abspath(given.kubeconfig)))} if given.kubeconfig else {}  # noqa: PTH100
    values |= {"context": given.context} if given.context else {}
    values |= {"out": given.out} if given.out else {}
    Settings.of(values)
    private = bool(secrets) or any(tree.get("kind") == "Secret" for tree in adopted)
    mode = _PRIVATE if private else None
    texts = [(target, text, mode)]
    texts += [(beside["adopted"], stack.objects_text(adopted), mode)] if adopted else []
    texts += [(beside["allow"], allow, None)] if allow else []
    files = [Wanted(root / path, each.encode("utf-8"), own) for path, each, own in texts]
    return _Stack((*files, _settings(root, given, values)), said, namespace or "", private)


def _settings(root: Path, given: argparse.Namespace, values: Mapping[str, JsonValue]) -> Wanted:
    """The stack's own file, last: it is what makes a stack of the others."""
    path = root / "stacks" / f"Pulumi.{given.stack}.yaml"
    if not given.stack.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise UsageError(f"--stack {given.stack!r}: no stack can be called so")
    try:
        before = path.read_text("utf-8") if path.exists() else None
    except (OSError, UnicodeDecodeError) as problem:
        raise FileError(path, f"cannot be read: {problem}") from None
    return Wanted(path, stack.settings_text(values, before, str(path), force=given.force).encode("utf-8"), mine=True)


def _relative(root: Path, path: Path) -> str:
    """As the settings name it: from the project's folder, with `/`."""
    return Path(os.path.relpath(path, root.resolve())).as_posix() if path.is_absolute() else path.as_posix()


def _namespace(found: Taken) -> str | None:
    """Where objects go that name no namespace."""
    homes = {home for tree in found.objects if (home := key_of(tree).namespace)}
    if len(homes) == 1:
        return homes.pop()
    return found.cluster.namespace if found.cluster is not None else None


def _losses(
    document: Document, writer: AnyTranslator, options: Mapping[str, str | bool], namespace: str | None, given: argparse.Namespace
) -> tuple[list[Diagnostic], list[Diagnostic]]:
    """What the format cannot say, and what it says a little differently. Raises UsageError for the loss of a guard."""
    _, made = writer_of(writer.name, options, namespace)
    said = project(document, writer.supports(made)).diagnostics
    losses = [each for each in said if each.code.startswith("loss.") and each.severity is Severity.ERROR]
    rules = [_permission(text, "--allow") for text in given.allow] + (allowances(Path(given.allow_file)) if given.allow_file else [])
    guards = [each for each in losses if each.security and not any(rule.covers(each) for rule in rules)]
    if guards:
        # Nobody is let in by a file that was written by itself.
        lines = "".join(f"\n  {each.code}@{dotted(each.path)}: {each.message}; {each.instead}" for each in guards)
        raise UsageError(f"{writer.name} cannot say what guards a route, and nothing was written; name each as --allow CODE@PATH:{lines}")
    return losses, [each for each in said if each.code.startswith("near.")]


def _translated(
    document: Document,
    given: argparse.Namespace,
    options: Mapping[str, str | bool],
    namespace: str | None,
    losses: Sequence[Diagnostic],
    adopted: Sequence[Tree],
) -> Translation:
    """As the program of the stack does it. Raises RefusalError."""
    allowed = [Allowed(str(each.code), dotted(each.path)) for each in losses]
    said = translation(document, given.format, options, allowed=allowed, namespace=namespace, adopted=adopted)
    return said.within(namespace) if namespace else said


def _adopted(found: Taken, said: Translation, home: str) -> tuple[Tree, ...]:
    """What is kept beside the document: the objects that stand in the place of ours, and what is needed to read them."""
    standing = {key_of(tree, home) for tree in said.objects}
    kept = [tree for tree in found.objects if key_of(tree, home) in standing]
    return (*found.around, *kept) if kept else ()


def _proved(given: argparse.Namespace, root: Path, found: Taken, made: _Stack) -> proof.Proof:
    """What the first `up` would do. Raises ClusterError."""
    said, home = made.said, made.namespace
    patched = {key_of(tree, home) for tree in said.patches}
    kinds = {kind for _, kind in KINDS[said.format].own} if said.format in KINDS else {tree.get("kind") for tree in said.objects}
    kinds |= {"Secret"} & {tree.get("kind") for tree in said.objects}
    # Files hold whatever they hold; a cluster was asked for its routing alone.
    found_here = [tree for tree in found.objects if found.cluster is not None or tree.get("kind") in kinds]
    found_here += [tree for tree in found.around if key_of(tree, home) in patched]
    there = {key_of(tree, home): placed(tree, home) if home else tree for tree in found_here}
    applied = proof.laid_over if found.cluster is None else proof.by_cluster(found.cluster, _manager(root, given.stack))
    proved = proof.proof((*said.objects, *said.patches), there, applied)
    return proved._replace(alone={**proved.alone, **found.others})


def _manager(root: Path, name: str) -> str:
    """The field manager under which the stack will apply."""
    try:
        project_name = str(stack.loaded((root / "Pulumi.yaml").read_text("utf-8"), "Pulumi.yaml").get("name") or "")
    except OSError:
        project_name = ""
    return f"pinfeather-{project_name}-{name}" if project_name else "pinfeather"
