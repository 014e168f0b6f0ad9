"""Benchmarks of Otaru, each beside its baselines in the same run. See README.md in this folder."""
