"""Components: what one set of routes is, made of resources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

import pulumi
from pydantic import JsonValue

from pinfeather.deploy.resources import ConfigFile, RouteSet


@dataclass(frozen=True)
class TextFile:
    """One emitted text artifact: its file name (no folder) and its whole text."""

    name: str
    text: str
    mode: int | None = None


@dataclass(frozen=True)
class RoutesArgs:
    """One translated document: the canonical tree, what it was read from, and the files that carry it in one format.

    `folder` is absolute. Raises `ValueError` for file names that leave the folder or stand twice.
    """

    document: Mapping[str, JsonValue]
    folder: str
    files: tuple[TextFile, ...]
    format: str = ""
    summary: str = ""

    def __post_init__(self) -> None:
        names = [file.name for file in self.files]
        for name in names:
            if name in ("", "..") or PurePath(name).name != name or "\0" in name:
                raise ValueError(f"{name!r} is not the plain name of a file")
            if names.count(name) > 1:
                raise ValueError(f"two artifacts are named {name!r}")
        if not PurePath(self.folder).is_absolute():
            raise ValueError(f"the folder {self.folder!r} is not an absolute path")


class Routes(pulumi.ComponentResource):
    """A document and the files that carry it: one `RouteSet`, and one `ConfigFile` for each text artifact.

    A file's resource is named after the component and the file, so that adding one never renames another.
    """

    paths: pulumi.Output[Mapping[str, str]]
    """File name -> absolute path."""

    def __init__(self, name: str, args: RoutesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pinfeather:index:Routes", name, None, opts)
        self.route_set = RouteSet(
            name,
            name=name,
            document=args.document,
            format=args.format,
            summary=args.summary,
            opts=pulumi.ResourceOptions(parent=self),
        )
        # After the set: what it refuses must not be on the disk already.
        after = pulumi.ResourceOptions(parent=self, depends_on=[self.route_set])
        self.files = {
            file.name: ConfigFile(
                f"{name}-{file.name}",
                path=str(PurePath(args.folder, file.name)),
                content=file.text,
                mode=file.mode,
                opts=after,
            )
            for file in args.files
        }
        self.paths = pulumi.Output.all(**{key: file.path for key, file in self.files.items()})
        self.register_outputs({"paths": self.paths})
