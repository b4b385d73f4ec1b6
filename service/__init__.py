"""The realtime token service: short-lived Realtime API secrets for a company's own apps.

A request walks through the package once, downwards: ``auth`` (who are you), ``policy`` (what may you
have), ``limits`` (how often), ``vendors`` (mint), ``observe`` (what happened). ``app.create_app`` is
where these parts meet. Nothing is imported here, so that ``service.client`` stays usable without Flask.
"""

__version__ = "2.0.0"
"""The README's section "Changes" says what each version brought."""
