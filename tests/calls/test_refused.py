"""What a known user asks in vain about calls costs no round trip beyond a limit, and no call its first ending."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.call_vendor import CallVendor, call_vendor
from tests.support.offers import OFFER
from tests.support.processes import wait_until
from tests.support.redis import RedisServer
from tests.support.service import TokenService, app_in_process
from tests.support.tokens import sign

UNKNOWN = "call_" + "0" * 32
REFUSED = "Your user limit of 3 requests to read or end calls in 1 minute is used up."


@pytest.fixture
def vendor() -> Iterator[CallVendor]:
    with call_vendor() as vendor:
        yield vendor


@pytest.fixture
def service(vendor: CallVendor, own_redis: RedisServer) -> TokenService:
    """The app in this process, which refuses what it cannot count."""
    return app_in_process(
        vendor.base_url,
        RATE_LIMIT_STORAGE_URL=own_redis.url,
        RATE_LIMIT_ON_STORAGE_FAILURE="deny",
        RATE_LIMIT_REFUSED_PER_USER="3/minute",
        RATE_LIMIT_CALL_CONTROL_PER_USER="3/minute",
    )


def status_and_words(service: TokenService, method: str, path: str, user: str = "ada") -> tuple[int, str]:
    """Ask, and return the status and the message."""
    headers = {"Authorization": f"Bearer {sign(sub=user)}"}
    answer = service.request(method, service.url + path, headers=headers, timeout=20)
    return answer.status_code, answer.json()["error"]["message"] if answer.content else ""


@pytest.mark.parametrize(("method", "path"), [("DELETE", f"/calls/{UNKNOWN}"), ("GET", f"/calls/{UNKNOWN}")])
def test_beyond_the_limit_the_storage_is_not_asked(
    service: TokenService, own_redis: RedisServer, method: str, path: str
) -> None:
    for _ in range(3):
        assert status_and_words(service, method, path)[0] == 404
    own_redis.kill()
    for asked in ((method, path), ("GET", "/calls")):
        status, words = status_and_words(service, *asked)
        assert (status, words.startswith(REFUSED)) == (429, True)
    assert status_and_words(service, method, path, user="bob")[0] == 503


def test_a_call_of_this_process_is_ended_all_the_same_and_once(
    service: TokenService, vendor: CallVendor
) -> None:
    vendor.at_hangup = vendor.hold
    user = "ada"
    call_id = service.post("/calls", {"sdp": OFFER}, jwt=sign(sub=user)).json()["call"]["id"]
    for _ in range(3):
        assert status_and_words(service, "DELETE", f"/calls/{UNKNOWN}", user)[0] == 404
    assert status_and_words(service, "DELETE", f"/calls/{call_id}", user)[0] == 204
    wait_until(lambda: vendor.hung_up == ["rtc_0"], seconds=2, what="the ending")
    status, words = status_and_words(service, "DELETE", f"/calls/{call_id}", user)
    assert (status, words.startswith(REFUSED)) == (429, True)


def test_a_call_of_another_process_is_ended_all_the_same_and_once(
    service: TokenService, vendor: CallVendor, own_redis: RedisServer
) -> None:
    """Only the storage knows it, so it is asked beyond the limit; not again, and not for whatever ids are made up."""
    user = "ada"
    opening = app_in_process(vendor.base_url, RATE_LIMIT_STORAGE_URL=own_redis.url)
    call_id = opening.post("/calls", {"sdp": OFFER}, jwt=sign(sub=user)).json()["call"]["id"]
    for _ in range(3):
        assert status_and_words(service, "GET", f"/calls/{UNKNOWN}", user)[0] == 404
    assert status_and_words(service, "DELETE", "/calls/junk", user)[0] == 429
    assert status_and_words(service, "DELETE", f"/calls/{call_id}", "mallory")[0] == 404
    assert status_and_words(service, "DELETE", f"/calls/{call_id}", user)[0] == 204
    wait_until(lambda: vendor.hung_up == ["rtc_0"], seconds=5, what="the ending")
    status, words = status_and_words(service, "DELETE", f"/calls/{call_id}", user)
    assert (status, words.startswith(REFUSED)) == (429, True)


def test_an_ending_that_the_storage_failed_may_be_asked_for_again(
    service: TokenService, vendor: CallVendor, own_redis: RedisServer
) -> None:
    """The call still runs, so it has not been ended once."""
    user = "ada"
    call_id = service.post("/calls", {"sdp": OFFER}, jwt=sign(sub=user)).json()["call"]["id"]
    for _ in range(3):
        assert status_and_words(service, "DELETE", f"/calls/{UNKNOWN}", user)[0] == 404
    with own_redis.hung():
        assert status_and_words(service, "DELETE", f"/calls/{call_id}", user)[0] == 503
    wait_until(lambda: service.get("/readyz").ok, seconds=5, what="the storage's return")
    assert status_and_words(service, "DELETE", f"/calls/{call_id}", user)[0] == 204
    wait_until(lambda: vendor.hung_up == ["rtc_0"], seconds=2, what="the ending")


def test_refused_openings_and_refused_endings_are_counted_apart(service: TokenService) -> None:
    """Who sends three wrong bodies may still end a call, and who names three unknown calls may open one."""
    for _ in range(3):
        assert service.post("/calls", {}, jwt=sign(sub="bob")).status_code == 400
        assert status_and_words(service, "GET", f"/calls/{UNKNOWN}", "carol")[0] == 404
    assert status_and_words(service, "GET", f"/calls/{UNKNOWN}", "bob")[0] == 404
    assert service.post("/calls", {"sdp": OFFER}, jwt=sign(sub="carol")).ok


def test_no_other_limit_refuses_who_reads_or_ends_calls(vendor: CallVendor) -> None:
    """However few wrong requests a user may send elsewhere."""
    service = app_in_process(
        vendor.base_url, RATE_LIMIT_REFUSED_PER_USER="1/hour", RATE_LIMIT_PER_USER="1/hour"
    )
    for method, path in (("GET", f"/calls/{UNKNOWN}"), ("DELETE", f"/calls/{UNKNOWN}")) * 5:
        assert status_and_words(service, method, path)[0] == 404
    assert service.get("/calls", headers={"Authorization": f"Bearer {sign(sub='ada')}"}).json() == {
        "calls": []
    }


def test_what_one_user_asks_in_vain_leaves_the_limit_of_all_users_to_others(vendor: CallVendor) -> None:
    """Unknown calls, lists, bodies that are refused, and what is beyond the user's own limit."""
    service = app_in_process(vendor.base_url, RATE_LIMIT_PER_USER="1/hour", RATE_LIMIT_GLOBAL="2/hour")
    asked = [("DELETE", f"/calls/{UNKNOWN}"), ("GET", f"/calls/{UNKNOWN}"), ("GET", "/admin/calls")]
    for method, path in asked * 5:
        assert status_and_words(service, method, path)[0] == 404
    assert {service.post("/calls", {"sdp": ""}).status_code for _ in range(5)} == {400}
    own = [service.post("/calls", {"sdp": OFFER}) for _ in range(5)]
    assert [answer.status_code for answer in own] == [201] + [429] * 4
    other = service.post("/calls", {"sdp": OFFER}, jwt=sign(sub="bob"))
    assert other.status_code == 201
    for opened, user in ((own[0], "ada"), (other, "bob")):  # or the end of this process waits for them
        assert status_and_words(service, "DELETE", opened.headers["Location"], user)[0] == 204
    wait_until(lambda: len(vendor.hung_up) == 2, seconds=5, what="the endings")


def test_who_waits_as_long_as_is_said_is_admitted(vendor: CallVendor) -> None:
    """Whatever was refused meanwhile: what is refused for the limit is not counted again."""
    service = app_in_process(
        vendor.base_url,
        RATE_LIMIT_CALL_CONTROL_PER_USER="2/6second",
        RATE_LIMIT_STRATEGY="fixed-window",
    )
    headers = {"Authorization": f"Bearer {sign(sub='ada')}"}
    assert [service.get("/calls", headers=headers).status_code for _ in range(2)] == [200, 200]
    time.sleep(3)
    refused = [service.get("/calls", headers=headers) for _ in range(4)]
    assert {answer.status_code for answer in refused} == {429}
    time.sleep(int(refused[0].headers["Retry-After"]))
    assert service.get("/calls", headers=headers).status_code == 200
