"""The command line as ``python -m agentpool``; see `agentpool.cli`."""

import sys

from agentpool.cli import main

__all__ = ()

if __name__ == "__main__":
    sys.exit(main())
