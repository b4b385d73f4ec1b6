"""What happened: audit events, metrics and logs, none of which holds a secret."""
