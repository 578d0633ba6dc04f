"""What can stand in a log, and its bytes. Pure: no I/O, no clock, no event loop."""
