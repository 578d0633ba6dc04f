"""Print the core dependencies at the lowest versions that pyproject.toml allows."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
for dependency in project["dependencies"]:
    print(re.sub(r">=([^,]+).*", r"==\1", dependency))
