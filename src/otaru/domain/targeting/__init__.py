r"""Who a rollout is for: one small language, one syntax tree, read by SQL and by memory alike.

    id==dev-1                     hardware==rpi4;tag==lab          attr.region==eu-*,attr.region==us-*
    (tag==lab,tag==beta);hardware==rpi4

`;` is and, `,` is or (and binds closer), `*` in a value stands for any run of characters. Quotes let a
value hold the language's own signs; `\` inside them takes the next one literally (`'\*'`).
A missing attribute equals nothing. `lifecycle` is pending, active, quarantined or decommissioned;
`installed.app` is the version of the component `app`.
"""

from otaru.domain.targeting.parse import MAX_DEPTH, MAX_LENGTH, MAX_TERMS, parse
from otaru.domain.targeting.tree import And, Field, Or, Query, Term, match

__all__ = ["MAX_DEPTH", "MAX_LENGTH", "MAX_TERMS", "And", "Field", "Or", "Query", "Term", "match", "parse"]
