"""Components: routes, and the proxies of a cluster, made of resources. What other Pulumi programs import."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import pulumi
from pydantic import JsonValue, ValidationError

from pinfeather.deploy.objects import hidden, make_objects
from pinfeather.deploy.policy import Policy
from pinfeather.deploy.resources import ConfigFile, RouteSet
from pinfeather.deploy.settings import RefusalError
from pinfeather.deploy.translation import Translation, document_of, translation
from pinfeather.model.diagnostics import Allowed
from pinfeather.model.document import Document
from pinfeather.translators.contract import File, TextFile

NONE: Mapping[str, str] = {}


class Refused(pulumi.RunError):
    """The stack cannot be deployed as it is written; nothing was made. The engine prints the message without a traceback."""


@dataclass(frozen=True)
class RoutesArgs:
    """A document, and how it is to be said. What decides which resources there are must be known when the program runs, so of all these
    only `folder` may be an output."""

    document: str | Mapping[str, JsonValue]
    """The text of a canonical document, or its tree."""
    format: str
    folder: pulumi.Input[str] | None = None
    """Where a format's files go; absolute. Objects go into the cluster of the resource's provider."""
    namespace: str | None = None
    """Of objects that say none."""
    options: Mapping[str, str | bool] | None = None
    """The format's own, as `pinfeather formats NAME` lists them."""
    allow: Sequence[str] = ()
    """Losses that are allowed, as an allow file has them."""
    bind: Mapping[str, str] | None = None
    """Values for the document's templates; they are taken for secrets."""
    policy: Mapping[str, JsonValue] | None = None
    """The fields of `Policy`."""
    manager: str = "pinfeather"
    """The field manager of what is applied to a cluster."""

    force: bool = False
    """Whether what others changed in the objects is put back. Without it a field that another field manager holds stops the apply."""

    def translation(self) -> Translation:
        """Raises RefusalError with everything that is wrong, or lost and not allowed."""
        text = self.document if isinstance(self.document, str) else json.dumps(self.document)
        document, secrets = document_of(File("document", text), self.bind or NONE)
        return translation(
            document,
            self.format,
            self.options or {},
            allowed=tuple(map(Allowed.parse, self.allow)),
            namespace=self.namespace,
            secrets=secrets | frozenset((self.bind or NONE).values()),
        ).within(self.namespace or "default")

    @property
    def after(self) -> Sequence[pulumi.Resource]:
        """What must be there before."""
        return ()


@dataclass(frozen=True)
class TranslatedArgs(RoutesArgs):
    """The same of a document that was translated already; `ready`: what must be there before, such as CRDs."""

    said: Translation | None = None
    ready: Sequence[pulumi.Resource] = ()

    @classmethod
    def of(
        cls,
        said: Translation,
        policy: Policy,
        folder: str | None = None,
        manager: str = "pinfeather",
        ready: Sequence[pulumi.Resource] = (),
        *,
        force: bool = False,
    ) -> TranslatedArgs:
        rules = policy.model_dump(mode="json", exclude_none=True)
        return cls(document="", format=said.format, folder=folder, policy=rules, manager=manager, force=force, said=said, ready=ready)

    def translation(self) -> Translation:
        assert self.said is not None
        return self.said

    @property
    def after(self) -> Sequence[pulumi.Resource]:
        return self.ready


class Routes(pulumi.ComponentResource):
    """A document in the format of one proxy: a `RouteSet`, a `ConfigFile` for each file, a resource of Kubernetes for each object.

    Each is named after what it makes, so that one more never renames another. Raises `Refused` before the first resource where the document
    cannot be said as it must.
    """

    paths: pulumi.Output[Mapping[str, str]]
    """File name -> absolute path."""
    objects: pulumi.Output[Sequence[str]]
    """What was made: `IngressRoute shop/shop`, `file shop.yml`."""

    def __init__(self, name: str, args: RoutesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        try:
            said = args.translation()
            policy = None if args.policy is None else Policy.model_validate_json(json.dumps(args.policy))
        except RefusalError as problem:
            raise Refused(str(problem)) from None
        except ValidationError as problem:
            raise Refused(f"policy: {problem.errors(include_url=False)[0]['msg']}") from None
        _check([file.name for file in said.files], args.folder)
        super().__init__("pinfeather:index:Routes", name, None, opts)
        self.route_set = RouteSet(
            name,
            name=name,
            document=_held(said),
            hidden=[pulumi.Output.secret(text) for text in sorted(said.secrets)] if _is_large(said) else None,
            format=said.format,
            options=said.options,
            summary=f"{len(said.document.routes)} routes, {len(said.document.services)} services",
            losses=said.losses,
            objects=said.deployed(),
            policy=policy,
            opts=pulumi.ResourceOptions(parent=self),
        )

        def options(waits: Sequence[pulumi.Resource]) -> pulumi.ResourceOptions:
            # After the set: what it refuses must not be there already.
            return pulumi.ResourceOptions(parent=self, depends_on=[self.route_set, *args.after, *waits])

        self.files = {file.name: _file(name, file, args.folder or "", said, options(())) for file in said.files}
        made = make_objects(name, said.objects, args.manager, options, said.hides, force=args.force)
        after_all = [*made.values()]
        make_objects(name, said.patches, args.manager, lambda waits: options([*after_all, *waits]), said.hides, patch=True)
        self.paths = pulumi.Output.all(**{key: file.path for key, file in self.files.items()})
        self.objects = pulumi.Output.from_input(list(said.deployed()))
        self.register_outputs({"paths": self.paths, "objects": self.objects})


def _file(name: str, file: TextFile, folder: pulumi.Input[str], said: Translation, opts: pulumi.ResourceOptions) -> ConfigFile:
    secret = bool(said.secrets)  # how a format would write one is not guessed

    def within(given: str) -> str:
        return str(PurePath(given, file.name))

    return ConfigFile(
        f"{name}-{file.name}",
        path=within(folder) if isinstance(folder, str) else pulumi.Output.all(folder).apply(lambda given: within(str(given[0]))),
        content=pulumi.Output.secret(file.text) if secret else file.text,
        mode=0o600 if secret else None,
        opts=opts,
    )


_LARGE = 100
"""Routes above which the document goes into the state as text: the engine takes seconds over a tree of thousands of values."""


def _is_large(said: Translation) -> bool:
    return len(said.document.routes) + len(said.document.tcp_routes) > _LARGE


def _held(said: Translation) -> dict[str, JsonValue] | pulumi.Input[str]:
    tree = _tree(said.document)
    if not _is_large(said):
        return dict(hidden(tree, said.hides))
    text = json.dumps(tree, ensure_ascii=False)
    return pulumi.Output.secret(text) if said.secrets else text


def _tree(document: Document) -> dict[str, JsonValue]:
    tree: dict[str, JsonValue] = document.model_dump(mode="json", exclude_defaults=True)
    return tree


def _check(names: Sequence[str], folder: pulumi.Input[str] | None) -> None:
    if names and folder is None:
        raise Refused(f"{names[0]} is a file, and nobody said where it goes: give `folder`, in a stack `pinfeather:out`")
    if isinstance(folder, str) and not PurePath(folder).is_absolute():
        raise Refused(f"the folder {folder!r} is not an absolute path")
    for name in names:
        if name in ("", "..") or PurePath(name).name != name or "\0" in name:
            raise Refused(f"{name!r} is not the plain name of a file")
        if names.count(name) > 1:
            raise Refused(f"two artifacts are named {name!r}")
