"""Examining a store on a server, without changing it. Needs the extra ``postgres``.

======================= =======================================================================
`examination`           connecting, and all checks in order
`visit`                 transactions that only read, and are bounded
`reader`                the pools, as the checks of all engines read them
`keys`                  what records are looked up by
`settings`              version, settings, encoding, connections, recovery
`tables`                schema, rights
`plans`                 how the server goes about our statements
`activity`              who stands in the way, and what is left behind
======================= =======================================================================
"""

from agentpool.doctor.server.examination import examine_server

__all__ = ("examine_server",)
