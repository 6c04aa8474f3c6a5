"""What is taken over: the document of files, of live objects or of a live Traefik, and the objects that it was read from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from pinfeather._convert import options_for
from pinfeather._reading import instance_of, prepared, read_groups
from pinfeather._sources import UsageError, readers_for, source
from pinfeather.deploy.cluster import Cluster, ClusterError
from pinfeather.importing.grouping import Key, Tree, key_of, readable
from pinfeather.importing.live_objects import kinds_of, objects_of
from pinfeather.model.diagnostics import Diagnostic, Severity
from pinfeather.model.document import Document, EntryPoint
from pinfeather.model.rename import rename
from pinfeather.translators._syntax import yaml
from pinfeather.translators.contract import AnyTranslator, Emitted, File, KubernetesObject, Parsed, Source

Options = dict[str, str | bool]


class Taken(NamedTuple):
    """What was read."""

    parsed: Parsed
    options: Options
    """The options of all formats that were said, by name."""
    format: str = ""
    """The format that it was read as, where that is one."""
    objects: tuple[Tree, ...] = ()
    """The objects, where it was objects: those that the document is made of, in the order in which they are applied."""
    around: tuple[Tree, ...] = ()
    """Objects that were needed to read these, and are somebody else's."""
    others: Mapping[Key, str] = {}
    """Objects of the same kinds that are left alone, and why."""
    masters: Mapping[str, int] = {}
    """Programs that apply some of the objects too, and how many."""
    managers: Mapping[str, int] = {}
    """Field managers in the cluster, and of how many objects they hold fields."""
    cluster: Cluster | None = None
    faults: tuple[str, ...] = ()
    """What a live Traefik does not use, a line each."""


def taken(given: argparse.Namespace, writer: AnyTranslator) -> Taken:
    """Raises UsageError, FileError, ClusterError and OSError."""
    ways = [bool(given.files), given.cluster, given.live is not None]
    if sum(ways) != 1:
        raise UsageError("say one source: files, --cluster, or --live URL")
    if not given.cluster and (given.context or given.kubeconfig or given.namespace or given.excluded):
        raise UsageError("--context, --kubeconfig, --namespace and --except are about --cluster")
    if given.cluster:
        return _of_cluster(given, writer)
    return _of_traefik(given, writer) if given.live is not None else _of_files(given, writer)


def _options(
    given: argparse.Namespace, formats: Sequence[AnyTranslator]
) -> tuple[Options, Mapping[str, EntryPoint], tuple[Diagnostic, ...]]:
    """The options that are said, and the entry points. Raises UsageError for one that no format has."""
    found, points, said = instance_of(formats, given.instance, given.from_static)
    options = dict(found)
    fields = {name: field.annotation for each in formats for name, field in each.options.model_fields.items()}
    for text in given.option:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in fields:
            known = ", ".join(sorted(fields))
            raise UsageError(f"--option {text}: write NAME=VALUE; the names are {known}")
        if fields[name] is bool and value not in ("true", "false"):
            raise UsageError(f"--option {text}: say true or false")
        options[name] = value == "true" if fields[name] is bool else value
    return options, points, said


# Files -----------------------------------------------------------------------------------------------------------------


def _of_files(given: argparse.Namespace, writer: AnyTranslator) -> Taken:
    inputs = source(given.files)
    groups, doubts = readers_for(inputs, given.source, [*given.files, "<stdin>"])
    parsed, options = _read(groups, doubts, given, writer)
    names = {reader.name for reader, _ in groups}
    objects = [tree for each in inputs.files for tree in _trees(each)] if names == {writer.name} else []
    return Taken(parsed, options, names.pop() if len(names) == 1 else "", tuple(objects))


def _read(
    groups: Sequence[tuple[AnyTranslator, Source]], doubts: tuple[Diagnostic, ...], given: argparse.Namespace, writer: AnyTranslator
) -> tuple[Parsed, Options]:
    if not groups:
        return Parsed(None, doubts), {}
    options, points, said = _options(given, [writer, *(reader for reader, _ in groups)])
    readers = []
    for reader, files in groups:
        made, wrong = options_for(reader, {name: value for name, value in options.items() if name in reader.options.model_fields})
        if made is None:
            return Parsed(None, (*said, *wrong)), options
        readers.append(((reader, files), made))
    if any(finding.severity is Severity.ERROR for finding in said):
        return Parsed(None, said), options
    parsed = prepared(read_groups(readers), given.bind, given.servers, points)
    return parsed._replace(diagnostics=(*doubts, *said, *parsed.diagnostics)), options


def _trees(file: File) -> list[Tree]:
    """The objects of a stream, as kubectl reads them."""
    found: list[Tree] = []
    for reading in yaml.read(file.text, file.name, yaml.KUBERNETES):
        # What is no JSON is no object either: the reader has said so.
        value: JsonValue = None if reading.broken else json.loads(json.dumps(reading.value, default=str))
        items = value.get("items") if isinstance(value, dict) and value.get("kind") == "List" else [value]
        held = [each for each in items if isinstance(each, dict)] if isinstance(items, list) else []
        found += [each for each in held if "kind" in each and isinstance(each.get("metadata"), dict)]
    return found


# A cluster -------------------------------------------------------------------------------------------------------------


def _of_cluster(given: argparse.Namespace, writer: AnyTranslator) -> Taken:
    from pinfeather._plugins import translator
    from pinfeather._render import text
    from pinfeather.model.diagnostics import Report

    reader, unknown = translator(given.source or writer.name)
    if reader is None:
        raise UsageError(text(Report.of(unknown)).strip())
    options, _, _ = _options(given, [writer, reader])
    kinds = kinds_of(reader.name, options.get("traefik", ""))
    try:
        cluster = Cluster.of(Path(given.kubeconfig) if given.kubeconfig else None, given.context)
    except ClusterError as problem:
        raise UsageError(f"{problem}; say --kubeconfig or --context") from None
    found = objects_of(cluster, kinds, given.namespace, given.excluded)
    if not found.own:
        where = f" in {', '.join(given.namespace)}" if given.namespace else ""
        raise UsageError(f"{cluster.called} has nothing to import for {reader.name}{where}")
    parsed, options = _read([(reader, Source(tuple(map(_file, (*found.around, *found.own)))))], (), given, writer)
    own = reader.name == writer.name
    return Taken(
        parsed,
        options,
        reader.name,
        found.own if own else (),
        found.around if own else (),
        found.others,
        found.masters,
        found.managers,
        cluster,
    )


def _file(tree: Tree) -> File:
    """An object as a file that is called as the object is, so that a finding names it."""
    return File(str(key_of(tree)), Emitted((KubernetesObject(dict(readable(tree))),)).files()[0].text)


# A live Traefik --------------------------------------------------------------------------------------------------------


def _of_traefik(given: argparse.Namespace, writer: AnyTranslator) -> Taken:
    from pinfeather._live import live
    from pinfeather._traefik_api import ask

    options, _, _ = _options(given, [writer])
    found = live(ask(given.live, given.traefik_header))
    parsed = found.parsed
    if parsed.document is not None:
        parsed = parsed._replace(document=rename(parsed.document, _plain(parsed.document, found.names)))
    return Taken(parsed, options, faults=tuple(f"{name} {fault}" for name, fault in found.faults))


def _plain(document: Document, names: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Traefik's names without their providers, where no two of a section are alike then."""
    found: dict[str, dict[str, str]] = {}
    for section in ("routes", "tcp_routes", "services", "tcp_services", "middlewares", "tcp_middlewares"):
        nouns = getattr(document, section)
        ours = list(nouns) if isinstance(nouns, dict) else [route.name for route in nouns]
        wanted = {name: names.get(name, name).partition("@")[0] for name in ours}
        counted = [*wanted.values()]
        found[section] = {name: new for name, new in wanted.items() if new != name and counted.count(new) == 1 and new not in ours}
    return found
