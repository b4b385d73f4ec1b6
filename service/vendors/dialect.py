"""Which of the vendor's dialects is spoken: it decides what is minted and what a policy can hold."""

from __future__ import annotations

from typing import Literal

from service.core.environment import EnvironmentModel


class DialectSettings(EnvironmentModel):
    """Today's API, or the retired beta."""

    realtime_api: Literal["ga", "beta"] = "ga"

    @property
    def beta(self) -> bool:
        """Whether upstream speaks the retired beta dialect."""
        return self.realtime_api == "beta"
