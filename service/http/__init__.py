"""HTTP: the one room that knows requests and responses."""
