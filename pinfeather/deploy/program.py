"""What `pulumi up` of a stack of this project does: read the document, translate it, and only then make resources.

`Plan.of` is pure but for reading the document: a refused translation or wrong configuration stops here, before the first
resource. `deploy` makes the resources of a plan and decides nothing.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pulumi
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pinfeather import _render
from pinfeather._convert import read, write
from pinfeather._files import FileError
from pinfeather._plugins import translator
from pinfeather._sources import source
from pinfeather.deploy.components import Routes, RoutesArgs
from pinfeather.deploy.components import TextFile as File
from pinfeather.deploy.resources import ConfigFile, LocalProcess
from pinfeather.model.diagnostics import Report, span_at
from pinfeather.model.document import Document
from pinfeather.model.services import LoadBalancer, Server
from pinfeather.translators.canonical import CanonicalOptions, emit
from pinfeather.translators.contract import TextFile

LOOPBACK = "127.0.0.1"
Port = Field(ge=1, le=65535)


class Refused(pulumi.RunError):
    """The stack cannot be deployed as it is written; nothing was made. The engine prints the message without a traceback."""


class Settings(BaseModel):
    """The configuration of a stack, `pinfeather:*` in `stacks/Pulumi.<stack>.yaml`; the defaults are in `Pulumi.yaml`."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    document: str
    format: str = "traefik-file"
    out: str = ""
    """A folder that some Traefik already watches; empty: the stack runs its own proxies on this machine."""
    traefik_port: int = Port
    traefik_api_port: int = Port
    proxy_port: int = Port
    proxy_admin_port: int = Port
    demo_ports: int = Port

    @classmethod
    def of(cls, config: pulumi.Config) -> Settings:
        """Raises Refused with the key that is wrong."""
        given = {
            "document": config.get("document"),
            "format": config.get("format"),
            "out": config.get("out"),
            "traefik_port": config.get_int("traefikPort"),
            "traefik_api_port": config.get_int("traefikApiPort"),
            "proxy_port": config.get_int("proxyPort"),
            "proxy_admin_port": config.get_int("proxyAdminPort"),
            "demo_ports": config.get_int("demoPorts"),
        }
        try:
            return cls.model_validate({name: value for name, value in given.items() if value is not None})
        except ValidationError as problem:
            first = problem.errors(include_url=False)[0]
            raise Refused(f"the stack's configuration: pinfeather:{first['loc'][0]}: {first['msg']}") from None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a stack is made of, decided."""

    name: str
    settings: Settings
    root: Path
    document: Document
    files: tuple[TextFile, ...]
    remarks: tuple[str, ...] = ()
    """What the proxy will do a little differently from the document, a line each."""

    @classmethod
    def of(cls, name: str, settings: Settings, root: Path) -> Plan:
        """Raises Refused with every finding, each at its line."""
        if sys.platform == "win32":
            raise Refused("deploying needs Linux or macOS; `pinfeather convert` and `pinfeather lint` work on Windows")
        document = _document(settings, root)
        writer, unknown = translator(settings.format)
        if writer is None:
            raise Refused(_render.text(Report.of(unknown)))
        written = write(document, writer, writer.options())
        if written.refused:
            raise Refused(f"the document cannot be said as {settings.format}:\n{_render.text(written.report)}")
        texts = tuple(artifact for artifact in written.artifacts if isinstance(artifact, TextFile))
        remarks = tuple(_render.line(finding) for finding in written.report.diagnostics if finding.code.startswith("near."))
        return cls(name, settings, root, document, texts, remarks)


def _document(settings: Settings, root: Path) -> Document:
    path = root / settings.document
    reader, unknown = translator("pinfeather")
    if reader is None:
        raise Refused(_render.text(Report.of(unknown)))
    try:
        parsed = read(source([str(path)]), reader, CanonicalOptions())
    except FileError as problem:
        raise Refused(str(problem)) from None
    if parsed.document is None:
        found = (finding.at(span_at(parsed.spans, finding.path)) for finding in parsed.diagnostics)
        raise Refused(f"the document cannot be read:\n{_render.text(Report.of(found))}")
    return parsed.document if settings.out else _at_demo_ports(parsed.document, settings.demo_ports)


def _at_demo_ports(document: Document, first: int) -> Document:
    """The same document with its loopback servers on the stack's ports, one after the other from `first`."""
    ports = iter(range(first, first + 1000))

    def moved(server: Server) -> Server:
        if server.url is None or urlsplit(server.url).hostname != LOOPBACK:
            return server
        return server.model_copy(update={"url": f"http://{LOOPBACK}:{next(ports)}"})

    services = {
        name: service.model_copy(update={"servers": tuple(moved(server) for server in service.servers)})
        if isinstance(service, LoadBalancer)
        else service
        for name, service in document.services.items()
    }
    return document.model_copy(update={"services": services})


def run(config: pulumi.Config, stack: str, root: Path) -> None:
    """The whole program of `__main__.py`. Raises Refused before the first resource."""
    plan = Plan.of(stack, Settings.of(config), root)
    for remark in plan.remarks:
        pulumi.log.warn(remark)
    if plan.settings.out:
        folder = (root / plan.settings.out).resolve()
        routes = Routes(stack, _routes(plan, folder))
        pulumi.export("files", routes.paths)
    else:
        deploy_here(plan)


def _routes(plan: Plan, folder: Path) -> RoutesArgs:
    files = tuple(File(artifact.name, artifact.text) for artifact in plan.files)
    document = plan.document.model_dump(mode="json", exclude_defaults=True)
    summary = f"{len(plan.document.routes)} routes, {len(plan.document.services)} services"
    return RoutesArgs(document=document, folder=str(folder), files=files, format=plan.settings.format, summary=summary)


def deploy_here(plan: Plan) -> None:
    """Demo servers, a real Traefik and the reference proxy, all on loopback, and the files that the two proxies watch."""
    folder = plan.root / ".pinfeather" / plan.name
    routes = Routes(plan.name, _routes(plan, folder / "traefik"))
    copy = ConfigFile(
        f"{plan.name}-proxy-document",
        path=str(folder / "proxy" / "document.yaml"),
        content=_canonical(plan.document),
        opts=pulumi.ResourceOptions(depends_on=[routes]),
    )
    demo = [_demo_server(plan, service, index, server) for service, index, server in _servers(plan.document)]
    ready = pulumi.ResourceOptions(depends_on=[*demo, routes, copy])
    traefik, proxy = _traefik(plan, folder, ready), _proxy(plan, folder, ready)
    settings = plan.settings
    pulumi.export("traefik", f"http://{LOOPBACK}:{settings.traefik_port}")
    pulumi.export("proxy", f"http://{LOOPBACK}:{settings.proxy_port}")
    pulumi.export("processes", pulumi.Output.all(traefik.pid, proxy.pid, *(each.pid for each in demo)))
    pulumi.export("check", _check(plan, folder))


def _check(plan: Plan, folder: Path) -> list[str]:
    """The arguments of `pinfeather` that measure this stack."""
    entry_point = next(iter(plan.document.entry_points), "web")
    traefik = f"Traefik:{entry_point}=http://{LOOPBACK}:{plan.settings.traefik_port}"
    proxy = f"reference proxy:{entry_point}=http://{LOOPBACK}:{plan.settings.proxy_port}"
    return ["verify", str(folder / "proxy" / "document.yaml"), "--url", traefik, "--url", proxy, "--demo"]


def _canonical(document: Document) -> str:
    artifact = emit(document, CanonicalOptions()).artifacts[0]
    assert isinstance(artifact, TextFile)
    return artifact.text


def _servers(document: Document) -> list[tuple[str, int, str]]:
    """Every loopback server: its service, its number in it, its URL."""
    return [
        (name, index, server.url)
        for name, service in document.services.items()
        if isinstance(service, LoadBalancer)
        for index, server in enumerate(service.servers)
        if server.url is not None and urlsplit(server.url).hostname == LOOPBACK
    ]


def _run_folder(plan: Plan) -> str:
    return str(plan.root / ".pinfeather" / "run" / plan.name)


def _demo_server(plan: Plan, service: str, index: int, url: str) -> LocalProcess:
    name = f"{service}-{chr(ord('a') + index)}"
    port = urlsplit(url).port
    command = [sys.executable, "-m", "pinfeather.verify.demo", "--name", service, "--hostname", name, "--port", str(port)]
    health = f"http://{LOOPBACK}:{port}/healthz"
    return LocalProcess(
        name, name=name, command=command, folder=_run_folder(plan), listen=[f"{LOOPBACK}:{port}"], health=health, kind="demo"
    )


def _traefik(plan: Plan, folder: Path, options: pulumi.ResourceOptions) -> LocalProcess:
    beside = Path(sys.executable).with_name("traefik")
    binary = str(beside) if beside.exists() else shutil.which("traefik")
    if binary is None:
        raise Refused(
            "there is no `traefik` here: `make setup` installs one where there is a package for this machine; else put one on PATH"
        )
    port, api = f"{LOOPBACK}:{plan.settings.traefik_port}", f"{LOOPBACK}:{plan.settings.traefik_api_port}"
    entry_point = next(iter(plan.document.entry_points), "web")
    command = [
        binary,
        f"--entrypoints.{entry_point}.address={port}",
        f"--entrypoints.traefik.address={api}",
        f"--providers.file.directory={folder / 'traefik'}",
        "--providers.file.watch=true",
        "--providers.providersthrottleduration=100ms",  # the default of 2s is for providers that chatter
        "--api.insecure=true",
        "--ping=true",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    ]
    return LocalProcess(
        "traefik",
        name="traefik",
        command=command,
        folder=_run_folder(plan),
        listen=[port, api],
        health=f"http://{api}/ping",
        kind="traefik",
        opts=options,
    )


def _proxy(plan: Plan, folder: Path, options: pulumi.ResourceOptions) -> LocalProcess:
    port, admin = f"{LOOPBACK}:{plan.settings.proxy_port}", f"{LOOPBACK}:{plan.settings.proxy_admin_port}"
    entry_point = next(iter(plan.document.entry_points), "web")
    document = str(folder / "proxy" / "document.yaml")
    key = str(Path(_run_folder(plan)) / "proxy.key")
    command = [sys.executable, "-m", "pinfeather.proxy", document, "--listen", f"{entry_point}={port}", "--admin", admin, "--key-file", key]
    return LocalProcess(
        "proxy",
        name="proxy",
        command=command,
        folder=_run_folder(plan),
        listen=[port, admin],
        health=f"http://{admin}/healthz",
        kind="proxy",
        opts=options,
    )
