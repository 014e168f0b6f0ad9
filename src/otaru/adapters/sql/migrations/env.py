"""Alembic's entry: runs the revisions on the connection that `migrate.py` hands in."""

from typing import Any

from alembic import context

from otaru.adapters.sql import tables


def _note(*, step: Any, **_: Any) -> None:
    context.config.attributes["applied"].append(step.up_revision_id)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    # All revisions or none: on SQLite too, where alembic by itself would commit after each statement.
    transactional_ddl=True,
    render_as_batch=True,
    on_version_apply=_note,  # type: ignore[arg-type]  # called by keywords, of which it takes one
)
with context.begin_transaction():
    context.run_migrations()
