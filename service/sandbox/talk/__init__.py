"""The sessions behind the sockets: pure state machines, client event in, server events out."""
