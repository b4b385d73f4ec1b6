"""GPT-Live: its configuration, its events and its sessions, without any I/O."""
