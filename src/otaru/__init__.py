"""Otaru updates the firmware of IoT fleets."""

__version__ = "0.1.0"
