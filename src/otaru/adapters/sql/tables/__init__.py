"""The schema, in one place. The tenant leads every key; hot rows are narrow; text compares bytewise on both engines.

`migrations/` brings a database here; a test holds the two together. Times are microseconds since 1970 in UTC.
"""

from otaru.adapters.sql.tables.columns import EPOCH, MICROSECOND, Bytewise, Instant, Serial, metadata, micros, moment
from otaru.adapters.sql.tables.enrolling import (
    device_dispute,
    enrolled,
    enrollment,
    enrollment_serial,
    grant_key,
    spent_proof,
)
from otaru.adapters.sql.tables.inventory import (
    authority,
    component_count,
    contact_count,
    credential,
    device,
    device_attribute,
    device_component,
    device_contact,
    device_count,
    device_failed,
    device_standing,
    device_tag,
)
from otaru.adapters.sql.tables.record import (
    event,
)
from otaru.adapters.sql.tables.rollouts import (
    OPEN_STATES,
    deployment,
    deployment_count,
    deployment_reason,
    report,
    rollout,
    rollout_segment,
    rollout_wave,
)
from otaru.adapters.sql.tables.shelf import (
    artifact,
    blob,
    product,
    release,
    upload,
)
from otaru.adapters.sql.tables.tenancy import (
    idempotency,
    tenant,
    token,
)
from otaru.adapters.sql.tables.trust import (
    direction,
    downgrade_permit,
    log_checkpoint,
    log_entry,
    log_tile,
    log_tree,
    log_waiting,
    tuf_key,
    tuf_metadata,
)

__all__ = [
    "EPOCH",
    "MICROSECOND",
    "OPEN_STATES",
    "Bytewise",
    "Instant",
    "Serial",
    "artifact",
    "authority",
    "blob",
    "component_count",
    "contact_count",
    "credential",
    "deployment",
    "deployment_count",
    "deployment_reason",
    "device",
    "device_attribute",
    "device_component",
    "device_contact",
    "device_count",
    "device_dispute",
    "device_failed",
    "device_standing",
    "device_tag",
    "direction",
    "downgrade_permit",
    "enrolled",
    "enrollment",
    "enrollment_serial",
    "event",
    "grant_key",
    "idempotency",
    "log_checkpoint",
    "log_entry",
    "log_tile",
    "log_tree",
    "log_waiting",
    "metadata",
    "micros",
    "moment",
    "product",
    "release",
    "report",
    "rollout",
    "rollout_segment",
    "rollout_wave",
    "spent_proof",
    "tenant",
    "token",
    "tuf_key",
    "tuf_metadata",
    "upload",
]
