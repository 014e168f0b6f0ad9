"""Use cases on the device: what runs there knows no server, no store and no numbers of a fleet."""
