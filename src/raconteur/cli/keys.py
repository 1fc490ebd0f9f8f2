"""`raconteur keys`: who may ask the recommender, and for what. A running service follows within a request."""

from typing import Annotated

import typer

from raconteur.cli.settings import ConfigFiles, Overrides, resolve
from raconteur.scopes import Scope

app = typer.Typer(no_args_is_help=True, help="Add, list and remove API keys of the recommender.")

Name = Annotated[str, typer.Argument(help="Who holds the key; shown in logs and refusals.")]


@app.command()
def add(
    name: Name,
    scope: Annotated[list[Scope], typer.Option(help="What the key may be used for; repeatable.")],
    config: ConfigFiles = None,
    overrides: Overrides = None,
    rate: Annotated[float, typer.Option(help="Requests a second in the long run.")] = 50.0,
    burst: Annotated[int, typer.Option(help="Requests at once after a pause.")] = 100,
) -> None:
    """Make a key and print its token, once: only a hash of it is kept."""
    from raconteur.keys import add_key, keys_path, new_key

    path = keys_path(resolve(config, overrides).workdir)
    key, token = new_key(name, scope, rate_per_s=rate, burst=burst)
    add_key(path, key)
    typer.echo(f"key '{name}' is in {path}; its token is not stored anywhere, keep it:", err=True)
    typer.echo(token)  # alone on stdout, so that it can be piped to where it is needed


@app.command("list")
def list_(config: ConfigFiles = None, overrides: Overrides = None) -> None:
    """Print the keys, without their tokens."""
    from rich.console import Console
    from rich.table import Table

    from raconteur.keys import keys_path, read_keys

    path = keys_path(resolve(config, overrides).workdir)
    keys = read_keys(path)
    if keys is None:
        typer.echo(f"there is no {path}: whoever can ask is answered, and the service listens on loopback only")
        return
    table = Table("name", "scopes", "requests a second", "at once", "created", title=f"keys of {path}")
    for key in keys:
        created = f"{key.created:%Y-%m-%d %H:%M}"
        table.add_row(key.name, ", ".join(sorted(key.scopes)), f"{key.rate_per_s:g}", str(key.burst), created)
    Console().print(table)


@app.command()
def remove(name: Name, config: ConfigFiles = None, overrides: Overrides = None) -> None:
    """Take a key out; its token is refused from then on."""
    from raconteur.keys import keys_path, read_keys, remove_key

    path = keys_path(resolve(config, overrides).workdir)
    remove_key(path, name)
    left = read_keys(path) or ()
    typer.echo(f"key '{name}' is out, {len(left)} are left in {path}")
    if not left:
        typer.echo("nobody is let in now; to open the service on loopback again, remove the file and restart it")
