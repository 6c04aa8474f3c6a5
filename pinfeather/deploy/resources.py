"""The resources as a Pulumi program writes them. What they do is in the modules of the same names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
from pydantic import JsonValue

from pinfeather.deploy.config_file import Mark
from pinfeather.deploy.policy import Policy


class ConfigFile(pulumi.CustomResource):
    """A text file that a proxy reads, written whole or not at all; see `pinfeather.deploy.config_file`.

    `path` is absolute, and is the resource's id. `mark` says where the file tells that it is ours; absent, the suffix
    decides: a comment line for YAML and TOML, else a file `.NAME.pinfeather` beside it. `mode` holds permission bits.
    """

    path: pulumi.Output[str]
    sha256: pulumi.Output[str]
    """Hash of the file's bytes, the mark included."""

    def __init__(
        self,
        resource_name: str,
        *,
        path: pulumi.Input[str],
        content: pulumi.Input[str],
        mark: Mark | None = None,
        mode: int | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        given = {"path": path, "content": content, "mark": None if mark is None else mark.value, "mode": mode}
        super().__init__("pinfeather:index:ConfigFile", resource_name, {**given, "sha256": None}, opts)


class LocalProcess(pulumi.CustomResource):
    """A process that runs on this machine and outlives the engine; see `pinfeather.deploy.local_process`.

    `name` is the resource's id and is unique in its run `folder` (absolute), which holds state, lock and log. `listen`
    are `HOST:PORT` addresses that must be free before the start; `health` is `http://HOST:PORT/PATH` or
    `tcp://HOST:PORT`, and the first listen address when absent. Timeouts are in seconds. `restart_on` names values
    whose change restarts the process, as does a change of `command`, `environment`, `version`, `listen` or `health`.
    Only PATH, HOME, USER, TMPDIR and the variables of language and time zone are inherited from the engine.
    """

    name: pulumi.Output[str]
    pid: pulumi.Output[int]
    started: pulumi.Output[float]
    """Start time in seconds since 1970."""
    addresses: pulumi.Output[Sequence[str]]
    log_file: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        name: pulumi.Input[str],
        command: pulumi.Input[Sequence[pulumi.Input[str]]],
        folder: pulumi.Input[str],
        listen: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        health: pulumi.Input[str] | None = None,
        environment: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        working_directory: pulumi.Input[str] | None = None,
        kind: pulumi.Input[str] | None = None,
        version: pulumi.Input[str] | None = None,
        log: pulumi.Input[str] | None = None,
        restart_on: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        start_timeout: pulumi.Input[float] | None = None,
        stop_timeout: pulumi.Input[float] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        given = {
            "name": name,
            "command": command,
            "folder": folder,
            "listen": listen,
            "health": health,
            "environment": environment,
            "working_directory": working_directory,
            "kind": kind,
            "version": version,
            "log": log,
            "restart_on": restart_on,
            "start_timeout": start_timeout,
            "stop_timeout": stop_timeout,
        }
        outputs = {"pid": None, "started": None, "addresses": None, "log_file": None}
        # Two of one name cannot run beside each other, so the old one goes first whenever it must be replaced.
        first = pulumi.ResourceOptions(delete_before_replace=True)
        options = pulumi.ResourceOptions.merge(first, opts)
        super().__init__("pinfeather:index:LocalProcess", resource_name, {**given, **outputs}, options)


class RouteSet(pulumi.CustomResource):
    """The canonical document in the stack's state; see `pinfeather.deploy.route_set`.

    `document` is a JSON tree (`model_dump(mode="json")`) or, where that is large, its text; `format` and `options` say how it is deployed,
    `summary` is one line for people, `losses` and `objects` are what was lost and what was made of it, a line each, `policy` what a change
    may not do, `hidden` what no message shows.
    """

    name: pulumi.Output[str]
    summary: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        name: pulumi.Input[str],
        document: Mapping[str, JsonValue] | pulumi.Input[str],
        format: pulumi.Input[str] | None = None,  # noqa: A002 - the word of the command line too
        summary: pulumi.Input[str] | None = None,
        options: Mapping[str, str | bool] | None = None,
        losses: Sequence[str] | None = None,
        objects: Sequence[str] | None = None,
        policy: Policy | None = None,
        hidden: Sequence[pulumi.Input[str]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        given = {
            "name": name,
            "document": document,
            "format": format,
            "summary": summary,
            "options": dict(options) if options else None,
            "losses": list(losses) if losses else None,
            "objects": list(objects) if objects else None,
            "hidden": list(hidden) if hidden else None,
            "policy": None if policy is None else policy.model_dump(mode="json", exclude_none=True),
        }
        super().__init__("pinfeather:index:RouteSet", resource_name, given, opts)
