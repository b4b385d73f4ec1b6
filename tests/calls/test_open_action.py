"""The action that opens calls: what comes between its steps, without a socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.auth.revocations import Revocations
from service.calls.errors import CallEndedError
from service.calls.factory import Calls
from service.calls.memory_registry import MemoryCalls
from service.calls.rules import CallRules
from service.calls.settings import CallSettings
from service.calls.vendor_calls import OpenCall
from service.core.errors import InvalidTokenError, UpstreamError
from service.core.model import Caller, Grant, Offer, TokenRequest
from service.limits.settings import LimitSettings
from service.store import MemoryStore
from service.vendors.base import Request, Response
from service.vendors.dialect import VENDORS
from tests.support.calls import Vendor, keeping
from tests.support.processes import wait_until

USER = "f" * 64
CALLER = Caller("i", "ada", {"iat": 1}, USER)
GRANT = Grant("live", "gpt-live-1.1", {"type": "live", "model": "gpt-live-1.1"}, 60, action="call")
ASKED = TokenRequest("live", {}, action="call", offer=Offer(b"v=0\r\n"))


@dataclass
class Upstream:
    """The vendor's side of an opening: what it answers, and what happens meanwhile."""

    sdp: str = "v=0\r\n"
    meanwhile: Callable[[], object] = lambda: None
    requests: list[Request] = field(default_factory=list)
    timeout: float = 10

    def send(self, request: Request, *, seconds: float = timeout) -> Response:
        assert 0 < seconds <= self.timeout
        self.requests.append(request)
        self.meanwhile()
        answer: dict[str, Any] = {"session": {"id": "live_1"}, "transport": {"sdp": self.sdp}}
        return Response(201, {}, json.dumps(answer).encode())


@dataclass
class Scene:
    """The parts of one process, and a vendor that ends calls."""

    calls: Calls
    revocations: Revocations
    vendor: Vendor
    upstream: Upstream = field(default_factory=Upstream)

    def act(self, *, has_left: bool = False) -> str:
        action = OpenCall(
            bytes, self.calls, VENDORS["openai"].make({}), self.upstream, has_left=lambda: has_left
        )  # type: ignore[arg-type]
        return action.act(CALLER, ASKED, GRANT).call.id


@pytest.fixture
def scene() -> Iterator[Scene]:
    store, vendor = MemoryStore(), Vendor()
    revocations = Revocations(store, max_lifetime=3600, leeway=10)
    rules = CallRules.from_settings(
        CallSettings.from_environ({}), LimitSettings.from_environ({}), read_along=revocations
    )
    registry = MemoryCalls(store, opening_seconds=15)
    with keeping(registry, vendor) as keeper:
        yield Scene(Calls(registry, keeper, rules), revocations, vendor)


def test_who_was_revoked_since_the_request_was_counted_opens_nothing(scene: Scene) -> None:
    scene.revocations.revoke(USER)

    with pytest.raises(InvalidTokenError):
        scene.act()
    assert scene.upstream.requests == []
    assert scene.calls.registry.counts().active == 0


def test_who_is_revoked_while_the_vendor_is_asked_has_the_call_ended(scene: Scene) -> None:
    def revoke() -> None:
        scene.revocations.revoke(USER)
        assert scene.calls.end_user(USER, "revoked") == 1

    scene.upstream.meanwhile = revoke
    with pytest.raises(CallEndedError):
        scene.act()
    wait_until(lambda: scene.calls.registry.counts().active == 0, seconds=2, what="the end")
    assert len(scene.vendor.attempts) == 1


@pytest.mark.parametrize(
    ("sdp", "has_left", "error"), [("", False, UpstreamError), ("v=0\r\n", True, CallEndedError)]
)
def test_a_call_of_no_use_to_its_client_is_ended(
    scene: Scene, sdp: str, has_left: bool, error: type[Exception]
) -> None:
    scene.upstream.sdp = sdp

    with pytest.raises(error):
        scene.act(has_left=has_left)
    wait_until(lambda: scene.calls.registry.counts().active == 0, seconds=2, what="the end")
    assert len(scene.vendor.attempts) == 1


def test_an_opened_call_stays(scene: Scene) -> None:
    call_id = scene.act()

    assert scene.calls.find(call_id, USER).state == "open"
    assert scene.vendor.attempts == []
