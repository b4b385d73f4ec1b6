"""A TLS certificate for loopback that a client can be told to trust, made by ``trustme``.

Each run has a certificate authority of its own. Its private key stays in memory and is never written, so nobody can
use the authority for other certificates.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_LIFETIME = dt.timedelta(days=90)
_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files.

    Clients are told to trust ``authority``; the server uses ``chain`` and its private ``key``, which only the
    owner may read.
    """

    authority: Path
    chain: Path
    key: Path

    @classmethod
    def beside(cls, authority: Path) -> Self:
        """Return the certificate whose authority has this path: the three files share a directory."""
        return cls(authority, authority.with_name("server.pem"), authority.with_name("server.key"))


def write_certificate(directory: Path | None = None, names: Sequence[str] = _NAMES) -> Certificate:
    """Make a certificate for ``names``, by default those of loopback, valid for 90 days.

    The files are written to ``directory``, by default a new one that only the owner may read.
    """
    import trustme  # noqa: PLC0415 - the demo reads this module where only the service's requirements are installed

    place = directory or Path(tempfile.mkdtemp(prefix="realtime-sandbox-"))
    files = Certificate.beside(place / "authority.pem")
    authority = trustme.CA(organization_name="Realtime sandbox, this run only")
    server = authority.issue_cert(*names, not_after=dt.datetime.now(dt.UTC) + _LIFETIME)
    authority.cert_pem.write_to_path(files.authority)
    for part in server.cert_chain_pems:
        part.write_to_path(files.chain, append=True)
    files.key.touch(mode=0o600)
    server.private_key_pem.write_to_path(files.key)
    return files
