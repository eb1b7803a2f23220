"""What counts and decides: the ledger of accounts."""

from .ledger import RESERVED, Account, Hold, Ledger, Wait

__all__ = ["RESERVED", "Account", "Hold", "Ledger", "Wait"]
