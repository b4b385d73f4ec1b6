"""Pydantic models of what clients may send: sessions, items, events, and the beta's flat forms of them."""
