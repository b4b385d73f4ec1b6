"""A JSON Web Key Set (RFC 7517), reduced to the keys that may verify a token. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWK, PyJWTError

from service.auth.keys import PublicKey, VerificationKey, algorithms_of
from service.core.json import parse_object


class KeySetError(Exception):
    """A key set that could not be had, or holds no key we can use; the message is for the admin."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of a provider.

    ``signature_keys`` counts what the provider publishes for signatures, what we cannot use included: a
    token without ``kid`` is only unambiguous where that is one.
    """

    keys: tuple[VerificationKey, ...]
    signature_keys: int

    def candidates(self, header: Mapping[str, Any]) -> Sequence[VerificationKey]:
        """Return the keys that fit a token's ``kid`` and ``alg``."""
        return [key for key in self._named(header) if header["alg"] in key.algorithms]

    def lacks(self, header: Mapping[str, Any]) -> bool:
        """Tell whether a token names a key that is not here, and so may be newer than this set."""
        return "kid" in header and not self._named(header)

    def _named(self, header: Mapping[str, Any]) -> Sequence[VerificationKey]:
        if "kid" in header:
            return [key for key in self.keys if key.key_id == header["kid"]]
        return self.keys if self.signature_keys == 1 else ()


def parse_key_set(document: bytes, algorithms: Sequence[str]) -> KeySet:
    """Read a key set, keeping the keys that are good for one of ``algorithms``.

    Raises:
        KeySetError: where it is no key set, or no key is left.
    """
    try:
        entries = parse_object(document).get("keys")
    except ValueError as error:
        raise KeySetError(f"the answer {error}") from None
    if not isinstance(entries, list):
        raise KeySetError("the answer is not a key set (no list of keys)")
    published = [entry for entry in entries if isinstance(entry, dict) and _is_for_signatures(entry)]
    keys = tuple(key for entry in published if (key := _usable_key(entry, algorithms)))
    if not keys:
        raise KeySetError(f"none of its {len(entries)} keys is usable with {', '.join(algorithms)}")
    return KeySet(keys, signature_keys=len(published))


def _is_for_signatures(entry: Mapping[str, Any]) -> bool:
    """Leave out encryption keys and shared secrets; whatever is published is no secret (RFC 8725 §2.1)."""
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("kty") != "oct"
        and entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )


def _usable_key(entry: Mapping[str, Any], allowed: Sequence[str]) -> VerificationKey | None:
    """Make a JWK a key, bound to the algorithms of its kind and, where it names one, to that."""
    key_id = entry.get("kid")
    if not isinstance(key_id, str | None):
        return None
    try:
        # The kind of key decides; PyJWK would let the entry's own "alg" decide.
        key = PyJWK({name: value for name, value in entry.items() if name != "alg"}).key
        # A private key is left out: one that everybody can read signs for everybody.
        algorithms = algorithms_of(key) if isinstance(key, PublicKey) else ()
    except (PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):
        return None  # an unknown kind, or too weak
    named = entry.get("alg")
    fitting = tuple(name for name in algorithms if name in allowed and named in {None, name})
    return VerificationKey(key, fitting, key_id, published=True) if fitting else None
