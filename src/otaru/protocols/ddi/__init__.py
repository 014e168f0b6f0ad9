"""hawkBit's Direct Device Integration API v1: bytes ↔ values, for both ends of the wire.

`words` holds the values and what they mean on our tables, `wire` the one definition of each JSON shape, `lenient` the
reading of JSON that devices get wrong. `server` says and hears what a server does, `device` what a device does; both go
through `wire`, so a shape has one meaning. Everything is the common denominator of SWUpdate, rauc-hawkbit-updater and
Zephyr: ids are decimal strings below 2^31, a deployment has one chunk with one artifact, links stand only for what is due.
"""
