"""``check --token`` takes one token through every check, and says which passed, with both values."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import pytest

from service.auth.factory import build
from service.auth.settings import AuthSettings
from service.auth.token_check import CheckResult, check_token
from service.store import MemoryStore
from service.vendors.network import Network
from tests.support.forks import run_command
from tests.support.identity_provider import Signer, identity_provider, sign_hs256
from tests.support.processes import PYTHON, ROOT, bare_environ
from tests.support.tokens import AUDIENCE, ISSUER, SECRET, claims

ENVIRON = {"JWT_SECRET": SECRET, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}
NAMES = [
    "size",
    "form",
    "issuer",
    "signature",
    "type",
    "times",
    "audience",
    "authorized party",
    "provider",
    "user",
]


def results(token: str, **variables: str) -> dict[str, CheckResult]:
    """Check a token under these variables, and hold that no part of it is printed."""
    settings = AuthSettings.from_environ({**ENVIRON, **variables})
    authenticator = build(settings, network=Network(), pseudonym_key=b"unused", store=MemoryStore())
    found = list(check_token(token, authenticator, now=time.time()))
    printed = json.dumps([[result.found, result.expected, result.reason] for result in found])
    assert all(part not in printed for part in token.split(".") if len(part) > 20)
    return {result.name: result for result in found}


def failed(found: dict[str, CheckResult]) -> list[str]:
    """Name the checks that the token did not pass."""
    return [name for name, result in found.items() if not result.passed]


def check(token: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command with the token on standard input."""
    command = [PYTHON, "-m", "service", "check", "--token", "-", *options]
    environ = bare_environ(**{**ENVIRON, **variables})
    return subprocess.run(
        command, cwd=ROOT, env=environ, input=token, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_good_token_passes_every_check() -> None:
    """In the order of the service, the ``Bearer`` of a copied header and a line's end left out."""
    found = results(f"Bearer {sign_hs256(claims(), SECRET)}\n")
    assert list(found) == NAMES
    assert failed(found) == []


@pytest.mark.parametrize(
    ("changes", "name", "seen", "expected"),
    [
        ({"iss": "https://other.test"}, "issuer", "https://other.test", ISSUER),
        ({"aud": "billing"}, "audience", "billing", AUDIENCE),
        ({"aud": None}, "audience", "null", AUDIENCE),
        ({"exp": 1_700_000_000}, "times", "2023-11-14T22:13:20+00:00", "± 10 s"),
        ({"exp": "soon"}, "times", "soon", "86400 s"),
        ({"sub": " "}, "user", "sub", "the name of a user"),
    ],
)
def test_a_wrong_claim_is_shown_beside_what_was_expected(
    changes: dict[str, Any], name: str, seen: str, expected: str
) -> None:
    """And the checks after it are made all the same."""
    found = results(sign_hs256(claims(**changes), SECRET))
    assert name in failed(found)
    assert seen in found[name].found
    assert expected in found[name].expected
    assert list(found) == NAMES


def test_every_fault_is_told_at_once() -> None:
    """A foreign key, another audience, no party, too few scopes."""
    token = sign_hs256(claims(aud="billing", scope="openid"), "another-secret-of-32-bytes-or-more")
    found = results(token, JWT_REQUIRED_SCOPE="realtime", JWT_AUTHORIZED_PARTIES="https://app.test")
    assert failed(found) == ["signature", "audience", "authorized party", "scope"]
    assert "a configured key (HS256)" in found["signature"].expected
    assert found["authorized party"].expected == "https://app.test"


@pytest.mark.parametrize(("token_id", "passes"), [("4f1c", True), (None, False), ("", False), (7, False)])
def test_a_token_that_may_be_used_once_needs_a_jti(token_id: Any, passes: bool) -> None:
    """It is not used up by the look at it."""
    token = sign_hs256(claims(jti=token_id), SECRET)
    for _ in range(2):
        found = results(token, JWT_SINGLE_USE="1")
        assert list(found) == [*NAMES, "single use"]
        assert failed(found) == ([] if passes else ["single use"])


def test_the_keys_that_were_fetched_are_listed() -> None:
    """So that the token's ``kid`` can be compared with them."""
    with identity_provider(Signer(key_id="key-1")) as provider:
        variables = {"JWT_SECRET": "", "JWT_JWKS_URL": provider.url}
        foreign = Signer(key_id="key-7", name="other").sign(claims())
        found = results(foreign, **{k: v for k, v in variables.items() if v}, JWT_ALLOW_MULTIPLE="1")
    assert failed(found) == ["signature"]
    assert '"kid": "key-7"' in found["signature"].found
    assert "key-1 (RS256)" in found["signature"].expected


def test_a_key_set_that_cannot_be_fetched_is_told() -> None:
    """With the reason, and not as a fault of the token."""
    with identity_provider() as gone:
        pass
    found = results(Signer().sign(claims()), JWT_JWKS_URL=gone.url, JWT_ALLOW_MULTIPLE="1")
    assert "could not be fetched" in str(found["signature"].reason)


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("", "size", "no token"),
        ("x" * 16_385, "size", "fewer claims"),
        ("2YotnFZFEjr1zCsicMWpAA", "form", "opaque"),
        ("a.b.c", "form", "base64url"),
    ],
)
def test_what_is_no_token_is_told(text: str, name: str, words: str) -> None:
    """Nothing after it can be checked."""
    found = results(text)
    assert failed(found) == [name]
    assert words in str(found[name].reason)


def test_the_command_prints_a_line_for_each_check_and_never_the_token() -> None:
    """Exit 0 only if the service would accept it; only the variables of sign-in are needed."""
    token = sign_hs256(claims(), SECRET)
    good = check(token)
    assert good.returncode == 0, good.stdout + good.stderr
    assert [line[:2] for line in good.stdout.splitlines()] == ["✓ "] * (len(NAMES) + 1)
    assert good.stdout.endswith("✓ This token is accepted.\n")
    bad = check(sign_hs256(claims(aud="billing"), SECRET))
    assert bad.returncode == 1
    assert f"✗ audience: aud billing (expected: {AUDIENCE}) → aud contains no accepted audience" in bad.stdout
    assert all(part not in good.stdout + bad.stdout for part in token.split("."))


def test_the_command_reads_what_other_programs_write(tmp_path: Any) -> None:
    """A byte order mark is none of a token's; what is no text is no token, and no traceback."""
    file = tmp_path / "token"
    for encoding, accepted in (("utf-8-sig", True), ("utf-16", False)):
        file.write_bytes(sign_hs256(claims(), SECRET).encode(encoding))
        done = run_command("check", "--token", str(file), environ=bare_environ(**ENVIRON))
        assert (done.returncode == 0, "Traceback" in done.stderr) == (accepted, False), done.stdout


def test_the_command_reads_a_file_and_names_wrong_variables(tmp_path: Any) -> None:
    """``--token FILE``, so that the token is in no shell's history."""
    file = tmp_path / "token"
    file.write_text(sign_hs256(claims(), SECRET))
    good = run_command("check", "--token", str(file), environ=bare_environ(**ENVIRON))
    assert good.returncode == 0, good.stdout + good.stderr
    bad = run_command(
        "check", "--token", str(file), environ=bare_environ(**{**ENVIRON, "JWT_SECRET": "short"})
    )
    assert bad.returncode == 1
    assert bad.stdout.startswith("✗ variable JWT_SECRET: holds a secret of 5 bytes")
