"""How SQLite goes about our statements: by keys and indexes, whatever the size of a tenant."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from sqlalchemy import event, text

from otaru.adapters.sql.engine import open_writer
from otaru.adapters.sql.migrate import upgrade
from otaru.adapters.sql.session import Session
from otaru.domain.attribute import AttributeKind
from otaru.domain.deployment import Event, Report, State
from otaru.domain.device import Installed, Source
from otaru.domain.group import GroupName
from otaru.domain.health import HealthEvent
from otaru.domain.health import Kind as Reported
from otaru.domain.ids import ActionId, DeviceId, RolloutId, Version
from otaru.domain.targeting import And, Compared, Field, OneOf, Relation, parse
from tests.support.databases import SqliteDatabases
from tests.support.fleet import HERE, NOW, Shelf, a_device, a_release, a_rollout, open_shelf

ONE, DEV = RolloutId(1), DeviceId("dev-1")
REPORT = Report(DEV, ActionId(1), NOW, Event.DOWNLOAD, "proceeding", "none", (), b"d")


@pytest.fixture
def shelf(sqlite_databases: SqliteDatabases) -> Iterator[Shelf]:
    with open_shelf(sqlite_databases.fresh(), Watched) as shelf:
        release = shelf.stock(HERE, [a_device("dev-1", tags=("lab",)), a_device("dev-2")])
        shelf.launch(HERE, a_rollout(), release)
        shelf.launch(HERE, a_rollout(2), release)
        shelf.move(HERE, 1, "dev-1", State.INSTALLING)
        yield shelf


class Watched(Session):
    """Notes the plan of each statement, in SQLite's words."""

    plans: ClassVar[list[str]] = []

    def cursor(self) -> Any:
        return Cursor(super().cursor(), self.note)

    def note(self, statement: str) -> None:
        driver = self.connection.connection.driver_connection
        assert driver is not None
        explained = driver.execute(f"EXPLAIN QUERY PLAN {statement}", [None] * statement.count("?"))
        self.plans.append(f"{statement}\n" + "\n".join(row[3] for row in explained))


@dataclass
class Cursor:
    """The driver's, watched."""

    cursor: Any
    note: Callable[[str], None]

    def execute(self, statement: str, params: Any) -> Any:
        self.note(statement)
        return self.cursor.execute(statement, params)

    def executemany(self, statement: str, params: Any) -> Any:
        self.note(statement)
        return self.cursor.executemany(statement, params)


@contextmanager
def plans_of(session: Session) -> Iterator[list[str]]:
    """The plan of each statement that runs meanwhile, whether by SQLAlchemy or past it."""
    assert isinstance(session, Watched)
    engine = session.connection.engine

    def look(_: Any, __: Any, statement: str, *___: Any) -> None:
        session.note(statement)

    session.plans.clear()
    event.listen(engine, "before_cursor_execute", look)
    try:
        yield session.plans
    finally:
        event.remove(engine, "before_cursor_execute", look)


def wide_steps(plan: str) -> list[str]:
    """Steps that read all of a table or all of a tenant. What comes out of a subquery is read whole, rightly."""
    steps = [line.strip() for line in plan.splitlines() if line.startswith(("SCAN ", "SEARCH "))]
    harmless = (
        "json_each",
        "SCAN anon_",
        "SCAN (subquery",
        "SCAN asked",
        "SCAN CONSTANT ROW",
        "sqlite_autoindex_tenant_1",
        "SEARCH rollout USING COVERING INDEX sqlite_autoindex_rollout_1 (tenant=?)",  # they are few
    )
    return [
        s
        for s in steps
        if not any(h in s for h in harmless)
        and (s.startswith("SCAN") or s.endswith("(tenant=?)") or "ANY(tenant)" in s)
    ]


LEVEL = Compared(Field.ATTRIBUTE, "a", Relation.BEFORE, "20", AttributeKind.NUMBER)


def installed(shelf: Shelf) -> None:
    shelf.devices.install(HERE, [(DEV, Installed("app", Version("2"), Source.OTARU, NOW))])


@pytest.mark.parametrize(
    "act",
    [
        lambda s: s.devices.get(HERE, DEV),
        lambda s: s.devices.entry(HERE, DEV),
        lambda s: s.devices.add(HERE, [(a_device("dev-9", tags=("a",), attributes={"a": "b"}), b"")]),
        lambda s: s.devices.save(HERE, a_device("dev-1", tags=("a",), attributes={"a": "b"})),
        installed,
        lambda s: s.devices.contacts([(HERE, DEV, NOW, "a")]),
        lambda s: s.devices.page(HERE, None, None, 9),
        lambda s: s.devices.page(HERE, parse("id==dev-*", NOW), None, 9),
        lambda s: s.devices.page(HERE, parse("tag==lab", NOW), None, 9),
        lambda s: s.devices.page(HERE, parse("tag==l*", NOW), None, 9),
        lambda s: s.devices.page(HERE, parse("attr.a==b;tag==l*", NOW), None, 9),
        lambda s: s.devices.page(HERE, parse("hardware==rpi4", NOW), None, 9),
        lambda s: s.devices.page(HERE, parse("tag==lab,attr.a==b*,id==dev-1", NOW), None, 9),
        *(
            lambda s, text=text: s.devices.page(HERE, parse(text, NOW), DEV, 9)
            for text in (
                "state==failed",
                "state==silent",
                "state==waiting",
                "state==under_way",
                "state==rejected",
                "state=in=(failed,waiting)",
                "lifecycle==pending",
                "lifecycle=in=(pending,quarantined)",
                "revision==C",
                "revision==C*",
                "last_contact=lt=-P7D",
                "last_contact<-P7D;lifecycle!=decommissioned",
                "created>-P1D",
                "installed.app=in=(1,2)",
                "tag==lab;attr.a!=b;not(state==failed)",
            )
        ),
        lambda s: s.devices.count(HERE, parse("tag==lab;attr.a==b*", NOW)),
        lambda s: s.devices.count(HERE, parse("state==waiting", NOW)),
        lambda s: s.devices.count(HERE, parse("state==succeeded", NOW)),
        lambda s: s.devices.count(HERE, parse("state==succeeded;tag==lab", NOW)),
        lambda s: s.devices.count(HERE, parse("last_contact<-P7D;lifecycle==active", NOW)),
        lambda s: s.releases.get(HERE, "app", "1.1.0"),
        lambda s: s.releases.add(HERE, a_release("3")),
        lambda s: s.rollouts.plan(HERE, ONE),
        lambda s: s.rollouts.save(HERE, a_rollout()),
        lambda s: s.rollouts.evidence(HERE, ONE),
        lambda s: s.rollouts.move_all(HERE, ONE, (State.INSTALLING,), State.FAILED, "x", NOW),
        lambda s: s.rollouts.move_all(HERE, ONE, (State.SCHEDULED,), State.SKIPPED, "x", NOW),
        lambda s: s.rollouts.every_due(NOW, 9),
        lambda s: s.deployments.current(HERE, [(ONE, DEV)]),
        lambda s: s.deployments.by_action(HERE, [(DEV, ActionId(1))]),
        lambda s: s.deployments.open_of(HERE, DEV),
        lambda s: s.deployments.standing(HERE, [DEV]),
        lambda s: s.deployments.allot(HERE, [DEV]),
        lambda s: s.move(HERE, 1, "dev-1", State.FAILED, "words"),
        lambda s: s.deployments.of_device(HERE, DEV, 9),
        lambda s: s.deployments.page(HERE, ONE, (), None, 9),
        lambda s: s.deployments.page(HERE, ONE, (State.FAILED, State.SILENT), None, 9),
        lambda s: s.deployments.page(HERE, ONE, (State.FAILED,), None, 9, 1),
        lambda s: s.deployments.unheard(HERE, ONE, 0, NOW, 9, 100),
        lambda s: s.deployments.reasons(HERE, ONE, 9),
        lambda s: s.deployments.reasons(HERE, ONE, 9, among=100),
        lambda s: s.reports.add(HERE, [REPORT]),
        lambda s: s.reports.of_action(HERE, DEV, ActionId(1), 9),
        lambda s: s.devices.page(HERE, parse("group==lab;hardware==rpi4", NOW), DEV, 9),
        lambda s: s.devices.page(HERE, parse("telemetry.battery<20", NOW), DEV, 9),
        lambda s: s.devices.count(HERE, parse("telemetry.battery<20", NOW)),
        lambda s: s.devices.page(HERE, LEVEL, DEV, 9),
        lambda s: s.devices.page(HERE, And((LEVEL, parse("tag==lab", NOW))), DEV, 9),
        lambda s: s.devices.count(HERE, LEVEL),
        lambda s: s.devices.page(HERE, OneOf(Field.INSTALLED, "app", ("1", "2")), DEV, 9),
        lambda s: s.groups.enter(HERE, GroupName("lab"), [DEV]),
        lambda s: s.groups.leave(HERE, GroupName("lab"), [DEV]),
        lambda s: s.groups.members(HERE, GroupName("lab")),
        lambda s: s.groups.of_device(HERE, DEV),
        lambda s: s.health.add(HERE, [HealthEvent(DEV, "1", Reported.REBOOT, NOW)]),
        lambda s: s.health.add(HERE, [HealthEvent(DEV, "2", Reported.SAMPLE, NOW, name="battery", value=1)]),
        lambda s: s.health.told_since(HERE, [DEV], NOW),
        lambda s: s.health.of_device(HERE, DEV, None, 9),
        lambda s: s.health.telemetry(HERE, DEV),
        lambda s: s.health.prune(HERE, NOW, 9),
        lambda s: s.health.risk(HERE, ONE),
        lambda s: s.attributes.changes(HERE, DEV, None, 9),
        lambda s: s.attributes.purge(HERE, DEV),
        lambda s: s.attributes.clear(HERE, "a", 9),
        lambda s: s.attributes.unreadable(HERE, "a"),
    ],
)
def test_no_statement_reads_all_of_a_tenant(shelf: Shelf, act: Callable[[Shelf], object]) -> None:
    with plans_of(shelf.session) as plans:
        act(shelf)
    assert plans
    assert not [plan for plan in plans if wide_steps(plan)]


@pytest.mark.parametrize("states", [{State.FAILED}, {State.FAILED, State.SILENT}])
def test_a_few_members_are_moved_without_looking_at_all(shelf: Shelf, states: set[State]) -> None:
    shelf.move(HERE, 1, "dev-1", State.FAILED, "words")
    with plans_of(shelf.session) as plans:
        shelf.rollouts.retry(HERE, ONE, states, NOW)
    of_members = [plan for plan in plans if "deployment" in plan and "INSERT INTO deployment_count" not in plan]
    assert len(of_members) == 3
    assert all("ix_deployment_state (tenant=? AND rollout=? AND state=?)" in plan for plan in of_members)


def test_an_entry_is_three_statements(shelf: Shelf) -> None:
    with plans_of(shelf.session) as plans:
        shelf.devices.entry(HERE, DEV)
    assert len(plans) == 3
    assert "uq_deployment_open" in plans[2]
    assert "ix_deployment_scheduled (tenant=? AND device=?)" in plans[2]


def test_a_page_is_as_many_statements_for_many_devices_as_for_one(shelf: Shelf) -> None:
    shelf.devices.add(HERE, [(replace(a_device(f"more-{n}", tags=("t",))), b"") for n in range(50)])
    counted = []
    for limit in (1, 50):
        with plans_of(shelf.session) as plans:
            assert len(shelf.devices.page(HERE, None, None, limit)) == limit
        counted.append(len(plans))
    assert counted[0] == counted[1] <= 5


def test_what_the_planner_is_told_comes_back_after_it_was_lost(sqlite_databases: SqliteDatabases) -> None:
    url = sqlite_databases.fresh()
    engine = open_writer(url)
    with engine.begin() as connection:
        before = connection.execute(text("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY 1, 2")).all()
        connection.execute(text("DELETE FROM sqlite_stat1 WHERE tbl = 'deployment'"))
    upgrade(url)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY 1, 2")).all() == before
    engine.dispose()
    assert ("deployment", "deployment", "10000000 10000000 100000 1 1") in map(tuple, before)


@pytest.mark.parametrize(
    ("text", "index"),
    [
        *(
            (text, "ix_device_standing_state (tenant=? AND state=? AND device>?)")
            for text in ("state==failed", "state==waiting", "state==succeeded", "state==under_way;tag==lab")
        ),
        ("lifecycle==pending", "ix_device_lifecycle (tenant=? AND lifecycle=? AND device>?)"),
        ("revision==C", "ix_device_revision (tenant=? AND hardware_revision=? AND device>?)"),
        ("last_contact=lt=-P7D", "ix_device_contact_hour (tenant=? AND hour<?)"),
        ("created>-P1D", "ix_device_created (tenant=? AND created_at>?)"),
        ("attr.a=in=(x,y)", "ix_device_attribute_value (tenant=? AND name=? AND value=? AND device>?)"),
        ("installed.app==1", "ix_device_component_version (tenant=? AND component=? AND version=? AND device>?)"),
    ],
)
def test_a_field_is_found_by_its_index(shelf: Shelf, text: str, index: str) -> None:
    with plans_of(shelf.session) as plans:
        shelf.devices.page(HERE, parse(text, NOW), DEV, 9)
    assert any(index in plan for plan in plans if "LIMIT" in plan), plans


def test_contacts_are_looked_up_one_by_one(shelf: Shelf) -> None:
    device = a_device("heard")
    shelf.devices.add(HERE, [(device, b"t")])
    shelf.devices.contacts([(HERE, device.id, NOW - timedelta(hours=2), "a")])
    with plans_of(shelf.session) as plans:
        shelf.devices.contacts([(HERE, device.id, NOW, "a")])
    (hour,) = [plan for plan in plans if "UPDATE device_contact" in plan]
    assert "SEARCH device_contact USING PRIMARY KEY (tenant=? AND device=?)" in hour
