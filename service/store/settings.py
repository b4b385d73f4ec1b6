"""Settings of the storage: its URL is parsed, checked and masked here."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr, ValidationInfo, field_validator

from service.core.environment import EnvironmentModel

_EXAMPLE: Final = "write for example redis://HOST:6379 or memory://"
_MEMORY: Final = "memory"
_SCHEMES: Final = frozenset(
    {_MEMORY}
    | {
        f"{server}{tls}"
        for server in ("redis", "valkey")
        for tls in ("", "s", "+unix", "+sentinel", "+cluster")
    }
)


def mask_url(url: str) -> str:
    """Show a storage URL without what may be secret: user, password and options."""
    scheme, _, rest = url.partition("://")
    place, _, options = rest.partition("?")
    if "@" in options:  # somebody's password holds a question mark, so nothing here is where it seems
        return f"{scheme}://***"
    credentials, at, host = place.rpartition("@")
    return f"{scheme}://{'***' if credentials else ''}{at}{host}{'?***' if options else ''}"


def check_storage_url(url: SecretStr) -> SecretStr:
    """Accept ``memory://`` and the URL of a Redis or Valkey that a client can be made for. Nothing is connected.

    Raises:
        ValueError: saying what is wrong; the URL itself, which may hold a password, is not repeated.
    """
    text = url.get_secret_value().strip()
    scheme = text.partition("://")[0].lower()
    if scheme not in _SCHEMES or "://" not in text:
        raise ValueError(f"is not the URL of a Redis or Valkey, nor memory://; {_EXAMPLE}")
    if scheme == _MEMORY:
        return SecretStr(text)
    # Imported here: where everything is kept in memory, a tenth of the service's own memory is saved.
    from service.store.redis_url import parse_redis_url  # noqa: PLC0415

    try:
        urlsplit(text)
        parse_redis_url(text)
    except ValueError as error:
        explained = _explain(error)
        raise ValueError(explained if "; " in explained else f"{explained}; {_EXAMPLE}") from None
    return SecretStr(text)


def _explain(error: ValueError) -> str:
    """Take our own messages, which begin with a verb; others may repeat parts of the URL."""
    words = str(error)
    return words if words.startswith(("has ", "names ")) else "cannot be read as a Redis URL"


StorageUrl = Annotated[SecretStr, AfterValidator(check_storage_url)]


class StoreSettings(EnvironmentModel):
    """The storage that limits, single use, calls and revocations share."""

    redis_url: StorageUrl | None = None
    rate_limit_storage_url: StorageUrl | None = None
    rate_limit_on_storage_failure: Literal["local", "deny"] = "local"
    dyno: str | None = None

    @field_validator("rate_limit_storage_url")
    @classmethod
    def _default_to_redis_url(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        return value or info.data.get("redis_url") or SecretStr("memory://")

    @property
    def storage_url(self) -> SecretStr:
        """The URL in force; may hold a password."""
        return self.rate_limit_storage_url or SecretStr("memory://")

    @property
    def is_memory(self) -> bool:
        """Whether everything is kept in this process's memory, so that limits hold for one process only."""
        return urlsplit(self.storage_url.get_secret_value()).scheme == _MEMORY

    @property
    def on_heroku(self) -> bool:
        """Whether this is a dyno: Heroku names it in ``DYNO``."""
        return self.dyno is not None
