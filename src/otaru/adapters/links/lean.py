"""httpcore without HTTP/2: it would import h2 wherever that is installed, 1.4 MB that an idle agent has no use for.

A connection whose server chose h2 imports it then, by httpcore's own hand.
"""

import sys
from types import ModuleType
from typing import cast

_unknown = "h2" not in sys.modules
if _unknown:
    sys.modules["h2"] = cast("ModuleType", None)  # to import it is an ImportError now, for which httpcore has its way
try:
    import httpcore
finally:
    if _unknown:
        del sys.modules["h2"]

__all__ = ["httpcore"]
