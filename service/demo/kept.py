"""What the demo keeps from one start to the next: its keys, its ports and its certificate.

Pages, phones and pasted lines of an earlier start go on working. All of it is in the user's cache folder, and only
the user may read it; nothing of it opens anything but this demo.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from service.sandbox.tls import Certificate, write_certificate

FOLDER: Final = "realtime-token-service"
_FILE: Final = ".demo.json"
_KEYS: Final[Mapping[str, Callable[[], str]]] = {
    "OPENAI_API_KEY": lambda: f"sk-sandbox-{secrets.token_hex(16)}",
    "JWT_SECRET": lambda: secrets.token_hex(32),
    "LIVE_JWT_SECRET": lambda: secrets.token_hex(32),
    "SAFETY_IDENTIFIER_SECRET": lambda: secrets.token_hex(32),
    "ADMIN_TOKEN": lambda: secrets.token_hex(32),
}
_RENEW: Final = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Kept:
    """Keys by name, and the ports that the first start took: ``service`` and ``sandbox``."""

    folder: Path
    keys: Mapping[str, str] = field(repr=False)
    ports: Mapping[str, int]

    def certificate(self, names: tuple[str, ...]) -> Certificate:
        """Return the certificate of the demo, a new one where the kept one lacks a name or is about to expire.

        The key of the authority is never written, so whoever trusts it trusts this one certificate.
        """
        folder = self.folder / "tls"
        found = Certificate.beside(folder / "authority.pem")
        with _locked(self.folder):
            if not _is_good(found, names):
                folder.mkdir(mode=0o700, exist_ok=True)
                for file in (found.authority, found.chain, found.key):
                    file.unlink(missing_ok=True)
                found = write_certificate(folder, names)
        return found

    def claim(self, port: int) -> bool:
        """Claim a port for as long as this process lives; tell whether no other demo, which may be starting, has it."""
        descriptor = os.open(self.folder / f"port-{port}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        return True

    def keep_ports(self, **ports: int) -> None:
        """Keep ports for the next start; those that are kept already stay."""
        with _locked(self.folder):
            keys, kept = _read(self.folder)
            _write(self.folder, keys, {**ports, **kept})


def load(environ: Mapping[str, str]) -> Kept:
    """Read what is kept, and make what is missing; where nothing can be kept, it is for this run only.

    Its folder is ``XDG_CACHE_HOME``, else ``~/.cache`` (https://specifications.freedesktop.org/basedir-spec/).
    """
    cache = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    try:
        return _load(Path(cache) / FOLDER)
    except (OSError, RuntimeError):  # a home that is read-only, or none
        return _load(Path(tempfile.mkdtemp(prefix=f"{FOLDER}-")))


def _load(folder: Path) -> Kept:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    with _locked(folder):
        found, ports = _read(folder)
        keys = {name: found.get(name) or make() for name, make in _KEYS.items()}
        if keys != found:
            _write(folder, keys, ports)
    return Kept(folder, keys, ports)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep another demo from writing at the same time."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(folder: Path) -> tuple[dict[str, str], dict[str, int]]:
    try:
        read = json.loads((folder / _FILE).read_text("utf-8"))
        keys, ports = dict(read["keys"]), dict(read["ports"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}, {}
    return (
        {name: key for name, key in keys.items() if name in _KEYS and isinstance(key, str)},
        {name: port for name, port in ports.items() if isinstance(port, int) and 0 < port < 65_536},  # noqa: PLR2004
    )


def _write(folder: Path, keys: Mapping[str, str], ports: Mapping[str, int]) -> None:
    descriptor, name = tempfile.mkstemp(dir=folder)  # of mode 0600
    os.close(descriptor)
    Path(name).write_text(json.dumps({"keys": keys, "ports": ports}), "utf-8")
    Path(name).replace(folder / _FILE)


def _is_good(files: Certificate, names: tuple[str, ...]) -> bool:
    """Return whether a certificate is there, whole, for all of the names, and valid for a while."""
    try:
        leaf = x509.load_pem_x509_certificate(files.chain.read_bytes())
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    listed = {str(name.value) for name in alternative}
    until = leaf.not_valid_after_utc - datetime.now(UTC)
    return set(names) <= listed and until > _RENEW and files.key.exists() and files.authority.exists()
