"""The routes of `shop.yaml`, in the format of your proxy."""

from pathlib import Path

import pulumi

from pinfeather.deploy import Routes, RoutesArgs

here = Path(__file__).resolve().parent
config = pulumi.Config()
routes = Routes(
    "shop",
    RoutesArgs(
        document=(here / "shop.yaml").read_text("utf-8"),
        format=config.require("format"),
        folder=str(here / config.require("folder")),
        namespace=config.require("namespace"),
        policy={"never_wider": True, "max_deletions": 10},
    ),
)
pulumi.export("objects", routes.objects)
