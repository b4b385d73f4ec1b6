"""The action that opens calls: what comes between its steps, without a socket."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.auth.revocations import Revocations
from service.calls.errors import CallEndedError, CallRegistryUnavailableError
from service.calls.factory import Calls
from service.calls.first_endings import FirstEndings
from service.calls.memory_registry import MemoryCalls
from service.calls.rules import CallRules
from service.calls.settings import CallSettings
from service.calls.vendor_calls import OpenCall
from service.core.errors import InvalidTokenError, RejectedSessionError, UpstreamError, UpstreamTimeoutError
from service.core.model import Caller, Grant, Offer, TokenRequest
from service.limits.settings import LimitSettings
from service.store import MemoryStore
from service.vendors.base import Check, Request, Response
from service.vendors.connections import Progress
from service.vendors.dialect import VENDORS
from tests.support.calls import Vendor, keeping
from tests.support.processes import wait_until

USER = "f" * 64
CALLER = Caller("i", "ada", {"iat": 1}, USER)
GRANT = Grant("live", "gpt-live-1.1", {"type": "live", "model": "gpt-live-1.1"}, 60, action="call")
REALTIME = Grant("realtime", "gpt-realtime-2.1", {"type": "realtime"}, 60, action="call")
ASKED = TokenRequest("live", {}, action="call", offer=Offer(b"v=0\r\n"))


@dataclass
class Upstream:
    """The vendor's side of an opening: what it answers, and what happens meanwhile."""

    sdp: str = "v=0\r\n"
    upstream_id: str = "live_1"
    breaks: Mapping[str, str] | None = None
    status: int = 201
    may_be_stray: bool = True
    meanwhile: Callable[[], object] = lambda: None
    requests: list[Request] = field(default_factory=list)
    timeout: float = 10

    def send(self, request: Request, *, check: Check, seconds: float, progress: Progress) -> Response:
        assert 0 < seconds <= self.timeout
        progress.sent = True
        self.requests.append(request)
        self.meanwhile()
        if self.breaks is not None:
            progress.head = Response(self.status, self.breaks, b"")
            raise UpstreamError("No.", reason="the response was incomplete")
        answer: dict[str, Any] = {"session": {"id": self.upstream_id}, "transport": {"sdp": self.sdp}}
        response = Response(201, {}, json.dumps(answer).encode(), may_be_stray=self.may_be_stray)
        check(response)
        return response


@dataclass
class Azure(Upstream):
    """One that opens Realtime calls with a client secret alone: each request is a mint, or relays an offer with it.

    ``relayed`` is its answer to an offer.
    """

    relayed: Response = Response(201, {"location": "/openai/v1/realtime/calls/rtc_1"}, b"v=0\r\n")  # noqa: RUF009 - frozen

    def send(
        self,
        request: Request,
        *,
        check: Check,
        seconds: float | None = None,
        progress: Progress | None = None,
    ) -> Response:
        assert 0 < (seconds or self.timeout) <= self.timeout
        if progress:
            progress.sent = True
        self.requests.append(request)
        self.meanwhile()
        minted = {"value": "ek_1", "expires_at": 4_102_444_800, "session": {"type": "realtime"}}
        response = self.relayed if request.secret else Response(200, {}, json.dumps(minted).encode())
        check(response)
        return response


@dataclass
class Scene:
    """The parts of one process, and a vendor that ends calls."""

    calls: Calls
    revocations: Revocations
    vendor: Vendor
    upstream: Upstream = field(default_factory=Upstream)

    def act(self, grant: Grant = GRANT, *, has_left: bool = False) -> str:
        name = "azure" if isinstance(self.upstream, Azure) else "openai"
        action = OpenCall(bytes, self.calls, VENDORS[name].make({}), self.upstream, has_left=lambda: has_left)  # type: ignore[arg-type]
        return action.act(CALLER, ASKED, grant).call.id


@pytest.fixture
def scene() -> Iterator[Scene]:
    store, vendor = MemoryStore(), Vendor()
    revocations = Revocations(store, max_lifetime=3600, leeway=10)
    rules = CallRules.from_settings(
        CallSettings.from_environ({}), LimitSettings.from_environ({}), read_along=revocations
    )
    registry = MemoryCalls(store, opening_seconds=15)
    with keeping(registry, vendor) as keeper:
        first_endings = FirstEndings(keeper.own, shared=False)
        yield Scene(Calls(registry, keeper, rules, first_endings), revocations, vendor)


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


def test_a_call_of_no_use_is_ended_without_the_storage_too_and_the_caller_told_why(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CallRegistryUnavailableError("No.", reason="the storage is away")

    scene.upstream.sdp = ""
    monkeypatch.setattr(scene.calls.registry, "end", fail)

    with pytest.raises(UpstreamError):
        scene.act()
    wait_until(lambda: scene.calls.registry.counts().active == 0, seconds=2, what="the end")
    assert len(scene.vendor.attempts) == 1


def test_an_opened_call_stays(scene: Scene) -> None:
    call_id = scene.act()

    assert scene.calls.find(call_id, USER).state == "open"
    assert scene.vendor.attempts == []


def test_an_answer_that_names_another_calls_session_opens_nothing(scene: Scene) -> None:
    """It belongs to an earlier request: its connection is closed, and the outcome of this one is unknown."""
    call_id = scene.act()

    with pytest.raises(UpstreamError) as refused:
        scene.act()
    assert refused.value.reason == "the vendor returned another call's session id"
    assert scene.calls.registry.get(call_id).state == "ending"  # type: ignore[union-attr]  # replaced, as asked
    wait_until(lambda: scene.calls.registry.get(call_id).state == "ended", seconds=2, what="the end")  # type: ignore[union-attr]
    assert scene.calls.registry.counts().active == 1
    assert len(scene.vendor.attempts) == 1


def test_the_first_answer_of_a_connection_belongs_to_no_other_request(scene: Scene) -> None:
    """So an id that is there already is the vendor's own doing: a stand-in may have one for all."""
    scene.upstream.may_be_stray = False
    first, second = scene.act(), scene.act()

    assert first != second
    assert scene.calls.find(second, USER).state == "open"


@pytest.mark.parametrize(("status", "active"), [(429, 0), (404, 0), (500, 1), (503, 1), (302, 1)])
def test_a_refusal_is_one_as_soon_as_its_status_is_known(scene: Scene, status: int, active: int) -> None:
    """Whatever becomes of its body, no 4xx has opened a session; other errors need the vendor's own words for that."""
    scene.upstream.breaks, scene.upstream.status = {}, status

    with pytest.raises(UpstreamError):
        scene.act(REALTIME)
    assert scene.calls.registry.counts().active == active


@pytest.mark.parametrize(
    ("head", "attempts", "active"),
    [
        ({"location": "/v1/realtime/calls/rtc_1"}, 1, 0),
        ({"location": "/v1/realtime/calls/"}, 0, 1),
        ({}, 0, 1),
    ],
    ids=["named", "a Location without an id", "no Location"],
)
def test_a_session_is_ended_whose_answer_broke_off_after_its_name(
    scene: Scene, head: Mapping[str, str], attempts: int, active: int
) -> None:
    """The id is known, so nothing is lost; without it the outcome is unknown."""
    scene.upstream.breaks = head

    with pytest.raises(UpstreamError) as refused:
        scene.act(REALTIME)
    assert refused.value.reason == "the response was incomplete"
    wait_until(lambda: scene.calls.registry.counts().active == active, seconds=2, what="the end")
    assert len(scene.vendor.attempts) == attempts


def test_on_azure_a_slot_is_reserved_before_the_mint_and_the_id_recorded_after_the_offer(
    scene: Scene,
) -> None:
    seen: list[tuple[str, bool, str]] = []

    def look() -> None:
        (call,) = scene.calls.registry.list_calls(states=("opening",))
        request = scene.upstream.requests[-1]
        seen.append((request.path, request.secret == "ek_1", call.state))

    scene.upstream = Azure(meanwhile=look)
    call_id = scene.act(REALTIME)

    assert seen == [
        ("/realtime/client_secrets", False, "opening"),
        ("/realtime/calls?webrtcfilter=on", True, "opening"),
    ]
    call = scene.calls.find(call_id, USER)
    assert (call.state, call.upstream_id) == ("open", "rtc_1")


def test_on_azure_an_offer_that_is_refused_gives_all_back_and_its_secret_is_used_for_no_other(
    scene: Scene,
) -> None:
    refusal = Response(400, {}, b'{"error": {"message": "No.", "code": "invalid_offer"}}')
    scene.upstream = azure = Azure(relayed=refusal)
    for _ in range(2):
        with pytest.raises(RejectedSessionError):
            scene.act(REALTIME)
    assert scene.calls.registry.counts().active == 0
    assert [request.secret for request in azure.requests] == [None, "ek_1"] * 2


def test_on_azure_a_mint_that_took_all_the_time_opens_nothing(scene: Scene) -> None:
    """A request for which no time is left would open a session that nobody learns of."""
    scene.upstream = azure = Azure(timeout=0.3, meanwhile=lambda: time.sleep(0.1))

    with pytest.raises(UpstreamTimeoutError) as late:
        scene.act(REALTIME)
    assert "it was not tried" in (late.value.reason or "")
    assert len(azure.requests) == 1
    assert scene.calls.registry.counts().active == 0


@pytest.mark.parametrize(("breaks_at", "active"), [(1, 0), (2, 1)], ids=["the mint", "the offer"])
def test_on_azure_only_an_offer_that_is_not_answered_may_have_opened_a_session(
    scene: Scene, breaks_at: int, active: int
) -> None:
    """A mint without an answer leaves a secret that expires, so that all is given back."""

    def hang() -> None:
        if len(scene.upstream.requests) == breaks_at:
            raise UpstreamTimeoutError("Late.", reason="no answer")

    scene.upstream = Azure(meanwhile=hang)
    with pytest.raises(UpstreamTimeoutError):
        scene.act(REALTIME)
    assert scene.calls.registry.counts().active == active
    assert len(scene.upstream.requests) == breaks_at
