"""The store in one SQLite file, shared by any number of processes of one machine."""

from agentpool.stores.sqlite.store import SqliteAgentPoolStore

__all__ = ("SqliteAgentPoolStore",)
