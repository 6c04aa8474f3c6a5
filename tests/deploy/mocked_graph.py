"""A program under Pulumi's mocks, in a process of its own (Pulumi keeps loops and settings for good); prints what it made."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import NoReturn

from pulumi.runtime import mocks, set_mocks
from pulumi.runtime.stack import wait_for_rpcs

from pinfeather.deploy.components import Routes, TranslatedArgs
from pinfeather.deploy.config_file import Mark
from pinfeather.deploy.policy import Policy
from pinfeather.deploy.resources import ConfigFile, LocalProcess
from pinfeather.deploy.translation import Translation
from pinfeather.model.document import Document
from pinfeather.translators.contract import TextFile


class Recorded(mocks.Mocks):
    """Takes every registration and answers with its inputs."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str, dict[str, object]]] = []

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, object]]:
        self.made.append((args.typ, args.name, dict(args.inputs)))
        return f"{args.name}-id", dict(args.inputs)

    def call(self, args: mocks.MockCallArgs) -> NoReturn:
        raise AssertionError(f"nothing here calls a function, and {args.token} was")


def main() -> None:
    """Make one of each, and print the registrations and the component's output as JSON."""
    recorded = Recorded()
    paths: list[object] = []
    set_mocks(recorded, project="shop", stack="dev")
    files = (TextFile("a.yaml", "a: 1\n"), TextFile("b.toml", "b = 'a secret one'\n"))
    secret = frozenset({"a secret one"})
    said = Translation(
        document=Document(), format="pinfeather", options={}, files=files, losses=("loss.x at routes.0: gone",), secrets=secret
    )
    Routes("shop", TranslatedArgs.of(said, Policy(keep_pins=True), "/etc/traefik")).paths.apply(paths.append)
    LocalProcess("one", name="one", command=["/bin/x"], folder="/run/shop", listen=["127.0.0.1:8080"])
    ConfigFile("file", path="/a.json", content="{}", mark=Mark.SIDECAR)
    asyncio.get_event_loop().run_until_complete(wait_for_rpcs())
    json.dump({"made": recorded.made, "paths": paths}, sys.stdout)


if __name__ == "__main__":
    main()
