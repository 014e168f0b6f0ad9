"""The schema, in one place. The tenant leads every key; hot rows are narrow; text compares bytewise on both engines.

`migrations/` brings a database here; a test holds the two together. Times are microseconds since 1970 in UTC.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """A moment as it is stored."""
    return (moment - EPOCH) // MICROSECOND


def moment(micros: int) -> datetime:
    """A stored moment."""
    return EPOCH + timedelta(microseconds=micros)


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """To the database."""
        del dialect
        return None if value is None else micros(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        del dialect
        return None if value is None else moment(value)


Bytewise = Text().with_variant(Text(collation="C"), "postgresql")
Serial = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _key(name: str, kind: Any = Bytewise) -> Column[Any]:
    # Keys are given by us; SQLite would otherwise make a lone integer key count by itself.
    return Column(name, kind, primary_key=True, nullable=False, autoincrement=False)


def _col(name: str, kind: Any = Bytewise, **options: Any) -> Column[Any]:
    return Column(name, kind, nullable=options.pop("nullable", False), **options)


tenant = Table(
    "tenant",
    metadata,
    _key("tenant"),
    _col("created_at", Instant),
    _col("settings", Text),
    _col("halted", Boolean),
    _col("halt_reason", Text),
    _col("edition", Integer),
)

token = Table(
    "token",
    metadata,
    _key("tenant"),
    _key("token"),
    _col("digest", LargeBinary, unique=True),
    _col("kind"),
    _col("role"),
    _col("label", Text),
    _col("created_at", Instant),
    _col("expires_at", Instant, nullable=True),
    _col("revoked_at", Instant, nullable=True),
    _col("parent", nullable=True),
)

device = Table(
    "device",
    metadata,
    _key("tenant"),
    _key("device"),
    _col("lifecycle"),
    _col("model"),
    _col("hardware_revision"),
    _col("token_digest", LargeBinary),
    _col("lot", BigInteger),
    _col("last_action", Integer),
    _col("attributes_requested", Boolean),
    _col("auto_confirm", Text, nullable=True),
    _col("created_at", Instant),
    _col("updated_at", Instant),
    _col("edition", Integer),
    Index("ix_device_model", "tenant", "model", "device"),
    Index("ix_device_created", "tenant", "created_at", "device"),
    # Nearly all devices are active, and most have no revision: these list the others.
    Index(
        "ix_device_lifecycle",
        "tenant",
        "lifecycle",
        "device",
        sqlite_where=text("lifecycle <> 'active'"),
        postgresql_where=text("lifecycle <> 'active'"),
    ),
    Index(
        "ix_device_revision",
        "tenant",
        "hardware_revision",
        "device",
        sqlite_where=text("hardware_revision <> ''"),
        postgresql_where=text("hardware_revision <> ''"),
    ),
    sqlite_with_rowid=False,
)

device_contact = Table(
    "device_contact",
    metadata,
    _key("tenant"),
    _key("device"),
    _col("last_contact", Instant),
    _col("address"),
    # The hour of the last contact, since 1970: an index of it moves once an hour, where one of the time moves at each poll.
    # 0 where a program before revision 0005 wrote the row: never later than the hour.
    _col("hour", Integer, server_default=text("0")),
    Index("ix_device_contact_hour", "tenant", "hour", "device"),
    sqlite_with_rowid=False,
)

device_attribute = Table(
    "device_attribute",
    metadata,
    _key("tenant"),
    _key("device"),
    _key("name"),
    _col("value"),
    Index("ix_device_attribute_value", "tenant", "name", "value", "device"),
    sqlite_with_rowid=False,
)

device_tag = Table(
    "device_tag",
    metadata,
    _key("tenant"),
    _key("device"),
    _key("tag"),
    Index("ix_device_tag_tag", "tenant", "tag", "device"),
    sqlite_with_rowid=False,
)

device_component = Table(
    "device_component",
    metadata,
    _key("tenant"),
    _key("device"),
    _key("component"),
    _col("version"),
    _col("source"),
    _col("confirmed", Boolean),
    _col("at", Instant),
    Index("ix_device_component_version", "tenant", "component", "version", "device"),
    sqlite_with_rowid=False,
)

product = Table("product", metadata, _key("tenant"), _key("product"), _col("created_at", Instant))

device_failed = Table("device_failed", metadata, _key("tenant"), _key("device"), sqlite_with_rowid=False)
"""Devices whose last word on an update was a failure (`deployment`, as a device's page shows it)."""

# Devices counted (`fleet`): in shards, as members of rollouts are.
device_count = Table(
    "device_count",
    metadata,
    _key("tenant"),
    _key("lifecycle"),
    _key("shard", SmallInteger),
    _col("devices", BigInteger),
)

component_count = Table(
    "component_count",
    metadata,
    _key("tenant"),
    # Hours since 1970 in which it changed; 0 counts all of them.
    _key("hour", Integer),
    _key("component"),
    _key("version"),
    _key("shard", SmallInteger),
    _col("devices", BigInteger),
    sqlite_with_rowid=False,
)

contact_count = Table(
    "contact_count",
    metadata,
    _key("tenant"),
    _key("hour", Integer),
    _key("shard", SmallInteger),
    _col("devices", BigInteger),
    sqlite_with_rowid=False,
)
"""Devices by the hour, since 1970, of their last contact."""

release = Table(
    "release",
    metadata,
    _key("tenant"),
    _key("product"),
    _key("version"),
    _col("state"),
    _col("notes", Text),
    _col("created_at", Instant),
    _col("published_at", Instant, nullable=True),
    _col("edition", Integer),
    Index("ix_release_created", "tenant", "created_at"),
)

artifact = Table(
    "artifact",
    metadata,
    _key("tenant"),
    _key("product"),
    _key("version"),
    _key("component"),
    _key("model"),
    _key("hardware_revision"),
    _col("filename", Text),
    _col("sha256"),
    Index("ix_artifact_sha256", "tenant", "sha256"),
)

blob = Table(
    "blob",
    metadata,
    _key("tenant"),
    _key("sha256"),
    _col("sha1"),
    _col("md5"),
    _col("size", BigInteger),
    _col("created_at", Instant),
    Index("ix_blob_sha256", "sha256"),
)

upload = Table(
    "upload",
    metadata,
    _key("tenant"),
    _key("upload"),
    _col("size_limit", BigInteger),
    _col("size", BigInteger, nullable=True),
    _col("filename", Text),
    _col("created_at", Instant),
)

rollout = Table(
    "rollout",
    metadata,
    _key("tenant"),
    _key("rollout", Integer),
    _col("name", Text),
    _col("product"),
    _col("version"),
    _col("target", Text),
    _col("state"),
    _col("reason", Text),
    _col("policy", Text),
    _col("seed", BigInteger),
    _col("size", Integer),
    _col("created_at", Instant),
    _col("start_at", Instant, nullable=True),
    _col("started_at", Instant, nullable=True),
    _col("ended_at", Instant, nullable=True),
    _col("edition", Integer),
    Index("ix_rollout_state", "state"),
    Index("ix_rollout_release", "tenant", "product", "version", "rollout"),
)

rollout_wave = Table(
    "rollout_wave",
    metadata,
    _key("tenant"),
    _key("rollout", Integer),
    _key("wave", SmallInteger),
    _col("start", Integer),
    _col("height", Integer),
    _col("state"),
    _col("opened_at", Instant, nullable=True),
    _col("complete_at", Instant, nullable=True),
    _col("reason", Text),
)

rollout_segment = Table(
    "rollout_segment",
    metadata,
    _key("tenant"),
    _key("rollout", Integer),
    _key("segment", SmallInteger),
    _col("name", Text),
    _col("size", Integer),
    _col("held", Boolean),
    _col("watermark", Integer),
)

OPEN_STATES = "'offered','awaiting_consent','postponed','downloading','downloaded','installing','rebooting','on_trial','cancelling'"

deployment = Table(
    "deployment",
    metadata,
    _key("tenant"),
    _key("rollout", Integer),
    _key("device"),
    _key("attempt", SmallInteger),
    _col("current", Boolean),
    _col("state"),
    _col("segment", SmallInteger),
    _col("wave", SmallInteger),
    _col("rank", Integer),
    # NULL until it is offered: NULLs are distinct, so the key below binds offered ones only.
    _col("action", Integer, nullable=True),
    _col("changed_at", Instant),
    _col("offered_at", Instant, nullable=True),
    _col("ended_at", Instant, nullable=True),
    UniqueConstraint("tenant", "device", "action"),
    # A device has at most one open deployment (DOMAIN, Invariants): the schema says so too.
    Index(
        "uq_deployment_open",
        "tenant",
        "device",
        unique=True,
        sqlite_where=text(f"state IN ({OPEN_STATES})"),
        postgresql_where=text(f"state IN ({OPEN_STATES})"),
    ),
    Index(
        "ix_deployment_scheduled",
        "tenant",
        "device",
        "rollout",
        sqlite_where=text("state = 'scheduled'"),
        postgresql_where=text("state = 'scheduled'"),
    ),
    Index("ix_deployment_state", "tenant", "rollout", "state", "device"),
    sqlite_with_rowid=False,
)

deployment_reason = Table(
    "deployment_reason",
    metadata,
    _key("tenant"),
    _key("rollout", Integer),
    _key("device"),
    _key("attempt", SmallInteger),
    _col("reason", Text),
)
"""Last words, apart from the hot row: only deployments that ended badly have one."""

deployment_count = Table(
    "deployment_count",
    metadata,
    _key("tenant"),
    _key("rollout", Integer),
    _key("segment", SmallInteger),
    _key("wave", SmallInteger),
    _key("state"),
    # Each worker counts in a shard of its own, so that workers do not wait for one another; readers sum them.
    _key("shard", SmallInteger),
    _col("members", BigInteger),
)

report = Table(
    "report",
    metadata,
    _key("tenant"),
    _key("device"),
    _key("action", Integer),
    _key("digest"),  # in hexadecimal: bytes could not be looked up by the many (`lean.fetch_keyed`)
    _col("received_at", Instant),
    _col("event", nullable=True),
    _col("execution"),
    _col("result"),
    _col("messages", Text),
    _col("device_time"),
)

event = Table(
    "event",
    metadata,
    Column("sequence", Serial, primary_key=True, autoincrement=True),
    # The transaction that wrote it: on PostgreSQL sequences commit out of order, readers follow (transaction, sequence)
    # up to the oldest transaction still running. On SQLite, which has one writer, it is 0.
    _col("transaction", BigInteger),
    _col("tenant"),
    _col("at", Instant),
    _col("actor"),
    _col("kind"),
    _col("subject"),
    _col("data", Text),
    Index("ix_event_position", "transaction", "sequence"),
    Index("ix_event_tenant", "tenant", "transaction", "sequence"),
    Index("ix_event_subject", "tenant", "subject", "transaction", "sequence"),
    Index("ix_event_kind", "tenant", "kind", "transaction", "sequence"),
    sqlite_autoincrement=True,
)

idempotency = Table(
    "idempotency",
    metadata,
    _key("tenant"),
    _key("token"),
    _key("key"),
    _col("request", LargeBinary),
    _col("status", Integer),
    _col("body", LargeBinary),
    _col("created_at", Instant),
    Index("ix_idempotency_created", "created_at"),
)

tuf_metadata = Table(
    "tuf_metadata",
    metadata,
    _key("tenant"),
    _key("repository"),
    _key("role"),
    _key("version", Integer),
    _col("content", LargeBinary),
    _col("expires_at", Instant),
    _col("signed_at", Instant),
)

tuf_key = Table(
    "tuf_key",
    metadata,
    _key("tenant"),
    _key("key"),
    _col("public", Text),
    _col("role"),
    _col("place"),
    _col("development", Boolean),
    _col("created_at", Instant),
    _col("revoked_at", Instant, nullable=True),
)
