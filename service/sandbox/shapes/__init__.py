"""What clients may send, as pydantic models: sessions, items, events, and the beta's flat ones."""
