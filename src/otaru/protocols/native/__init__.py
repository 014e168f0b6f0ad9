"""The native road, `/device/v1` (docs/connect/native.md): the same maps as JSON or as MessagePack.

- `wire`: the shapes and their bounds;
- `codec`: bytes ↔ the values of `domain.link`, for both ends.
"""
