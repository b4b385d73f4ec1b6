"""Vendors of realtime APIs: how to write their requests, read their responses, and reach them."""
