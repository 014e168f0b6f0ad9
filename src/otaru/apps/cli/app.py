"""The command tree."""

from typing import Annotated

import typer

from otaru import __version__
from otaru.apps.cli import (
    agents,
    alerts,
    anchors,
    artifacts,
    attributes,
    authority,
    backups,
    blackouts,
    bundles,
    configs,
    deltas,
    demo,
    enrollments,
    errands,
    events,
    fleet,
    following,
    keys,
    logs,
    products,
    releases,
    rollouts,
    serving,
    simulate,
    tenants,
    tokens,
)
from otaru.apps.cli.command import command

app = typer.Typer(
    name="otaru",
    no_args_is_help=True,
    add_completion=False,
    # Plain help: rich would cost each start 200 ms.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"otaru {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Otaru updates the firmware of IoT fleets.

    Commands that talk to a server find it by OTARU_SERVER and OTARU_TOKEN, or --server and --token. Exit codes: 0 done,
    1 failed, 2 wrong use, 3 nothing to do, 4 refused by policy, 5 partly.
    """
    del version


app.command("demo")(demo.demo)
command(app, "serve")(serving.serve)
command(app, "simulate")(simulate.simulate)
keys.noun.add_typer(anchors.noun, name="anchor")
for _name, _noun in (
    ("db", serving.db),
    ("blobs", serving.blobs),
    ("tenant", tenants.noun),
    ("token", tokens.noun),
    ("fleet", fleet.noun),
    ("agent", agents.noun),
    ("device", errands.noun),
    ("attribute", attributes.noun),
    ("group", following.noun),
    ("ca", authority.noun),
    ("enrollment", enrollments.noun),
    ("product", products.noun),
    ("artifact", artifacts.noun),
    ("release", releases.noun),
    ("delta", deltas.noun),
    ("config", configs.noun),
    ("backup", backups.noun),
    ("keys", keys.noun),
    ("rollout", rollouts.noun),
    ("blackout", blackouts.noun),
    ("bundle", bundles.noun),
    ("alert", alerts.noun),
    ("event", events.noun),
    ("log", logs.noun),
):
    app.add_typer(_noun, name=_name)
