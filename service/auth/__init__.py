"""Who are you: from a bearer token to a ``Caller``."""
