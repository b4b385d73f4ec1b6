"""The table of vendors, and the variable that chooses one: it decides what is minted and what a policy can refer to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from service.core.environment import EnvironmentModel
from service.vendors.base import Vendor
from service.vendors.openai import OpenAI
from service.vendors.openai_beta import OpenAIBeta
from service.vendors.openai_calls import OpenAICalls

VENDORS: Final[Mapping[str, Vendor]] = {"ga": OpenAI(calls=OpenAICalls()), "beta": OpenAIBeta()}
"""By ``REALTIME_API``."""


class DialectSettings(EnvironmentModel):
    """Today's API, or the retired beta."""

    realtime_api: Literal["ga", "beta"] = "ga"

    @property
    def vendor(self) -> Vendor:
        """The vendor that secrets are minted at."""
        return VENDORS[self.realtime_api]
