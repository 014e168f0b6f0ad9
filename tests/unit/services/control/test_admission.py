"""Credentials are never judged by a registry that may be behind."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from otaru.adapters.registry import StoreRegistry
from otaru.apps.server.admin import offline
from otaru.apps.server.settings import load
from otaru.domain.device import Hardware
from otaru.domain.ids import DEFAULT_TENANT, DeviceId, TenantId
from otaru.services.control import admission, devices, tenants
from otaru.services.control.world import SYSTEM

pytestmark = pytest.mark.anyio

DEV = DeviceId("dev-1")


async def test_the_store_is_asked_while_the_registry_may_be_behind(tmp_path: Path) -> None:
    async with offline(load(data=tmp_path / "data")) as world:
        # Never started, it does not follow the record: as one whose tail is held up.
        behind = replace(world, registry=StoreRegistry(world.store, world.bus, world.clock))
        assert not behind.registry.fresh
        await devices.add(world, DEFAULT_TENANT, SYSTEM, devices.NewDevice(DEV, Hardware("rpi4")))
        old = await behind.registry.device(DEFAULT_TENANT, DEV)
        assert old is not None
        await behind.registry.tenant(DEFAULT_TENANT)
        _, token = await devices.new_token(world, DEFAULT_TENANT, SYSTEM, DEV)
        await tenants.new_gateway_token(world, DEFAULT_TENANT, SYSTEM)

        kept = await behind.registry.device(DEFAULT_TENANT, DEV)
        assert kept is not None
        assert kept.token_hash == old.token_hash
        entry = await admission.device(behind, DEFAULT_TENANT, DEV)
        assert entry is not None
        assert entry.token_hash == hashlib.sha256(token.encode()).digest()
        kept_tenant = await behind.registry.tenant(DEFAULT_TENANT)
        assert kept_tenant is not None
        assert kept_tenant.settings.gateway_token_hash is None
        tenant = await admission.tenant(behind, DEFAULT_TENANT)
        assert tenant is not None
        assert tenant.settings.gateway_token_hash is not None

        assert await admission.device(behind, DEFAULT_TENANT, DeviceId("nobody")) is None
        assert await admission.tenant(behind, TenantId("nobody")) is None


async def test_the_registry_is_asked_while_it_follows(tmp_path: Path) -> None:
    async with offline(load(data=tmp_path / "data")) as world:
        await devices.add(world, DEFAULT_TENANT, SYSTEM, devices.NewDevice(DEV, Hardware("rpi4")))
        await world.registry.device(DEFAULT_TENANT, DEV)
        assert await admission.device(world, DEFAULT_TENANT, DEV) is await world.registry.device(DEFAULT_TENANT, DEV)
        assert await admission.tenant(world, DEFAULT_TENANT) is await world.registry.tenant(DEFAULT_TENANT)
