"""Keys with quotas, slots with a fair queue, usage and audit: who may use the gateway, and what they used.

Nothing here needs SQLAlchemy until a database is opened (`Accounts.open`, or the modules `tables`, `keyring`,
`holds` and `records`, which work on an open connection).
"""

from .door import GONE, SLOTS, WAITING, Accounts, Admission
from .keys import ANYONE, Issued, Key
from .quotas import Ceiling, Quota
from .refusals import Forbidden, Overloaded, QuotaExceeded, Refusal, Unauthorised
from .turns import Turns

__all__ = [
    "ANYONE",
    "GONE",
    "SLOTS",
    "WAITING",
    "Accounts",
    "Admission",
    "Ceiling",
    "Forbidden",
    "Issued",
    "Key",
    "Overloaded",
    "Quota",
    "QuotaExceeded",
    "Refusal",
    "Turns",
    "Unauthorised",
]
