"""Check whether calls can be opened and ended as configured: their storage, what it may drop, and their models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from service.calls.factory import build_registry
from service.check.finding import Finding, ok, problem
from service.check.parts import storage_problem
from service.core.errors import UnavailableError
from service.policy.settings import PolicySettings
from service.store import MemoryStore, RedisStore, StoreSettings, build
from service.store.protocol import KEY_PREFIX, Script
from service.vendors.base import SessionLayout
from service.vendors.settings import VendorSettings

_KEEPS_ALL: Final = "noeviction"
_MEMORY: Final = Script("memory", "return redis.call('INFO', 'memory')")
_POLICY: Final = re.compile(r"^maxmemory_policy:(\S+)", re.MULTILINE)


def check_calls(vendor: VendorSettings, policy: PolicySettings, settings: StoreSettings) -> list[Finding]:
    """Report on calls in one line, and on each type of call that no allowed model is for."""
    layout = vendor.vendor.layout
    if not policy.call_types:
        return [ok("calls", "off (CALL_TYPES=none)")]
    if vendor.vendor.calls is None:
        return [ok("calls", f"off: {layout.name} has none")]
    store = build(settings)
    findings = _check_models(policy.call_types, policy.allowed_models, layout)
    if isinstance(store, MemoryStore):
        kept = "kept in memory: they end when the process stops, and after a crash they run until the vendor ends them"
        return [ok("calls", kept), *findings]
    return [_check_storage(store, vendor.upstream_timeout), *findings]


def _check_models(types: Sequence[str], models: Sequence[str], layout: SessionLayout) -> list[Finding]:
    allowed = {layout.type_of(model) for model in models}
    return [
        ok(f"calls of type {kind}", "none can be opened: ALLOWED_MODELS has no model for them")
        for kind in types
        if kind not in allowed
    ]


def _check_storage(store: RedisStore, upstream_timeout: float) -> Finding:
    try:
        counts = build_registry(store, upstream_timeout=upstream_timeout).counts()
        told = store.run(_MEMORY, [f"{KEY_PREFIX}/check"])
    except UnavailableError as error:
        return storage_problem("calls", "none can be opened", error)
    found = _POLICY.search(told.decode() if isinstance(told, bytes) else str(told))
    if found and found[1] != _KEEPS_ALL:
        return problem(
            "calls",
            f"the storage may drop calls that are open (maxmemory-policy {found[1]})",
            f"set maxmemory-policy to {_KEEPS_ALL}",
        )
    return ok("calls", f"can be opened and ended; {counts.active} open now")
