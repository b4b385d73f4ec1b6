"""HTTP and WebSockets: the only modules of the sandbox that know Flask."""
