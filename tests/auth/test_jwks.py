"""The key set at hand: who waits, who does not, and what a provider that misbehaves can do. Real sockets."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from service.auth.jwks import MAX_WAITING, JwksKeys, Timing
from service.auth.jwks_fetch import MAX_BYTES, KeySetLocation
from service.auth.keys import PUBLIC_KEY_ALGORITHMS, VerificationKey
from service.core.errors import IdentityProviderUnavailableError
from service.vendors.network import Network
from tests.support.authentication import Clock, claims, sign_in
from tests.support.identity_provider import IdentityProvider, Signer, identity_provider
from tests.support.memory import traced_memory
from tests.support.processes import wait_until

OLD = Signer(key_id="old")
NEW = Signer(key_id="new", name="second")
KNOWN = {"alg": "RS256", "kid": "old"}
UNKNOWN = {"alg": "RS256", "kid": "unknown"}


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    """An identity provider that publishes one key."""
    with identity_provider(OLD) as provider:
        yield provider


def key_set(provider: IdentityProvider, clock: Clock | None = None, **timing: float) -> JwksKeys:
    """Take keys from a provider; time stands still unless the clock is moved."""
    location = KeySetLocation(url=provider.url)
    timed = replace(Timing(), **timing)
    return JwksKeys(location, network=Network(), clock=clock or Clock(), timing=timed)


def found(keys: JwksKeys, header: dict[str, str]) -> list[VerificationKey]:
    """Ask for every key that a token with this header may be tried against."""
    return list(keys.candidates(header))


def seconds_of(call: Callable[[], Any]) -> float:
    """Measure a call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def wait_for_refresh(keys: JwksKeys) -> None:
    """Wait until no fetch is under way."""
    wait_until(lambda: not keys.describe().refreshing, seconds=10, what="the end of the fetch")


def failing(provider: IdentityProvider, clock: Clock | None = None, **timing: float) -> str:
    """Ask for a key of a provider whose set cannot be had; return what the log learns."""
    with pytest.raises(IdentityProviderUnavailableError) as refused:
        found(key_set(provider, clock, **timing), KNOWN)
    assert refused.value.status == 503
    return str(refused.value.reason)


def test_nothing_is_fetched_before_the_first_token(provider: IdentityProvider) -> None:
    """No socket is open when gunicorn forks."""
    keys = key_set(provider)
    assert (provider.fetches, keys.describe().loaded) == (0, False)
    sign_in(keys).accepts(OLD.sign(claims()))
    assert (provider.fetches, keys.describe().loaded) == (1, True)


def test_the_fetch_says_who_we_are(provider: IdentityProvider) -> None:
    """Some CDNs answer the default user agents of HTTP libraries with 403."""
    found(key_set(provider), KNOWN)
    assert provider.requests[0]["User-Agent"] == "realtime-token-service"


def test_a_loaded_set_answers_without_fetching(provider: IdentityProvider) -> None:
    """A thousand tokens, one fetch."""
    keys = key_set(provider)
    for _ in range(1000):
        assert found(keys, KNOWN)
    assert provider.fetches == 1


def test_the_first_requests_share_one_fetch(provider: IdentityProvider) -> None:
    """Of twenty at the same time, one asks and all are answered."""
    release = threading.Event()
    published, provider.answer = provider.answer, lambda request: release.wait(10) and published(request)
    keys = key_set(provider)
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(found, keys, KNOWN) for _ in range(20)]
        wait_until(lambda: provider.fetches == 1, seconds=5, what="the fetch")
        release.set()
        assert all(answer.result() for answer in answers)
    assert provider.fetches == 1


def test_a_rotated_key_is_found_at_once(provider: IdentityProvider) -> None:
    """A token under a new key makes us look again, and is admitted; the old key's tokens stay good meanwhile."""
    guarded = sign_in(key_set(provider))
    guarded.accepts(OLD.sign(claims()))
    provider.publish(OLD, NEW)
    guarded.accepts(NEW.sign(claims()))
    guarded.accepts(OLD.sign(claims()))
    assert provider.fetches == 2


def test_a_withdrawn_key_is_dropped_with_the_next_set(provider: IdentityProvider) -> None:
    """Whoever stole it has until then."""
    clock = Clock()
    keys = key_set(provider, clock)
    found(keys, KNOWN)
    provider.publish(NEW)
    clock.advance(300)
    assert found(keys, KNOWN)
    wait_for_refresh(keys)
    assert not found(keys, KNOWN)


def test_a_storm_of_unknown_kids_stays_within_a_budget(provider: IdentityProvider) -> None:
    """Each new ``kid`` may cause one fetch, all of them together a few in half a minute."""
    clock = Clock()
    keys = key_set(provider, clock)
    found(keys, KNOWN)
    for number in range(500):
        assert not found(keys, {"alg": "RS256", "kid": f"unknown-{number}"})
    assert provider.fetches == 1 + 5
    clock.advance(30)
    found(keys, UNKNOWN)
    assert provider.fetches == 1 + 5 + 1


def test_a_strange_kid_does_not_hide_a_key_that_was_just_rotated(provider: IdentityProvider) -> None:
    """Somebody's token of another system must not make everybody's fresh tokens a 401 for seconds."""
    guarded = sign_in(key_set(provider))
    guarded.accepts(OLD.sign(claims()))
    for _ in range(3):
        assert guarded.cause(NEW.sign(claims(), kid="strange")) == "unknown_key"
    assert provider.fetches == 2, "one kid is searched for once"
    provider.publish(OLD, NEW)
    guarded.accepts(NEW.sign(claims()))


def test_a_key_published_without_kid_verifies_tokens_that_have_one(provider: IdentityProvider) -> None:
    """And no search for that ``kid`` is needed."""
    provider.publish(OLD, NEW.jwk(kid=None))
    guarded = sign_in(key_set(provider))
    guarded.accepts(NEW.sign(claims(), kid="whatever"))
    assert provider.fetches == 1
    assert guarded.cause(NEW.sign(claims(), kid="old")) == "bad_signature"


def test_a_known_key_never_waits_for_an_unknown_one(provider: IdentityProvider) -> None:
    """The fetch for an unknown kid hangs; tokens under the known key pass as fast as ever."""
    keys, release = key_set(provider), threading.Event()
    found(keys, KNOWN)
    provider.hang(release)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(found, keys, UNKNOWN)
        wait_until(lambda: provider.fetches == 2, seconds=5, what="the fetch")
        assert max(seconds_of(lambda: found(keys, KNOWN)) for _ in range(100)) < 1
        assert not waiting.done()
        release.set()
        assert not waiting.result()


def test_only_so_many_requests_wait_for_a_fetch(provider: IdentityProvider) -> None:
    """A storm beside a provider that hangs cannot take every place a worker has."""
    keys, release = key_set(provider), threading.Event()
    found(keys, KNOWN)
    provider.hang(release)
    with ThreadPoolExecutor(MAX_WAITING) as pool:
        waiting = [pool.submit(found, keys, UNKNOWN) for _ in range(MAX_WAITING)]
        wait_until(lambda: keys.describe().waiting == MAX_WAITING, seconds=5, what="a full queue")
        assert seconds_of(lambda: found(keys, UNKNOWN)) < 2
        release.set()
        assert not any(request.result() for request in waiting)


def test_keys_are_refreshed_behind_a_requests_back(provider: IdentityProvider) -> None:
    """The request that finds the set due is answered from it, and the fetch goes on beside it."""
    clock, release = Clock(), threading.Event()
    keys = key_set(provider, clock)
    found(keys, KNOWN)
    provider.publish(OLD, NEW)
    published, provider.answer = provider.answer, lambda request: release.wait(10) and published(request)
    clock.advance(300)
    assert seconds_of(lambda: found(keys, KNOWN)) < 1
    wait_until(lambda: provider.fetches == 2, seconds=5, what="the refresh")
    release.set()
    wait_for_refresh(keys)
    assert {key_id for key_id, _ in keys.describe().keys} == {"old", "new"}


def test_an_outage_is_ridden_out_for_a_bounded_time(provider: IdentityProvider) -> None:
    """The last good set serves while the provider is down, without delay; and not for ever."""
    clock = Clock()
    keys = key_set(provider, clock, max_age=3600)
    found(keys, KNOWN)
    provider.serve(b"down", status=503)
    for _ in range(3599 // 300):
        clock.advance(300)
        assert seconds_of(lambda: found(keys, KNOWN)) < 1
        wait_for_refresh(keys)
    assert keys.describe().error == "answered 503"
    clock.advance(300)
    with pytest.raises(IdentityProviderUnavailableError):
        found(keys, KNOWN)
    provider.publish(OLD)
    clock.advance(5)
    assert found(keys, KNOWN)
    assert keys.describe().error is None


def test_a_failing_provider_is_left_alone_for_a_while(provider: IdentityProvider) -> None:
    """A hundred tokens, one fetch; all get 503 with the time to come back, and then it is tried again."""
    clock = Clock()
    keys = key_set(provider, clock)
    provider.serve(b"no", status=500)
    for _ in range(100):
        with pytest.raises(IdentityProviderUnavailableError) as refused:
            found(keys, KNOWN)
        assert refused.value.headers["Retry-After"] == "5"
    assert provider.fetches == 1
    clock.advance(5)
    provider.publish(OLD)
    assert found(keys, KNOWN)


def test_an_unknown_kid_beside_a_loaded_set_is_a_401_even_in_an_outage(provider: IdentityProvider) -> None:
    """Contract §1: ``identity_provider_unavailable`` is only for when no set could be had."""
    keys = key_set(provider)
    found(keys, KNOWN)
    provider.serve(b"down", status=500)
    assert sign_in(keys).cause(NEW.sign(claims())) == "unknown_key"


def test_a_token_of_another_algorithm_fetches_nothing(provider: IdentityProvider) -> None:
    """An HS256 token cannot be a provider's, whatever its kid."""
    assert not found(key_set(provider), {"alg": "HS256", "kid": "old"})
    assert provider.fetches == 0


def test_a_token_without_kid_is_tried_against_every_key(provider: IdentityProvider) -> None:
    """Several providers leave it out; it never causes a second fetch."""
    provider.publish(OLD, NEW)
    guarded = sign_in(key_set(provider))
    for signer in (OLD, NEW):
        guarded.accepts(signer.sign(claims(), kid=None))
    assert guarded.cause(Signer(name="third").sign(claims(), kid=None)) == "bad_signature"
    assert provider.fetches == 1


def test_a_dripping_set_meets_the_total_deadline(provider: IdentityProvider) -> None:
    """Each byte comes in time for a timeout per read; the whole does not."""
    provider.drip(20)
    started = time.perf_counter()
    assert "no whole answer within 0.4 s" in failing(provider, fetch_deadline=0.4)
    assert time.perf_counter() - started < 1.5


def test_a_hanging_provider_meets_the_deadline(provider: IdentityProvider) -> None:
    """Connected, and silent."""
    release = threading.Event()
    provider.hang(release)
    assert "cannot be reached" in failing(provider, fetch_deadline=0.3)
    release.set()


def test_an_oversized_set_is_not_read_to_its_end(provider: IdentityProvider) -> None:
    """Plain or compressed: what counts is what would lie in memory."""
    huge = b'{"keys": [' + b" " * (MAX_BYTES * 8)
    provider.serve(huge)
    assert "larger than" in failing(provider)
    provider.serve(gzip.compress(huge), Content_Encoding="gzip")
    assert "larger than" in failing(provider)


def test_a_key_set_that_unpacks_to_hundreds_of_megabytes_takes_none_of_them(
    provider: IdentityProvider,
) -> None:
    """No more is unpacked at once than is read at once."""
    provider.serve(gzip.compress(bytes(300_000_000)), Content_Encoding="gzip")
    with traced_memory() as memory:
        assert "larger than" in failing(provider)
    assert memory.most < 10_000_000


def test_a_flood_of_interim_answers_is_no_key_set(provider: IdentityProvider) -> None:
    """http.client skips them without end, and while they flood in no timer can fire."""
    sent = 0

    def flood(request: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        while True:
            sent += request.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    provider.answer = flood
    assert "cannot be reached" in failing(provider)
    assert sent < 16_000_000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(provider: IdentityProvider, status: int) -> None:
    """The admin named who is trusted to say the keys; nobody else is."""
    with identity_provider(OLD) as elsewhere:
        provider.serve(b"", status=status, Location=elsewhere.url)
        assert f"answered {status}, and redirects are not followed" in failing(provider)
        assert elsewhere.fetches == 0


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", "is not JSON"),
        (b"<html>sign in</html>", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"\xff", "is not UTF-8"),
        (b"[" * 100_000, "is nested too deeply"),
        ({}, "no list of keys"),
        ({"keys": {"kid": "old"}}, "no list of keys"),
        ({"keys": []}, "none of its 0 keys"),
        ({"keys": [OLD.jwk(use="enc"), None, "key", {}]}, "none of its 4 keys"),
    ],
)
def test_what_is_no_key_set_is_refused(provider: IdentityProvider, document: Any, reason: str) -> None:
    """With a reason that tells the admin what stands at that address."""
    provider.serve(document)
    assert reason in failing(provider)


def test_a_broken_set_does_not_replace_a_good_one(provider: IdentityProvider) -> None:
    """A provider's bad deployment is an outage like another."""
    clock = Clock()
    keys = key_set(provider, clock)
    found(keys, KNOWN)
    provider.serve({"keys": []})
    clock.advance(300)
    found(keys, KNOWN)
    wait_for_refresh(keys)
    assert found(keys, KNOWN)
    assert keys.describe().error == f"none of its 0 keys is usable with {', '.join(PUBLIC_KEY_ALGORITHMS)}"


def test_nobody_there_is_a_503() -> None:
    """Connection refused, from the very first."""
    with identity_provider(OLD) as gone:
        pass
    assert "cannot be reached (ConnectionError)" in failing(gone)


def test_an_unforeseen_failure_is_a_failure_like_another(caplog: pytest.LogCaptureFixture) -> None:
    """Those who wait are let go at once, the next fetch cools down, and the log has the traceback."""

    class BrokenNetwork:
        def session(self, _url: str) -> Any:
            raise RuntimeError("unforeseen")

    location = KeySetLocation(url="https://issuer.test/keys")
    keys = JwksKeys(location, network=BrokenNetwork(), clock=Clock())
    with pytest.raises(IdentityProviderUnavailableError) as refused:
        found(keys, KNOWN)
    assert str(refused.value.reason).endswith("RuntimeError")
    assert refused.value.headers["Retry-After"] == "5"
    assert any(record.exc_info for record in caplog.records)


def test_the_log_tells_of_a_failed_refresh(
    provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """Once per attempt, with the address and the reason."""
    provider.serve(b"", status=404)
    failing(provider)
    assert caplog.messages == [f"The key set {provider.url} could not be refreshed: answered 404"]


def test_a_set_can_be_loaded_and_described_ahead(provider: IdentityProvider) -> None:
    """What the ``check`` command and the readiness probe ask."""
    clock = Clock()
    provider.publish(OLD, Signer("ES256", key_id="ec"), Signer("EdDSA", key_id=None))
    keys = key_set(provider, clock)
    state = keys.load()
    assert state.keys == (("old", ("RS256",)), ("ec", ("ES256",)), (None, ("EdDSA", "Ed25519")))
    assert (state.url, state.age, state.error) == (provider.url, 0, None)
    clock.advance(7)
    assert keys.describe().age == 7
    provider.serve(b"", status=500)
    assert keys.load().error == "answered 500"
    assert keys.describe().loaded
