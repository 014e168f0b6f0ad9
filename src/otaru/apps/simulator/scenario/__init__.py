"""Long stories of large fleets: a scenario file, the lives that it gives to devices, and a server inside at virtual time."""
