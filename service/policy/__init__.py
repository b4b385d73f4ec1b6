"""What callers may have: ``build`` makes the ``Policy`` that decides, ``PolicyDocument`` is what the admin writes."""

from service.policy.decide import Policy
from service.policy.document import PolicyDocument
from service.policy.reading import PolicyError
from service.policy.settings import PolicySettings, build

__all__ = ["Policy", "PolicyDocument", "PolicyError", "PolicySettings", "build"]
