"""`otaru product`: the lines of releases there are."""

from otaru.apps.cli.client import Api
from otaru.apps.cli.command import Cursor, Limit, command, group, more
from otaru.apps.cli.printer import Printer, field, moment

noun = group("Products: named lines of releases.")


@command(noun, "list")
def products(api: Api, printer: Printer, limit: Limit = 100, cursor: Cursor = None) -> None:
    """List products."""
    page = api.pages("/products", limit=limit, cursor=cursor)
    printer.table(
        page, page["items"], (field("Name"), field("Releases"), ("Created", lambda p: moment(p.get("created_at"))))
    )
    more(printer, page)
