"""``/openapi.json``: this API described, from the same models that validate its bodies."""
