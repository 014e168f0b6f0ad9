"""Patches: bytes that turn one image into another, made and applied in bounded memory.

`patch.make` and `patch.apply` are the ways in. A patch is a `container` (what it leads from, what it makes, windows) around
what one of the codecs wrote: `sequential` (the form of detools, packed by LZMA or `heatshrink`) or `zstd_patch`.
A patch is hostile until its result has the digest that somebody signed: what it asks for is held against what it may have
before memory is taken, it reads nothing outside its source and makes no more bytes than it announced.
"""
