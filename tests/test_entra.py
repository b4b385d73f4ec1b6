"""Entra ID in the place of a key: a token that is refreshed ahead of need, and failures that say why."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from azure.core.credentials import AccessTokenInfo
from azure.core.exceptions import ClientAuthenticationError

from service.core.errors import RejectedCredentialsError
from service.vendors.control_sockets import ControlSocketError, ControlSockets
from service.vendors.entra import EntraId
from service.vendors.network import Network
from tests.support.entra import (
    CLIENT,
    CLIENT_SECRET,
    FEDERATED_TOKEN,
    HOST_SECRET,
    WRONG_SECRET,
    Entra,
    running_entra,
    running_managed_identity,
    running_workload_identity,
)
from tests.support.forks import run_command
from tests.support.processes import ROOT, wait_until
from tests.support.service import Sandbox, TokenService, app_in_process, running_service, service_environ
from tests.support.voice import Voice

AZURE = {
    "OPENAI_VENDOR": "azure",
    "OPENAI_API_KEY": "",
    "SAFETY_IDENTIFIER_SECRET": "pseudonyms of tests",
    "ALLOWED_MODELS": "gpt-realtime-2.1,gpt-live-1.1",
}


class Library:
    """What ``azure-identity`` would answer: the tokens it is given, each when the test lets it."""

    def __init__(self, *lives: float | Exception) -> None:
        self.lives = list(lives)
        self.gate = threading.Event()
        self.gate.set()
        self.calls = 0
        self.asked = threading.Semaphore(0)

    def fetch(self) -> AccessTokenInfo:
        self.calls += 1
        self.asked.release()
        assert self.gate.wait(10)
        life = self.lives.pop(0) if len(self.lives) > 1 else self.lives[0]
        if isinstance(life, Exception):
            raise life
        return AccessTokenInfo(f"token-{self.calls}", int(time.time() + life))


def authorization(credential: EntraId) -> str:
    return credential.headers()["Authorization"]


def test_the_first_request_waits_for_a_token_and_the_others_have_it() -> None:
    library = Library(3600)
    credential = EntraId(library.fetch, wait_seconds=5)

    assert library.calls == 0
    assert [authorization(credential) for _ in range(3)] == ["Bearer token-1"] * 3
    assert library.calls == 1


def test_a_token_is_replaced_before_its_end_and_nobody_waits_meanwhile() -> None:
    """The library hangs while it fetches the second token; the first one serves until then."""
    library, now = Library(4, 3600), time.time()
    # A request that did wait would do so until the library gives up, and there would be no second token.
    credential = EntraId(library.fetch, wait_seconds=30, clock=lambda: now)
    assert authorization(credential) == "Bearer token-1"
    library.asked.acquire()
    library.gate.clear()

    assert library.asked.acquire(timeout=10)  # without any request
    assert authorization(credential) == "Bearer token-1"
    library.gate.set()
    wait_until(lambda: authorization(credential) == "Bearer token-2", seconds=5, what="the second token")


def test_a_failure_to_refresh_is_nobodys_concern_while_the_old_token_holds() -> None:
    """The library hangs when it is asked again after the failure."""
    library, now = Library(4, ClientAuthenticationError("away"), 3600), time.time()

    def fetch() -> AccessTokenInfo:
        if library.calls == 2:
            library.gate.clear()
        return library.fetch()

    credential = EntraId(fetch, wait_seconds=5, clock=lambda: now)
    authorization(credential)

    for _ in range(3):
        assert library.asked.acquire(timeout=10)
    assert authorization(credential) == "Bearer token-1"
    library.gate.set()
    wait_until(lambda: authorization(credential) == "Bearer token-3", seconds=5, what="the third token")


def test_a_failure_is_told_with_the_librarys_reason_and_is_passed_on_at_once_until_the_next_attempt() -> None:
    library = Library(ClientAuthenticationError("AADSTS7000215:\n  Invalid client secret"), 3600)
    credential = EntraId(library.fetch, wait_seconds=5)

    for _ in range(3):
        with pytest.raises(RejectedCredentialsError) as refused:
            credential.headers()
        reason = "Entra ID: ClientAuthenticationError: AADSTS7000215: Invalid client secret"
        assert refused.value.reason == reason
        assert "AADSTS" not in refused.value.message
    assert library.calls == 1

    def is_back() -> bool:
        try:
            return authorization(credential) == "Bearer token-2"
        except RejectedCredentialsError:
            return False

    wait_until(is_back, seconds=5, what="the second attempt")


def test_a_library_that_hangs_holds_no_request_for_longer_than_it_may_wait() -> None:
    library = Library(3600)
    library.gate.clear()
    credential = EntraId(library.fetch, wait_seconds=0.2)

    with pytest.raises(RejectedCredentialsError) as refused:
        credential.headers()
    assert refused.value.reason == "Entra ID: no token within 0.2 s"
    library.gate.set()


def test_a_token_is_redacted_from_the_vendors_words() -> None:
    credential = EntraId(Library(3600).fetch, wait_seconds=5)
    authorization(credential)
    assert credential.redact_key(b"Access denied for token-1") == b"Access denied for ***"


def test_an_ending_without_a_token_fails_with_the_reason_and_is_tried_again() -> None:
    """As every failure of a control socket does, so that a hangup is tried next."""
    credential = EntraId(Library(ClientAuthenticationError("away")).fetch, wait_seconds=1)
    sockets = ControlSockets("http://127.0.0.1:1/v1", credential=credential, network=Network())
    with pytest.raises(ControlSocketError, match="not opened: Entra ID: ClientAuthenticationError: away"):
        sockets.is_open("/realtime?call_id=rtc_1", seconds=2)


@pytest.fixture
def entra(tmp_path: Path) -> Iterator[Entra]:
    with running_entra(tmp_path) as entra:
        yield entra


def digests(entra: Entra) -> list[str]:
    """Return the tokens that were given out, as the sandbox reports keys."""
    return [hashlib.sha256(token.encode()).hexdigest() for token in entra.tokens]


def keys_used(sandbox: Sandbox) -> list[str]:
    """Return the key of each mint that reached the vendor, in their order."""
    return [mint["key_sha256"] for mint in sandbox.mints()]


def key_of_a_mint(service: TokenService, sandbox: Sandbox) -> str:
    """Mint, and return the key that it reached the vendor with."""
    assert service.token().status_code == 200
    return keys_used(sandbox)[-1]


def test_a_token_of_entra_id_stands_for_the_key_and_is_replaced_in_the_background(
    azure_sandbox: Sandbox, entra: Entra
) -> None:
    """By the real library against a token endpoint on loopback. While a token holds, a failure only warns the admin."""
    azure_sandbox.reset()
    entra.expires_in = 8
    with running_service(azure_sandbox.base_url, **AZURE, **entra.variables) as service:
        assert [service.token().status_code for _ in range(3)] == [200] * 3
        assert len(entra.tokens) == 1
        assert entra.forms[0]["client_id"] == CLIENT
        assert entra.forms[0]["scope"].split()[0] == "https://cognitiveservices.azure.com/.default"

        entra.refusal = WRONG_SECRET
        wait_until(lambda: "AADSTS7000215" in service.run.output, seconds=8, what="a refresh that fails")
        assert service.token().status_code == 200
        entra.refusal = None
        wait_until(lambda: len(entra.tokens) == 2, seconds=8, what="a refresh, without any request")
        entra.expires_in = 3600
        first = digests(entra)[0]
        # The endpoint has given the next one out a moment before the service has it.
        wait_until(lambda: key_of_a_mint(service, azure_sandbox) != first, seconds=5, what="its use")
        voice = Voice(service, azure_sandbox, user="without a key")
        for model in ("gpt-live-1.1", "gpt-realtime-2.1"):
            assert voice.end(voice.opened(model=model)).status_code == 204
            voice.wait_until_ended(seconds=5)

        used = keys_used(azure_sandbox)
        with_first = used.count(first)
        assert with_first >= 4
        assert used[:with_first] == [first] * with_first
        assert set(used[with_first:]) <= set(digests(entra)[1:])
        assert not [secret for secret in (*entra.tokens, CLIENT_SECRET) if secret in service.run.output]


def test_a_refused_sign_in_is_the_vendors_refusal_with_the_reason_in_the_log_alone(
    azure_sandbox: Sandbox, entra: Entra
) -> None:
    """And it heals by itself."""
    entra.refusal = WRONG_SECRET
    with running_service(azure_sandbox.base_url, **AZURE, **entra.variables) as service:
        refused = service.token()

        assert (refused.status_code, refused.json()["error"]["code"]) == (
            502,
            "upstream_rejected_credentials",
        )
        assert "AADSTS" not in refused.text
        assert "AADSTS7000215" in service.run.output
        entra.refusal = None
        wait_until(lambda: service.token().ok, seconds=10, what="a mint")
        assert CLIENT_SECRET not in service.run.output
        assert entra.tokens[-1] not in service.run.output


RESOURCE = "https://cognitiveservices.azure.com"
WORKLOAD = {
    "client_id": CLIENT,
    "client_assertion": FEDERATED_TOKEN,
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "grant_type": "client_credentials",
    "scope": f"{RESOURCE}/.default",
}
MANAGED = {"resource": RESOURCE, "client_id": CLIENT}


@pytest.mark.parametrize(
    ("running_identity", "asked", "refusal"),
    [
        (running_workload_identity, WORKLOAD, WRONG_SECRET),
        (running_managed_identity, MANAGED, {"statusCode": 401, "message": "AADSTS7000215: not assigned"}),
    ],
    ids=["workload identity", "managed identity"],
)
def test_a_host_signs_in_with_its_own_identity(  # noqa: PLR0917 - fixtures, and what is varied
    running_identity: Callable[[Path], AbstractContextManager[Entra]],
    asked: dict[str, str],
    refusal: dict[str, object],
    azure_sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By the variables that Kubernetes and App Service set, which the library finds by itself; it heals, and renews."""
    azure_sandbox.reset()
    with running_identity(tmp_path) as entra:
        for name, value in entra.sign_in.items():
            monkeypatch.setenv(name, value)
        service = app_in_process(azure_sandbox.base_url, **AZURE, **entra.variables)
        entra.refusal = refusal
        refused = service.token()
        assert refused.json()["error"]["code"] == "upstream_rejected_credentials", refused.text
        assert "AADSTS" not in refused.text
        assert "Entra ID gave no token: " in caplog.text
        assert "AADSTS7000215" in caplog.text

        entra.refusal, entra.expires_in = None, 4
        wait_until(lambda: service.token().ok, seconds=10, what="a mint")
        entra.expires_in = 3600
        wait_until(lambda: len(entra.tokens) > 1, seconds=10, what="another token, without any request")
        assert service.token().ok

    assert asked.items() <= entra.forms[-1].items()
    assert set(keys_used(azure_sandbox)) <= set(digests(entra))
    assert not [secret for secret in (*entra.tokens, FEDERATED_TOKEN, HOST_SECRET) if secret in caplog.text]


@pytest.mark.parametrize("kept_in", ["environment", ".env"])
def test_check_signs_in_with_entra_id_too(
    azure_sandbox: Sandbox, entra: Entra, kept_in: str, tmp_path: Path
) -> None:
    """Also where its variables are in ``.env``: the library reads them from the process's own environment."""
    written = entra.variables if kept_in == ".env" else {}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in written.items()))
    environ = service_environ(azure_sandbox.base_url, **AZURE, **({} if written else entra.variables))
    environ["PYTHONPATH"] = str(ROOT)

    good = run_command("check", environ=environ, cwd=tmp_path)
    entra.refusal = WRONG_SECRET
    bad = run_command("check", environ=environ, cwd=tmp_path)

    assert (good.returncode, bad.returncode) == (0, 1), good.stdout + bad.stdout
    assert f"✓ Entra ID: accepted by {azure_sandbox.base_url}" in good.stdout
    assert "✗ Entra ID: ClientAuthenticationError" in bad.stdout
    assert "AADSTS7000215" in bad.stdout
    assert CLIENT_SECRET not in bad.stdout + bad.stderr
