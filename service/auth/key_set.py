"""Read a JSON Web Key Set (RFC 7517), keeping the keys that may verify a token. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWK, PyJWTError

from service.auth.keys import EDDSA_ALGORITHMS, PublicKey, VerificationKey, supported_algorithms
from service.core.json import parse_object

MAX_CANDIDATES = 10
"""How many keys one token is tried against; each costs a verification. Providers publish two to six."""

_UNREADABLE = (
    PyJWTError,
    UnsupportedAlgorithm,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
)
"""What PyJWT and cryptography raise for entries that are not keys; the members may hold any JSON."""


class KeySetError(Exception):
    """A key set that could not be fetched, or holds no usable key; the message is for the admin."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of a provider."""

    keys: tuple[VerificationKey, ...]

    def named(self, header: Mapping[str, Any]) -> Sequence[VerificationKey]:
        """Return the keys that fit a token's ``alg``, and its ``kid`` where it has one."""
        fitting = (key for key in self.keys if header["alg"] in key.algorithms)
        return _first(key for key in fitting if "kid" not in header or key.key_id == header["kid"])

    def unnamed(self, header: Mapping[str, Any]) -> Sequence[VerificationKey]:
        """Return the keys that fit a token's ``alg`` and have no ``kid``, for tokens whose ``kid`` is unknown."""
        return _first(key for key in self.keys if key.key_id is None and header["alg"] in key.algorithms)

    def lacks(self, header: Mapping[str, Any]) -> bool:
        """Return whether a token names a key that is not here, and so may be newer than this set."""
        return "kid" in header and not any(key.key_id == header["kid"] for key in self.keys)


def _first(keys: Iterable[VerificationKey]) -> Sequence[VerificationKey]:
    return tuple(islice(keys, MAX_CANDIDATES))


def parse_key_set(document: bytes, algorithms: Sequence[str]) -> KeySet:
    """Read a key set, keeping the keys that are good for one of ``algorithms``.

    Raises:
        KeySetError: it is not a key set, or no key is left.
    """
    try:
        entries = parse_object(document).get("keys")
    except ValueError as error:
        raise KeySetError(f"the answer {error}") from None
    if not isinstance(entries, list):
        raise KeySetError("the answer is not a key set (no list of keys)")
    keys = tuple(
        key for entry in entries if isinstance(entry, dict) and (key := _parse_key(entry, algorithms))
    )
    if not keys:
        raise KeySetError(f"none of its {len(entries)} keys is usable with {', '.join(algorithms)}")
    return KeySet(keys)


def _parse_key(entry: Mapping[str, Any], allowed: Sequence[str]) -> VerificationKey | None:
    """Make a JWK a key, bound to the algorithms of its kind and, where it names one, to that.

    Whatever is wrong with an entry costs this key only. A member that is null counts as absent.
    """
    members = {name: value for name, value in entry.items() if value is not None}
    key_id, named = members.get("kid"), members.pop("alg", None)
    if not _is_for_signatures(members) or not isinstance(key_id, str | None):
        return None
    try:
        # Without "alg" the kind of key decides; PyJWK would let the entry's own decide.
        key = PyJWK(members).key
        # A private key is left out: one that everybody can read signs for everybody.
        algorithms = supported_algorithms(key) if isinstance(key, PublicKey) else ()
    except _UNREADABLE:
        return None  # an unknown kind, certificates only (x5c), or too weak
    fitting = tuple(name for name in algorithms if name in allowed and _is_named(name, named))
    return VerificationKey(key, fitting, key_id) if fitting else None


def _is_for_signatures(entry: Mapping[str, Any]) -> bool:
    """Leave out encryption keys and shared secrets; whatever is published is not secret (RFC 8725 §2.1)."""
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("kty") != "oct"
        and entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )


def _is_named(algorithm: str, named: Any) -> bool:
    """Return whether an entry's ``alg`` allows an algorithm; both names of EdDSA mean the same one."""
    if named in EDDSA_ALGORITHMS:
        return algorithm in EDDSA_ALGORITHMS
    return named is None or named == algorithm
