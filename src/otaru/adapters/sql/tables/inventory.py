"""Devices, and how many of them are what."""

from sqlalchemy import BigInteger, Boolean, Index, Integer, LargeBinary, SmallInteger, Table, Text, text

from otaru.adapters.sql.tables.columns import Instant, col, key, metadata

device = Table(
    "device",
    metadata,
    key("tenant"),
    key("device"),
    col("lifecycle"),
    col("model"),
    col("hardware_revision"),
    col("token_digest", LargeBinary),
    col("lot", BigInteger),
    col("last_action", Integer),
    col("attributes_requested", Boolean),
    col("auto_confirm", Text, nullable=True),
    col("created_at", Instant),
    col("updated_at", Instant),
    col("edition", Integer),
    col("assurance", server_default="L1"),
    col("pins", Text, server_default=""),  # components with commas between them; * is all
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
    Index(
        "ix_device_assurance",
        "tenant",
        "assurance",
        "device",
        sqlite_where=text("assurance <> 'L1'"),
        postgresql_where=text("assurance <> 'L1'"),
    ),
    sqlite_with_rowid=False,
)

device_contact = Table(
    "device_contact",
    metadata,
    key("tenant"),
    key("device"),
    col("last_contact", Instant),
    col("address"),
    # The hour of the last contact, since 1970: an index of it moves once an hour, where one of the time moves at each poll.
    # 0 where a program before revision 0006 wrote the row: never later than the hour.
    col("hour", Integer, server_default=text("0")),
    Index("ix_device_contact_hour", "tenant", "hour", "device"),
    sqlite_with_rowid=False,
)

device_attribute = Table(
    "device_attribute",
    metadata,
    key("tenant"),
    key("device"),
    key("name"),
    col("value"),
    Index("ix_device_attribute_value", "tenant", "name", "value", "device"),
    sqlite_with_rowid=False,
)

attribute_declared = Table(
    "attribute_declared",
    metadata,
    key("tenant"),
    key("name"),
    col("kind"),
    col("created_at", Instant),
    col("ready", Boolean),
)

attribute_sort = Table(
    "attribute_sort",
    metadata,
    key("tenant"),
    key("device"),
    key("name"),
    col("sort", nullable=True),  # NULL: no value of its type
    Index("ix_attribute_sort_sort", "tenant", "name", "sort", "device"),
    sqlite_with_rowid=False,
)
"""Values of declared attributes as they are compared."""

attribute_change = Table(
    "attribute_change",
    metadata,
    key("tenant"),
    key("device"),
    key("at", Instant),
    key("name"),
    col("before", Text, nullable=True),
    col("after", Text, nullable=True),
    Index("ix_attribute_change_at", "at"),
    sqlite_with_rowid=False,
)

device_tag = Table(
    "device_tag",
    metadata,
    key("tenant"),
    key("device"),
    key("tag"),
    Index("ix_device_tag_tag", "tenant", "tag", "device"),
    sqlite_with_rowid=False,
)

device_group = Table(
    "device_group",
    metadata,
    key("tenant"),
    key("name"),
    col("query", Text, nullable=True),  # NULL: its members are listed
    col("description", Text),
    col("created_at", Instant),
    col("updated_at", Instant),
    col("edition", Integer),
)

group_member = Table(
    "group_member",
    metadata,
    key("tenant"),
    key("name"),
    key("device"),
    Index("ix_group_member_device", "tenant", "device", "name"),
    sqlite_with_rowid=False,
)

device_component = Table(
    "device_component",
    metadata,
    key("tenant"),
    key("device"),
    key("component"),
    col("version"),
    col("source"),
    col("confirmed", Boolean),
    col("at", Instant),
    col("counter", Integer, server_default="0"),  # the security counter; it never falls
    Index("ix_device_component_version", "tenant", "component", "version", "device"),
    sqlite_with_rowid=False,
)

device_standing = Table(
    "device_standing",
    metadata,
    key("tenant"),
    key("device"),
    col("state"),
    Index("ix_device_standing_state", "tenant", "state", "device"),
    sqlite_with_rowid=False,
)
"""Where each device in service stands (`domain.standing`), kept by what moves deployments; who is idle has no row."""

credential = Table(
    "credential",
    metadata,
    key("tenant"),
    key("device"),
    key("credential"),
    col("kind"),
    col("digest", LargeBinary),
    col("issuer", LargeBinary),
    col("label", Text),
    col("created_at", Instant),
    col("expires_at", Instant, nullable=True),
    col("revoked_at", Instant, nullable=True),
    Index("ix_credential_digest", "tenant", "digest", "kind", "issuer", unique=True),
    sqlite_with_rowid=False,
)
"""What opens the door for a device, beside its target token."""

authority = Table(
    "authority",
    metadata,
    key("tenant"),
    key("authority"),  # SHA-256 of its public key (SPKI), in hexadecimal
    col("key"),  # of the keyring; empty where it is not ours and signs nothing here
    col("certificate", LargeBinary, nullable=True),
    col("chain", Text),
    col("created_at", Instant),
    col("expires_at", Instant, nullable=True),
    col("retired_at", Instant, nullable=True),
)
"""Certificate authorities of tenants. Without a certificate: its request is on its way to an offline root."""

device_failed = Table("device_failed", metadata, key("tenant"), key("device"), sqlite_with_rowid=False)
"""Of programs before revision 0014, which may still serve while it runs: nobody reads it, the next release drops it."""

# Devices counted (`fleet`): in shards, as members of rollouts are.
device_count = Table(
    "device_count",
    metadata,
    key("tenant"),
    key("lifecycle"),
    key("shard", SmallInteger),
    col("devices", BigInteger),
)

component_count = Table(
    "component_count",
    metadata,
    key("tenant"),
    # Hours since 1970 in which it changed; 0 counts all of them.
    key("hour", Integer),
    key("component"),
    key("version"),
    key("shard", SmallInteger),
    col("devices", BigInteger),
    sqlite_with_rowid=False,
)

hardware_count = Table(
    "hardware_count",
    metadata,
    key("tenant"),
    key("component"),
    key("version"),
    key("model"),
    key("hardware_revision"),
    key("shard", SmallInteger),
    col("devices", BigInteger),
    sqlite_with_rowid=False,
)

contact_count = Table(
    "contact_count",
    metadata,
    key("tenant"),
    key("hour", Integer),
    key("shard", SmallInteger),
    col("devices", BigInteger),
    sqlite_with_rowid=False,
)
"""Devices by the hour, since 1970, of their last contact."""
