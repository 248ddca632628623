"""`foreoptic keys`: make, list and revoke the API keys of a home."""

import time
from pathlib import Path
from typing import Annotated

import typer

from foreoptic import options, show
from foreoptic.locate import open_home
from foreoptic.options import settings

DAY_S = 86_400

app = typer.Typer(help="API keys: who may ask a service for what.", no_args_is_help=True)
Home = Annotated[Path | None, typer.Option(help="The service's home.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Whose it is; a-z, 0-9, '-' and '_'.")],
    scope: Annotated[list[str], typer.Option(help="predict, adapt, observe or admin; once for each.")],
    domain: Annotated[list[str] | None, typer.Option(help="Bound to this domain; once for each.")] = None,
    predict_per_s: Annotated[float | None, typer.Option(min=0.001, help="Most images a second.")] = None,
    adapt_per_h: Annotated[float | None, typer.Option(min=0.001, help="Most batches an hour.")] = None,
    days: Annotated[float | None, typer.Option(min=0.001, help="Days until it expires.")] = None,
    home: Home = None,
    as_json: options.Json = False,
) -> None:
    """Make a key and show it, once; what is kept is its SHA-256."""
    from service.auth import Scope, make_key
    from service.contract.manifest import NAME, NAME_RULE
    from service.database import keys

    for each in (name, *(domain or ())):
        if not NAME.fullmatch(each):
            raise show.fail(f"a name is {NAME_RULE}; got '{each}'")
    unknown = [each for each in scope if each not in set(Scope)]
    if unknown:
        raise show.fail(f"no scope is called {', '.join(unknown)}; there are {', '.join(Scope)}")
    now = time.time()
    key, row = make_key(
        name,
        map(Scope, scope),
        domains=domain,
        predict_per_s=predict_per_s,
        adapt_per_h=adapt_per_h,
        created_at=now,
        expires_at=None if days is None else now + days * DAY_S,
    )
    database, _ = open_home(settings(home=home))
    with database.write() as connection:
        if keys.find(connection, name) is not None:
            raise show.fail(f"there is a key '{name}' already, or was one; names are not given twice")
        keys.add(connection, row)
    database.close()
    if as_json:
        show.print_json({"name": name, "key": key})
        return
    show.print_facts([("key", key), ("scopes", row.scopes), ("domains", row.domains or "all")])
    show.err.print("shown this once; clients send it as 'Authorization: Bearer KEY'")


@app.command("ls")
def list_keys(home: Home = None, as_json: options.Json = False) -> None:
    """Keys that were made, without what is secret about them."""
    from service.database import keys

    database, _ = open_home(settings(home=home))
    with database.read() as connection:
        rows = keys.every(connection)
    database.close()
    if as_json:
        show.print_json([{name: value for name, value in vars(row).items() if name != "sha256"} for row in rows])
        return
    now = time.time()
    lines = [(row.name, row.scopes, row.domains or "all", _state(row.expires_at, row.revoked_at, now)) for row in rows]
    show.print_table("", ["name", "scopes", "domains", "state"], lines, left=4)


@app.command()
def revoke(name: Annotated[str, typer.Argument(help="Of the key.")], home: Home = None) -> None:
    """End a key; a running service follows within a second."""
    from service.database import keys

    database, _ = open_home(settings(home=home))
    with database.write() as connection:
        if not keys.revoke(connection, name, time.time()):
            raise show.fail(f"there is no key '{name}' that is not revoked; see `foreoptic keys ls`")
    database.close()
    show.print_facts([("revoked", name)])


def _state(expires_at: float | None, revoked_at: float | None, now: float) -> str:
    if revoked_at is not None:
        return "revoked"
    if expires_at is None:
        return "good"
    return f"good for {(expires_at - now) / DAY_S:.1f} days" if now < expires_at else "expired"
