"""The ledger: what Label Studio said, what was trained on what, what was predicted and pushed."""

from backend.store.database import Store

__all__ = ["Store"]
