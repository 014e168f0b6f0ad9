"""The main job: tenants, tokens, devices, releases, rollouts, deployments, reports, events."""

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

Bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN = (
    "state IN ('offered','awaiting_consent','postponed','downloading','downloaded','installing','rebooting',"
    "'on_trial','cancelling')"
)


def upgrade() -> None:
    op.create_table(
        "artifact",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("product", Bytewise, autoincrement=False, nullable=False),
        sa.Column("version", Bytewise, autoincrement=False, nullable=False),
        sa.Column("component", Bytewise, autoincrement=False, nullable=False),
        sa.Column("model", Bytewise, autoincrement=False, nullable=False),
        sa.Column("hardware_revision", Bytewise, autoincrement=False, nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("sha256", Bytewise, nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant", "product", "version", "component", "model", "hardware_revision", name=op.f("pk_artifact")
        ),
    )
    op.create_index("ix_artifact_sha256", "artifact", ["tenant", "sha256"], unique=False)
    op.create_table(
        "blob",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("sha256", Bytewise, autoincrement=False, nullable=False),
        sa.Column("sha1", Bytewise, nullable=False),
        sa.Column("md5", Bytewise, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "sha256", name=op.f("pk_blob")),
    )
    op.create_index("ix_blob_sha256", "blob", ["sha256"], unique=False)
    op.create_table(
        "deployment",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("rollout", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("attempt", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("state", Bytewise, nullable=False),
        sa.Column("segment", sa.SmallInteger(), nullable=False),
        sa.Column("wave", sa.SmallInteger(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("action", sa.Integer(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("offered_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "rollout", "device", "attempt", name=op.f("pk_deployment")),
        sa.UniqueConstraint("tenant", "device", "action", name=op.f("uq_deployment_tenant_device_action")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_deployment_scheduled",
        "deployment",
        ["tenant", "device", "rollout"],
        unique=False,
        sqlite_where=sa.text("state = 'scheduled'"),
        postgresql_where=sa.text("state = 'scheduled'"),
    )
    op.create_index("ix_deployment_state", "deployment", ["tenant", "rollout", "state", "device"], unique=False)
    op.create_index(
        "uq_deployment_open",
        "deployment",
        ["tenant", "device"],
        unique=True,
        sqlite_where=sa.text(OPEN),
        postgresql_where=sa.text(OPEN),
    )
    op.create_table(
        "deployment_count",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("rollout", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("segment", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("wave", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("state", Bytewise, autoincrement=False, nullable=False),
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("members", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant", "rollout", "segment", "wave", "state", "shard", name=op.f("pk_deployment_count")
        ),
    )
    op.create_table(
        "deployment_reason",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("rollout", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("attempt", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "rollout", "device", "attempt", name=op.f("pk_deployment_reason")),
    )
    op.create_table(
        "device",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("lifecycle", Bytewise, nullable=False),
        sa.Column("model", Bytewise, nullable=False),
        sa.Column("hardware_revision", Bytewise, nullable=False),
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("lot", sa.BigInteger(), nullable=False),
        sa.Column("last_action", sa.Integer(), nullable=False),
        sa.Column("attributes_requested", sa.Boolean(), nullable=False),
        sa.Column("auto_confirm", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("edition", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device", name=op.f("pk_device")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_device_model", "device", ["tenant", "model", "device"], unique=False)
    op.create_table(
        "device_attribute",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("name", Bytewise, autoincrement=False, nullable=False),
        sa.Column("value", Bytewise, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device", "name", name=op.f("pk_device_attribute")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_device_attribute_value", "device_attribute", ["tenant", "name", "value", "device"], unique=False
    )
    op.create_table(
        "device_component",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("component", Bytewise, autoincrement=False, nullable=False),
        sa.Column("version", Bytewise, nullable=False),
        sa.Column("source", Bytewise, nullable=False),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device", "component", name=op.f("pk_device_component")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_device_component_version", "device_component", ["tenant", "component", "version", "device"], unique=False
    )
    op.create_table(
        "device_contact",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("last_contact", sa.BigInteger(), nullable=False),
        sa.Column("address", Bytewise, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device", name=op.f("pk_device_contact")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "device_tag",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("tag", Bytewise, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device", "tag", name=op.f("pk_device_tag")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_device_tag_tag", "device_tag", ["tenant", "tag", "device"], unique=False)
    op.create_table(
        "event",
        sa.Column("sequence", Serial, autoincrement=True, nullable=False),
        sa.Column("transaction", sa.BigInteger(), nullable=False),
        sa.Column("tenant", Bytewise, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", Bytewise, nullable=False),
        sa.Column("kind", Bytewise, nullable=False),
        sa.Column("subject", Bytewise, nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_event")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_position", "event", ["transaction", "sequence"], unique=False)
    op.create_index("ix_event_subject", "event", ["tenant", "subject", "transaction", "sequence"], unique=False)
    op.create_index("ix_event_tenant", "event", ["tenant", "transaction", "sequence"], unique=False)
    op.create_table(
        "idempotency",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("token", Bytewise, autoincrement=False, nullable=False),
        sa.Column("key", Bytewise, autoincrement=False, nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "token", "key", name=op.f("pk_idempotency")),
    )
    op.create_index("ix_idempotency_created", "idempotency", ["created_at"], unique=False)
    op.create_table(
        "product",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("product", Bytewise, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "product", name=op.f("pk_product")),
    )
    op.create_table(
        "release",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("product", Bytewise, autoincrement=False, nullable=False),
        sa.Column("version", Bytewise, autoincrement=False, nullable=False),
        sa.Column("state", Bytewise, nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=True),
        sa.Column("edition", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "product", "version", name=op.f("pk_release")),
    )
    op.create_table(
        "report",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("device", Bytewise, autoincrement=False, nullable=False),
        sa.Column("action", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", Bytewise, autoincrement=False, nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("event", Bytewise, nullable=True),
        sa.Column("execution", Bytewise, nullable=False),
        sa.Column("result", Bytewise, nullable=False),
        sa.Column("messages", sa.Text(), nullable=False),
        sa.Column("device_time", Bytewise, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "device", "action", "digest", name=op.f("pk_report")),
    )
    op.create_table(
        "rollout",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("rollout", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("product", Bytewise, nullable=False),
        sa.Column("version", Bytewise, nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("state", Bytewise, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("start_at", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("edition", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "rollout", name=op.f("pk_rollout")),
    )
    op.create_index("ix_rollout_state", "rollout", ["state"], unique=False)
    op.create_table(
        "rollout_segment",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("rollout", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("segment", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("watermark", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "rollout", "segment", name=op.f("pk_rollout_segment")),
    )
    op.create_table(
        "rollout_wave",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("rollout", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("wave", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("state", Bytewise, nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=True),
        sa.Column("complete_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "rollout", "wave", name=op.f("pk_rollout_wave")),
    )
    op.create_table(
        "tenant",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("halted", sa.Boolean(), nullable=False),
        sa.Column("halt_reason", sa.Text(), nullable=False),
        sa.Column("edition", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_tenant")),
    )
    op.create_table(
        "token",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("token", Bytewise, autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("kind", Bytewise, nullable=False),
        sa.Column("role", Bytewise, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "token", name=op.f("pk_token")),
        sa.UniqueConstraint("digest", name=op.f("uq_token_digest")),
    )
    op.create_table(
        "upload",
        sa.Column("tenant", Bytewise, autoincrement=False, nullable=False),
        sa.Column("upload", Bytewise, autoincrement=False, nullable=False),
        sa.Column("size_limit", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "upload", name=op.f("pk_upload")),
    )
