"""Calls: voice sessions that this service opens at the vendor, keeps count of, and can end."""
