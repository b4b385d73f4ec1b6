"""Sessions as state machines without I/O: clock and ids are passed in, events come out."""
