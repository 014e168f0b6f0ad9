"""One transaction: every aggregate on one connection."""

from sqlalchemy import Connection

from otaru.adapters.sql.anchors import SqlAnchors
from otaru.adapters.sql.attributes import SqlAttributes
from otaru.adapters.sql.authorities import SqlAuthorities
from otaru.adapters.sql.backups import SqlBackups
from otaru.adapters.sql.blob_rows import SqlBlobRows
from otaru.adapters.sql.bundles import SqlBundles
from otaru.adapters.sql.credentials import SqlCredentials
from otaru.adapters.sql.deltas import SqlDeltas
from otaru.adapters.sql.deployments import SqlDeployments
from otaru.adapters.sql.devices import SqlDevices
from otaru.adapters.sql.directions import SqlDirections
from otaru.adapters.sql.enrollments import SqlEnrollments
from otaru.adapters.sql.errands import SqlAlerts, SqlErrands
from otaru.adapters.sql.events import SqlEvents
from otaru.adapters.sql.fleet import SqlFleet
from otaru.adapters.sql.followings import SqlFollowings
from otaru.adapters.sql.groups import SqlGroups
from otaru.adapters.sql.health import SqlHealth
from otaru.adapters.sql.idempotency import SqlIdempotency
from otaru.adapters.sql.inspections import SqlInspections
from otaru.adapters.sql.logs import SqlLogs
from otaru.adapters.sql.releases import SqlReleases
from otaru.adapters.sql.reports import SqlReports
from otaru.adapters.sql.rollouts import SqlRollouts
from otaru.adapters.sql.session import Session
from otaru.adapters.sql.signatures import SqlSignatures
from otaru.adapters.sql.tenants import SqlTenants
from otaru.adapters.sql.tokens import SqlTokens
from otaru.adapters.sql.verdicts import SqlVerdicts
from otaru.ports.store import (
    Alerts,
    Anchors,
    Attributes,
    Authorities,
    Backups,
    BlobRows,
    Bundles,
    Credentials,
    Deltas,
    Deployments,
    Devices,
    Directions,
    Enrollments,
    Errands,
    Events,
    Fleet,
    Followings,
    Groups,
    Health,
    Idempotency,
    Inspections,
    Logs,
    Releases,
    Reports,
    Rollouts,
    Signatures,
    Tenants,
    Tokens,
    Verdicts,
)


class SqlTx:
    """`ports.store.Tx`. Lives as long as its connection: what it holds between transactions is only the connection."""

    __slots__ = (
        "alerts",
        "anchors",
        "attributes",
        "authorities",
        "backups",
        "blobs",
        "bundles",
        "credentials",
        "deltas",
        "deployments",
        "devices",
        "directions",
        "enrollments",
        "errands",
        "events",
        "fleet",
        "followings",
        "groups",
        "health",
        "idempotency",
        "inspections",
        "logs",
        "record",
        "releases",
        "reports",
        "rollouts",
        "signatures",
        "tenants",
        "tokens",
        "verdicts",
    )

    def __init__(self, connection: Connection, shard: int) -> None:
        session = Session(connection, shard)
        self.tenants: Tenants = SqlTenants(session)
        self.tokens: Tokens = SqlTokens(session)
        self.devices: Devices = SqlDevices(session)
        self.credentials: Credentials = SqlCredentials(session)
        self.authorities: Authorities = SqlAuthorities(session)
        self.fleet: Fleet = SqlFleet(session)
        self.followings: Followings = SqlFollowings(session)
        self.attributes: Attributes = SqlAttributes(session)
        self.groups: Groups = SqlGroups(session)
        self.health: Health = SqlHealth(session)
        self.releases: Releases = SqlReleases(session)
        self.blobs: BlobRows = SqlBlobRows(session)
        self.rollouts: Rollouts = SqlRollouts(session)
        self.deployments: Deployments = SqlDeployments(session)
        self.verdicts: Verdicts = SqlVerdicts(session)
        self.reports: Reports = SqlReports(session)
        self.record = SqlEvents(session)
        self.events: Events = self.record
        self.idempotency: Idempotency = SqlIdempotency(session)
        self.inspections: Inspections = SqlInspections(session)
        self.deltas: Deltas = SqlDeltas(session)
        self.logs: Logs = SqlLogs(session)
        self.signatures: Signatures = SqlSignatures(session)
        self.anchors: Anchors = SqlAnchors(session)
        self.directions: Directions = SqlDirections(session)
        self.bundles: Bundles = SqlBundles(session)
        self.backups: Backups = SqlBackups(session)
        self.errands: Errands = SqlErrands(session)
        self.alerts: Alerts = SqlAlerts(session)
        self.enrollments: Enrollments = SqlEnrollments(session)
