"""Whatever is sent as a token ends in a 401, and never in anything else."""

from __future__ import annotations

import contextlib
import json
import os
from base64 import urlsafe_b64decode
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.auth.key_set import parse_key_set
from service.auth.keys import StaticKeys, load_secret
from service.auth.providers import Provider, parse_provider
from service.core.errors import InvalidTokenError, MissingTokenError
from tests.support.authentication import SECRET, claims, sign_in
from tests.support.identity_provider import KINDS, Signer, base64url, sign_hs256

THOROUGH = "CI" in os.environ
"""21,000 wrong tokens in CI, most of them of the kinds that are quickly made; a sixteenth of that elsewhere."""

fuzz = settings(
    deadline=None,
    database=None,
    derandomize=not THOROUGH,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def examples(count: int) -> settings:
    """Try so many tokens in CI."""
    return settings(fuzz, max_examples=count if THOROUGH else count // 16)


class Published:
    """A provider's key set, every algorithm in it."""

    key_set = parse_key_set(
        json.dumps({"keys": [Signer(name, key_id=name).jwk() for name in KINDS]}).encode(), tuple(KINDS)
    )

    def candidates(self, header: Any) -> Any:
        return [*self.key_set.named(header), *self.key_set.unnamed(header)]


SIGN_IN = sign_in(StaticKeys((load_secret(SECRET),)), Published())
GOOD = [sign_hs256(claims(), SECRET), *(Signer(name, key_id=name).sign(claims()) for name in KINDS)]

json_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
json_arrays = st.lists(json_scalars, max_size=3)
json_values = (
    json_scalars | json_arrays | st.dictionaries(st.text(max_size=8), json_scalars | json_arrays, max_size=3)
)
header_names = st.sampled_from(
    ["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "cty", "enc"]
)
claim_names = st.sampled_from(
    ["iss", "aud", "sub", "exp", "iat", "nbf", "jti", "azp", "scope", "scp", "permissions"]
)
algorithms = st.sampled_from(["HS256", *KINDS])


def refused(authorization: str) -> None:
    """Expect a 401, and a reason for the log that is fit for it."""
    with pytest.raises((InvalidTokenError, MissingTokenError)) as error:
        SIGN_IN.authenticator.authenticate(authorization)
    assert all(len(str(value)) <= 400 for value in getattr(error.value, "seen", {}).values())


def test_the_tokens_that_are_mutated_are_good() -> None:
    """Or their mutations would prove nothing."""
    for token in GOOD:
        SIGN_IN.accepts(token)


@examples(7_000)
@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text(text: str) -> None:
    """Not a token at all."""
    refused(f"Bearer {text}")


@examples(9_000)
@given(st.sampled_from(GOOD), st.data())
def test_a_good_token_with_characters_changed(token: str, data: st.DataObject) -> None:
    """A few characters replaced, taken out or put in, anywhere."""
    changed = list(token)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.sampled_from(["", ".", "A", "_", "=", "+", " ", "\n", "\x00", "é"]))
    mutated = "".join(changed)
    if mutated.strip(" ") != token:
        refused(f"Bearer {mutated}")


@examples(1_000)
@given(algorithms, st.dictionaries(header_names, json_values, min_size=1))
def test_a_header_with_anything_in_it(algorithm: str, members: dict[str, Any]) -> None:
    """Signed as the header says or not: a foreign key's holder may write any header."""
    header = json.dumps({"alg": algorithm, "kid": algorithm, **members}).encode()
    eve = Signer(algorithm if algorithm in KINDS else "RS256", name="eve")
    refused(f"Bearer {eve.sign_parts(header, claims())}")


@examples(3_000)
@given(algorithms, st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=120))
def test_any_bytes_in_three_parts(algorithm: str, header: bytes, payload: bytes, signature: bytes) -> None:
    """Well-formed base64url of anything, behind a good header or none."""
    for head in (header, json.dumps({"alg": algorithm, "kid": algorithm}).encode()):
        refused(f"Bearer {base64url(head)}.{base64url(payload)}.{base64url(signature)}")


@examples(1_000)
@given(st.sampled_from(["iss", "aud", "sub", "exp"]), json_values, st.dictionaries(claim_names, json_values))
def test_a_rightly_signed_token_with_any_claims(required: str, value: Any, members: dict[str, Any]) -> None:
    """Even the key's holder gets a 401 where a claim is not what it must be; one claim is always wrong."""
    good = claims()
    wrong = {**good, **members, required: None if value == good[required] else value}
    if required == "aud" and isinstance(value, list) and good["aud"] in value:
        wrong["aud"] = None
    if required == "sub" and isinstance(value, str):
        wrong["sub"] = " "
    if required == "exp" and isinstance(value, int | float):
        wrong["exp"] = str(value)
    refused(f"Bearer {sign_hs256(wrong, SECRET)}")


PRESETS = [
    parse_provider(text)
    for text in (
        "auth0:a.example",
        "firebase:f",
        "cognito:r/p/c",
        "supabase:s",
        "clerk:c.example",
        "okta:o.example/default",
        "entra:8eaef023-2b34-4da1-9baa-8bc8c9d6a490",
        "google:g",
        "apple:a",
        "keycloak:k.example/r",
    )
]
provider_claims = st.sampled_from(
    [
        "token_use",
        "client_id",
        "firebase",
        "role",
        "is_anonymous",
        "sts",
        "azp",
        "aud",
        "sid",
        "gty",
        "username",
        "idtyp",
        "oid",
        "email",
        "typ",
        "preferred_username",
        "cid",
        "uid",
    ]
)


@examples(500)
@given(st.sampled_from(PRESETS), st.dictionaries(provider_claims, json_values, min_size=1))
def test_a_providers_token_with_any_claims(provider: Provider, members: dict[str, Any]) -> None:
    """The providers' own claims may hold anything too; refused or, where nothing is wrong, admitted."""
    good = claims(iss=provider.issuers[0], aud=next(iter(provider.audiences), "app"))
    guarded = sign_in(Published(), provider=provider, audiences=("app",), authorized_parties=("app",))
    with contextlib.suppress(InvalidTokenError):
        guarded.accepts(Signer("RS256", key_id="RS256").sign({**good, **members}))


def test_the_fuzz_is_of_real_tokens() -> None:
    """The mutated tokens decode to what was signed."""
    for token in GOOD:
        payload = token.split(".")[1]
        assert json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) == claims()
