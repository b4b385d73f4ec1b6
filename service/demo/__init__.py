"""``python -m service demo``: the sandbox and the token service together, offline, with a page to try them."""
