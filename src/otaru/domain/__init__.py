"""What is true: words, states and rules. Pure: no I/O, no clock, no randomness (`now` and seeds are parameters)."""
