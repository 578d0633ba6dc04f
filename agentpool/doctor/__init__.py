"""Examining a store file without changing it: ``python -m agentpool doctor FILE``.

======================= =======================================================================
`report`                findings, and the exit code that they come to
`reading`               connecting to a file so that nothing is left behind
`processes`             who has a file open, and who reads it right now
`environment`           the SQLite library, the mount, permissions, modes
`file`                  the write-ahead log, the pages, the schema
`records`               every record of every pool, read once
`names`                 names that look alike
`checkpoints`           kept states against what the records replay to
`coordination`          the rows of a pool against its records; `rows` says how, by a `look`
`derived`               what else stands beside the records: times, promises, bodies
`liveness`              what nobody has taken care of
`quick`                 the part that does not read the file
======================= =======================================================================
"""

from agentpool.doctor.examination import examine
from agentpool.doctor.report import Finding, Level, Report

__all__ = ("Finding", "Level", "Report", "examine")
