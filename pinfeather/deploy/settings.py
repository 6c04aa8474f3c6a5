"""The configuration of a stack, `pinfeather:*` in `stacks/Pulumi.<stack>.yaml`: typed, and wrong keys refused before anything is made.

It is the same whether the engine hands it to a program or `pinfeather render` and `pinfeather plan` read the files themselves. The keys
are in docs/deploy.md; a key is written as `traefikPort` there and is `traefik_port` here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError
from pydantic.alias_generators import to_camel

from pinfeather.deploy.policy import Policy
from pinfeather.model.diagnostics import nearest

PREFIX = "pinfeather:"
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(pattern=r"\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\z")]


class RefusalError(Exception):
    """The stack cannot be deployed as it is written, and nothing was made. The message is for the user, and may have many lines."""


class Run(StrEnum):
    """Which proxy serves the routes."""

    HERE = "here"
    """Demo servers, a Traefik and the reference proxy on this machine."""
    NOTHING = "nothing"
    """One that is there already: only the routes are deployed."""
    TRAEFIK = "traefik"
    """A Traefik in the cluster, deployed with the routes."""
    REFERENCE_PROXY = "reference-proxy"
    """The reference proxy in the cluster, deployed with the routes."""
    BESIDE = "beside"
    """A Traefik on this machine that reads the cluster, and demo servers: for trying out."""


class WeightOwner(StrEnum):
    """Who says what share each variant has."""

    DOCUMENT = "document"
    EXTERNAL = "external"
    """A controller in the cluster (Argo Rollouts, Flagger): weights that stand there are left as they are."""


MOST_DELETIONS = 10
"""Objects and files that may go in one run, where a policy does not say."""


def _with_deletions(policy: object) -> object:
    return {"max_deletions": MOST_DELETIONS, **policy} if isinstance(policy, dict) else policy


def _as_texts(values: object) -> object:
    """The engine keeps `12345678` as a number."""
    return (
        {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
        if isinstance(values, dict)
        else values
    )


class Settings(BaseModel):
    """Everything that one stack is configured with."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", alias_generator=to_camel)

    document: Annotated[str, Field(min_length=1)]
    """The canonical document, relative to the project's folder."""
    format: str = "traefik-file"
    options: dict[str, str | bool] = Field(default_factory=dict)
    """The format's own options, as `pinfeather formats NAME` lists them."""
    allow: str = ""
    """A file of allowed losses, relative to the project's folder."""
    bind: Annotated[dict[str, str], BeforeValidator(_as_texts)] = Field(default_factory=dict)
    """Values for the templates of the document; secret ones stay secret."""
    out: str = ""
    """The folder for what is written as files, relative to the project's folder: one that a proxy watches."""
    run: Run | None = None
    """Absent: `here` where nothing else is said; `nothing` for a stack with `out` or of a format that writes objects."""
    namespace: Name | None = None
    """Where objects go that name none; absent: that of the kubeconfig's context."""
    kubeconfig: str = ""
    """Relative to the project's folder; empty: $KUBECONFIG, else ~/.kube/config."""
    context: str = ""
    crds: str = ""
    """A file of CRDs to install; empty: they are there."""
    adopted: str = ""
    """The objects that `pinfeather import` found: one that means the same as ours is kept to the letter."""
    weight_owner: WeightOwner = WeightOwner.DOCUMENT
    take_over: bool = False
    """Whether fields that others hold in the cluster are taken from them."""
    policy: Annotated[Policy, BeforeValidator(_with_deletions)] = Field(default_factory=lambda: Policy(max_deletions=MOST_DELETIONS))
    proxy: dict[str, JsonValue] = Field(default_factory=dict)
    """What the proxy in the cluster is to be like: the fields of `TraefikSettings` or `ReferenceProxySettings`."""
    traefik_port: Port = 8000
    traefik_api_port: Port = 8080
    proxy_port: Port = 8001
    proxy_admin_port: Port = 8002
    demo_ports: Port = 8101

    @classmethod
    def of(cls, given: Mapping[str, JsonValue]) -> Settings:
        """From the values of `pinfeather:*`, by key without the prefix; texts as the engine hands them over, or YAML's own values.

        Raises RefusalError with every key that is wrong.
        """
        known = {to_camel(name) for name in cls.model_fields}
        wrong = [f"pinfeather:{key}: there is no such key{_guess(key, known)}" for key in given if key not in known]
        tree = {key: _decoded(key, value) for key, value in given.items() if key in known}
        try:
            settings = cls.model_validate_json(json.dumps(tree, default=str))
        except ValidationError as problem:
            wrong += _faults(problem)
        else:
            if not wrong:
                return settings
        raise RefusalError("the stack's configuration: " + "\n".join(wrong))


_TEXTS = frozenset({"document", "format", "allow", "out", "namespace", "kubeconfig", "context", "crds", "adopted", "run", "weightOwner"})


def _decoded(key: str, value: JsonValue) -> JsonValue:
    """The engine hands numbers and objects over as JSON text."""
    if key in _TEXTS or not isinstance(value, str):
        return value
    try:
        decoded: JsonValue = json.loads(value)
    except ValueError:
        return value
    return decoded


def _guess(key: str, known: set[str]) -> str:
    guess = nearest(key, known)
    return f"; did you mean {guess!r}?" if guess else f"; the keys are {', '.join(sorted(known))}"


def _faults(problem: ValidationError) -> Iterator[str]:
    for each in problem.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(part) for part in each["loc"])
        if each["type"] == "missing":
            yield f"pinfeather:{where} is missing: `pulumi config set pinfeather:{where} VALUE`"
        else:
            yield f"pinfeather:{where}: {each['msg'][:1].lower()}{each['msg'][1:]}"


# Without the engine -----------------------------------------------------------------------------------------------------


def stack_file(root: Path, stack: str) -> Path:
    """Where the settings of a stack stand. Raises RefusalError where there is no such stack."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", stack):
        raise RefusalError(f"{stack!r} is no name of a stack")
    path = root / "stacks" / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        there = sorted(each.name.removeprefix("Pulumi.").removesuffix(".yaml") for each in (root / "stacks").glob("Pulumi.*.yaml"))
        raise RefusalError(f"there is no stack {stack!r}: no {path}; there is {', '.join(there) or 'none'}")
    return path


def settings_of_files(root: Path, stack: str) -> Settings:
    """The settings of a stack as `Pulumi.yaml` and `stacks/Pulumi.<stack>.yaml` say them, without the engine.

    Raises RefusalError, also for a value that is encrypted: only the engine can read it.
    """
    given = {**_defaults(_yaml(root / "Pulumi.yaml")), **_config(_yaml(stack_file(root, stack)))}
    hidden = sorted(key for key, value in given.items() if _is_secret(value))
    if hidden:
        raise RefusalError(
            f"pinfeather:{hidden[0]} is encrypted, which only `pulumi` can read: use `pulumi preview`, or keep it out of the stack's file"
        )
    return Settings.of(given)


def _is_secret(value: JsonValue) -> bool:
    if isinstance(value, dict):
        return set(value) == {"secure"} or any(map(_is_secret, value.values()))
    return isinstance(value, list) and any(map(_is_secret, value))


def _yaml(path: Path) -> Mapping[str, JsonValue]:
    import yaml

    try:
        tree = yaml.safe_load(path.read_bytes())
    except OSError as problem:
        raise RefusalError(f"{path}: {(problem.strerror or 'cannot be read').lower()}") from None
    except yaml.YAMLError as problem:
        raise RefusalError(f"{path}: {' '.join(str(problem).split())}") from None
    return tree if isinstance(tree, dict) else {}


def _defaults(project: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    config = project.get("config")
    rows = {} if not isinstance(config, dict) else config
    keyed = {str(key): row for key, row in rows.items() if str(key).startswith(PREFIX) and isinstance(row, dict)}
    return {key.removeprefix(PREFIX): row["default"] for key, row in keyed.items() if "default" in row}


def _config(stack: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    config = stack.get("config")
    rows = {} if not isinstance(config, dict) else config
    return {key.removeprefix(PREFIX): value for key, value in rows.items() if str(key).startswith(PREFIX)}
