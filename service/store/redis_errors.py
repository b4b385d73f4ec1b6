"""Say what a failure of Redis means to the person who wrote its URL.

Without Redis's own words, which may repeat what it was sent, a password among it.
"""

from __future__ import annotations

from typing import Final

from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    DataError,
    InvalidResponse,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    SlotNotCoveredError,
)
from redis.sentinel import MasterNotFoundError

FAILURES: Final = (RedisError, RedisClusterException, OSError)
"""What redis-py raises where the storage fails; the second, for a cluster that cannot be reached, is no RedisError."""

_CERTIFICATE: Final = (
    "its certificate cannot be verified; add ssl_ca_certs=FILE to its URL, or ssl_cert_reqs=none where it has signed "
    "that itself"
)
_MEANINGS: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (AuthenticationError, "", "it refuses the user name or password; correct them in its URL"),
    (NoPermissionError, "", "its user may not count; let it run scripts and write keys"),
    (ReadOnlyError, "", "it is a replica, which cannot be written to; put the primary into its URL"),
    (OutOfMemoryError, "", "its memory is full; raise its maxmemory"),
    (ClusterDownError, "", "its cluster is incomplete; see that a node has each slot"),
    (SlotNotCoveredError, "", "its cluster is incomplete; see that a node has each slot"),
    (RedisClusterException, "cluster mode is not enabled", "it is no cluster; write redis:// in its URL"),
    (MasterNotFoundError, " : ", "its Sentinels cannot be reached; correct hosts and ports in its URL"),
    (
        MasterNotFoundError,
        "",
        "no Sentinel knows a primary of that name that is up; correct the name in its URL",
    ),
    (ResponseError, "'SENTINEL'", "what answers there is no Sentinel; correct host and port in its URL"),
    (ResponseError, "DB index", "it has no such database; correct the number at the end of its URL"),
    (InvalidResponse, "", "what answers there is no Redis; correct host and port in its URL"),
    (Exception, "CERTIFICATE_VERIFY_FAILED", _CERTIFICATE),
)
"""Kinds of errors, a part of their text, and what they mean; the first that fits holds."""


def is_own_bug(error: Exception) -> bool:
    """Return whether the command was wrong, which must not give anybody a fresh limit: nothing fails in the storage."""
    return isinstance(error, DataError) or "key slot" in str(error)


def describe_failure(error: Exception) -> str:
    """Say what is wrong and, after a semicolon, what to do."""
    for kind, text, meaning in _MEANINGS:
        if isinstance(error, kind) and text.lower() in str(error).lower():
            return meaning
    return (
        f"it cannot be used ({type(error).__name__}); see that its URL is right (rediss:// where it speaks TLS), and "
        "that it is up"
    )
