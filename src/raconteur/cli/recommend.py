"""`raconteur recommend`: asks the running service."""

from typing import Annotated

import typer

from raconteur.cli.edges import start_or_exit
from raconteur.cli.settings import ConfigFiles, Overrides, resolve


def recommend(
    user: Annotated[str, typer.Option("--user", "-u", help="User id; an unknown one gets popular items.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many items.")] = 5,
    address: Annotated[str | None, typer.Option(help="Address of the service; default: from the config.")] = None,
    config: ConfigFiles = None,
    overrides: Overrides = None,
) -> None:
    """Ask the running service for a user's recommendations."""
    if address is None:
        serving = resolve(config, overrides).serve
        address = f"http://{serving.host}:{serving.port}"
    start_or_exit("serving.client", "--address", address, "--user", user, "-k", str(k))
