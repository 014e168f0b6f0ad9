r"""Who a rollout is for: one small language, one syntax tree, read by SQL and by memory alike.

    id==dev-1                     hardware==rpi4;tag==lab          attr.region==eu-*,attr.region==us-*
    (tag==lab,tag==beta);hardware==rpi4                            state==failed and not(tag==vip)
    tag=in=(lab,beta)             last_contact=lt=-P7D             attr.region=null=true

`;` (or `and`) is and, `,` (or `or`) is or and binds less, `*` in a value stands for any run of characters. Quotes let a
value hold the language's own signs; `\` inside them takes the next one literally (`'\*'`).

What is missing equals nothing, differs from nothing (`!=`, `=out=`) and is neither early nor late: it matches `=null=`
alone, and what `not(…)` makes of the others. Tags are a set: `tag!=lab` is who does not have it. Times are compared with
a time, or with how long ago (`-P7D`), counted from the moment at which the query is read. `group==NAME` is who a
saved query or a list of that name means (`meaning`). `state` is where the device
stands (`domain.standing`); who is decommissioned stands nowhere. Fields and operators: `FIELDS`.
"""

from otaru.domain.targeting.cursor import Place, Slot, place
from otaru.domain.targeting.fields import FIELDS, About, Kind
from otaru.domain.targeting.meaning import MAX_GROUP_DEPTH, MAX_MEANT, MAX_VERSIONS, Catalogue, Part, groups_in, meaning
from otaru.domain.targeting.parse import MAX_DEPTH, MAX_LENGTH, MAX_TERMS, parse, quoted
from otaru.domain.targeting.tree import (
    And,
    Compared,
    Facts,
    Field,
    Known,
    Not,
    OneOf,
    Or,
    Query,
    Relation,
    Term,
    Timed,
    assurances_meant,
    lifecycles_meant,
    matches,
    states_meant,
)

__all__ = [
    "FIELDS",
    "MAX_DEPTH",
    "MAX_GROUP_DEPTH",
    "MAX_LENGTH",
    "MAX_MEANT",
    "MAX_TERMS",
    "MAX_VERSIONS",
    "About",
    "And",
    "Catalogue",
    "Compared",
    "Facts",
    "Field",
    "Kind",
    "Known",
    "Not",
    "OneOf",
    "Or",
    "Part",
    "Place",
    "Query",
    "Relation",
    "Slot",
    "Term",
    "Timed",
    "assurances_meant",
    "groups_in",
    "lifecycles_meant",
    "matches",
    "meaning",
    "parse",
    "place",
    "quoted",
    "states_meant",
]
