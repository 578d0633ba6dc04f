"""The store on a PostgreSQL server; it needs the extra ``postgres``."""

from agentpool.stores.postgres.store import PostgresAgentPoolStore

__all__ = ("PostgresAgentPoolStore",)
