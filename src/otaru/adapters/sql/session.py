"""What every aggregate's SQL works with: one connection inside one transaction."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Session:
    """A connection inside a transaction, and what differs between engines and workers."""

    connection: Connection
    shard: int = 0
    """This worker's shard of `deployment_count`, 0 to 15."""

    @property
    def postgres(self) -> bool:
        """Whether the engine is PostgreSQL; otherwise it is SQLite."""
        return self.connection.dialect.name == "postgresql"

    def cursor(self) -> Any:
        """A cursor of the driver itself, within the connection's transaction."""
        driver: Any = self.connection.connection.driver_connection
        return driver.cursor()
