"""A stack that runs on this machine: demo servers, a real Traefik and the reference proxy, and the files that the two proxies watch."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pulumi

from pinfeather.deploy.components import Refused, Routes, TranslatedArgs
from pinfeather.deploy.plan import LOOPBACK, Plan
from pinfeather.deploy.resources import ConfigFile, LocalProcess
from pinfeather.model.document import Document
from pinfeather.model.services import LoadBalancer
from pinfeather.translators.canonical import CanonicalOptions, emit
from pinfeather.translators.contract import TextFile

ENTRY_POINT = "web"
"""What a document's entry point is called that names none."""


def deploy_here(plan: Plan) -> None:
    """Everything on loopback."""
    folder = plan.root / ".pinfeather" / plan.name
    routes = Routes(plan.name, TranslatedArgs.of(plan.said, plan.settings.policy, str(folder / "traefik")))
    copy = document_copy(plan, folder / "proxy" / "document.yaml", pulumi.ResourceOptions(depends_on=[routes]))
    demo = [demo_server(plan, service, _name(service, index), port) for service, index, port in _servers(plan.said.document)]
    ready = pulumi.ResourceOptions(depends_on=[*demo, routes, copy])
    watched = [f"--providers.file.directory={folder / 'traefik'}", "--providers.file.watch=true"]
    traefik, proxy = start_traefik(plan, watched, None, None, ready), _proxy(plan, folder, ready)
    settings = plan.settings
    pulumi.export("traefik", f"http://{LOOPBACK}:{settings.traefik_port}")
    pulumi.export("proxy", f"http://{LOOPBACK}:{settings.proxy_port}")
    pulumi.export("processes", pulumi.Output.all(traefik.pid, proxy.pid, *(each.pid for each in demo)))
    pulumi.export("check", _check(plan, folder))


def _check(plan: Plan, folder: Path) -> list[str]:
    """The arguments of `pinfeather` that measure this stack."""
    entry_point = _entry_point(plan)
    traefik = f"Traefik:{entry_point}=http://{LOOPBACK}:{plan.settings.traefik_port}"
    proxy = f"reference proxy:{entry_point}=http://{LOOPBACK}:{plan.settings.proxy_port}"
    return ["verify", str(folder / "proxy" / "document.yaml"), "--url", traefik, "--url", proxy, "--demo"]


def document_copy(plan: Plan, path: Path, options: pulumi.ResourceOptions) -> ConfigFile:
    """The document as it is deployed, for the reference proxy and for `verify`: never the user's own file."""
    said = plan.said
    text = _canonical(said.document)
    secret = bool(said.secrets)
    content = pulumi.Output.secret(text) if secret else text
    return ConfigFile(f"{plan.name}-proxy-document", path=str(path), content=content, mode=0o600 if secret else None, opts=options)


def _canonical(document: Document) -> str:
    artifact = emit(document, CanonicalOptions()).artifacts[0]
    assert isinstance(artifact, TextFile)
    return artifact.text


def _entry_point(plan: Plan) -> str:
    return next(iter(plan.said.document.entry_points), ENTRY_POINT)


def _servers(document: Document) -> list[tuple[str, int, int]]:
    """Every loopback server: its service, its number in it, its port."""
    return [
        (name, index, urlsplit(server.url).port or 80)
        for name, service in document.services.items()
        if isinstance(service, LoadBalancer)
        for index, server in enumerate(service.servers)
        if server.url is not None and urlsplit(server.url).hostname == LOOPBACK
    ]


def _name(service: str, index: int) -> str:
    return f"{service}-{chr(ord('a') + index)}"


def run_folder(plan: Plan) -> str:
    """Where the processes of a stack keep their state, their locks and their logs."""
    return str(plan.root / ".pinfeather" / "run" / plan.name)


def demo_server(plan: Plan, service: str, name: str, port: int) -> LocalProcess:
    """A server that says who it is."""
    command = [sys.executable, "-m", "pinfeather.verify.demo", "--name", service, "--hostname", name, "--port", str(port)]
    health = f"http://{LOOPBACK}:{port}/healthz"
    return LocalProcess(
        name, name=name, command=command, folder=run_folder(plan), listen=[f"{LOOPBACK}:{port}"], health=health, kind="demo"
    )


def start_traefik(
    plan: Plan,
    providers: Sequence[str],
    environment: Mapping[str, str] | None,
    restart_on: Mapping[str, str] | None,
    options: pulumi.ResourceOptions,
) -> LocalProcess:
    """A real Traefik on the stack's ports, that reads from these providers. Raises Refused where there is none on this machine."""
    beside = Path(sys.executable).with_name("traefik")
    binary = str(beside) if beside.exists() else shutil.which("traefik")
    if binary is None:
        raise Refused(
            "there is no `traefik` here: `make setup` installs one where there is a package for this machine; else put one on PATH"
        )
    port, api = f"{LOOPBACK}:{plan.settings.traefik_port}", f"{LOOPBACK}:{plan.settings.traefik_api_port}"
    command = [
        binary,
        f"--entrypoints.{_entry_point(plan)}.address={port}",
        f"--entrypoints.traefik.address={api}",
        *providers,
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
        folder=run_folder(plan),
        listen=[port, api],
        health=f"http://{api}/ping",
        environment=environment,
        restart_on=restart_on,
        kind="traefik",
        opts=options,
    )


def _proxy(plan: Plan, folder: Path, options: pulumi.ResourceOptions) -> LocalProcess:
    port, admin = f"{LOOPBACK}:{plan.settings.proxy_port}", f"{LOOPBACK}:{plan.settings.proxy_admin_port}"
    document = str(folder / "proxy" / "document.yaml")
    key = str(Path(run_folder(plan)) / "proxy.key")
    listen = ["--listen", f"{_entry_point(plan)}={port}", "--admin", admin, "--key-file", key]
    return LocalProcess(
        "proxy",
        name="proxy",
        command=[sys.executable, "-m", "pinfeather.proxy", document, *listen],
        folder=run_folder(plan),
        listen=[port, admin],
        health=f"http://{admin}/healthz",
        kind="proxy",
        opts=options,
    )
