"""`otaru product`: the lines of releases there are."""

from typing import Annotated

import typer

from otaru.apps.cli.client import Api, path
from otaru.apps.cli.command import Cursor, Limit, command, group, more
from otaru.apps.cli.printer import Printer, field, moment
from otaru.domain.versions import VersionOrder

noun = group("Products: named lines of releases.")


@command(noun, "list")
def products(api: Api, printer: Printer, limit: Limit = 100, cursor: Cursor = None) -> None:
    """List products."""
    page = api.pages("/products", limit=limit, cursor=cursor)
    columns = (
        field("Name"),
        field("Releases"),
        field("Order"),
        ("Created", lambda p: moment(p.get("created_at"))),
    )
    printer.table(page, page["items"], columns)
    more(printer, page)


@command(noun, "set")
def change(
    api: Api,
    printer: Printer,
    product: Annotated[str, typer.Argument(metavar="NAME")],
    order: Annotated[VersionOrder, typer.Option(help="How its versions follow each other.")],
) -> None:
    """Change a product. All its versions have to be of the order's form."""
    changed = api.patch(path("products", product), {"order": str(order)})
    printer.result(changed, f"{product} follows the {changed['order']} order.")
