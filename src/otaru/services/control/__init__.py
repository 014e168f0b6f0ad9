"""The control plane's use cases: one function, one transaction; decide in `domain`, count in SQL, save in the store."""
