"""What callers may have: ``Policy`` decides, ``PolicyDocument`` is what the admin writes."""

from service.policy.engine import Policy

__all__ = ["Policy"]
