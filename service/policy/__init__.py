"""What callers may have: ``Policy`` decides, ``PolicyDocument`` is what the admin writes."""

from service.policy.document import PolicyDocument
from service.policy.engine import Policy
from service.policy.problems import PolicyError

__all__ = ["Policy", "PolicyDocument", "PolicyError"]
