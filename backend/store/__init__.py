"""The ledger: what Label Studio said, what was trained on what, what was predicted and pushed."""

from backend.store.database import STORE_FILE, Store, copy_database

__all__ = ["STORE_FILE", "Store", "copy_database"]
