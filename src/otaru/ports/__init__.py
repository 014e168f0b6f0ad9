"""What services ask of the world. Protocols only; the docstring is the contract, `tests/contract` holds adapters to it."""
