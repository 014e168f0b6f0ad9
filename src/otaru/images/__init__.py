"""Firmware images: what a file says of itself, and whether that is signed by someone the tenant trusts.

`recognise.read` is the way in: it finds the format by its magic and hands the bytes to that format's reader, which returns
`facts.Facts` or raises `reading.BrokenImageError`. Readers never hold an image in memory: they ask a `reading.Source` for
the ranges they need, and a `reading.Reader` counts what they ask for, so that a hostile image ends in an error and not in
a machine without memory. Nothing is ever unpacked to a disk. `der`, `cbor`, `cpio`, `tar`, `squashfs`, `libconfig` and
`keyfile` read containers, `cms` and `keys` check signatures; the other modules are one format each.
"""
