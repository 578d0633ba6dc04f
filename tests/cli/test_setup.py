"""Setting up hosts: their files are changed where that is needed, and are as before after it."""

import errno
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agentpool
from agentpool.cli.setup import files, json_text, marked

from .conftest import POOL, Shell

HOOKS = ("PostToolUse", "Stop")


@pytest.fixture
def home(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home that no host has been in; the project is another folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("CODEX_HOME", raising=False)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    shell.set(STORE="pool.db", POOL=POOL)
    return folder


FILES = {
    "claude": (Path("project/.mcp.json"), Path("project/.claude/settings.json")),
    "claude --user": (Path("home/.claude.json"), Path("home/.claude/settings.json")),
    "codex": (Path("home/.codex/config.toml"),),
}
HOSTS = pytest.mark.parametrize("host", FILES)

SETTINGS = """{
    // is no JSON
    "model" : "best",  "n": 1.50,
    "hooks": {"Stop": [{"matcher": "", "hooks": [{"type": "command", "command": "mine"}]}],
              "PreToolUse": [ ]},
    "mcpServers": { "other": {"command": "x", "args": []} }
}""".replace("    // is no JSON\n", "")
CONFIG = """# mine
model = "best"   # as it is

[mcp_servers.other]
command = 'x'
[[hooks.Stop]]
hooks = [{ type = "command", command = "mine" }]"""
"""What others wrote, in their way; without a newline at the end."""


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(each): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def commands_of(settings: dict[str, Any], event: str) -> list[str]:
    return [hook["command"] for group in settings["hooks"][event] for hook in group["hooks"]]


def written(tmp_path: Path, host: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the entry of the server, and the hooks."""
    files = [tmp_path / each for each in FILES[host]]
    if host == "codex":
        config = tomllib.loads(files[0].read_text())
        return config["mcp_servers"]["agentpool"], config
    servers, settings = (json.loads(each.read_text()) for each in files)
    return servers["mcpServers"]["agentpool"], settings


@HOSTS
@pytest.mark.usefixtures("home")
def test_the_server_and_the_hooks_are_written(shell: Shell, tmp_path: Path, host: str) -> None:
    assert shell(f"setup {host} --as run.me --agent agent.me").code == 0
    server, settings = written(tmp_path, host)
    store, in_project = str(tmp_path / "project/pool.db"), host == "claude"
    assert (server["command"], server["args"]) == (sys.executable, ["-P", "-m", "agentpool", "mcp"])
    assert server["env"] == {
        "AGENTPOOL_STORE": store,
        "AGENTPOOL_POOL": POOL,
        "AGENTPOOL_RUN": "${AGENTPOOL_RUN:-run.me}" if in_project else "run.me",
        "AGENTPOOL_AGENT": "agent.me",
    }
    for event in HOOKS:
        [command] = commands_of(settings, event)
        assert (
            f"{sys.executable} -P -m agentpool inbox --hook --store {store} --pool {POOL} --as "
            in command
        )


@pytest.mark.usefixtures("home")
def test_nothing_in_the_folder_of_the_project_is_imported(shell: Shell, tmp_path: Path) -> None:
    assert shell("setup claude").code == 0
    server, settings = written(tmp_path, "claude")
    (tmp_path / "project/msgspec.py").write_text("raise SystemExit(77)")
    hook, args = commands_of(settings, "Stop")[0], [server["command"], *server["args"], "--help"]
    environment = {**os.environ, "PYTHONPATH": str(Path(agentpool.__file__).parents[1].absolute())}
    codes = [
        subprocess.run(
            each, input=b"{}", capture_output=True, env=environment, check=False
        ).returncode
        for each in (["/bin/sh", "-c", hook], args)
    ]
    assert codes == [1, 0]


@pytest.mark.parametrize("again", ["--as run.else", "--remove"])
@HOSTS
@pytest.mark.usefixtures("home")
def test_what_was_written_without_a_safe_path_is_known(
    shell: Shell, tmp_path: Path, host: str, again: str
) -> None:
    assert shell(f"setup {host}").code == 0
    for each in FILES[host]:
        text = re.sub(r'"-P",\s*|-P ', "", (tmp_path / each).read_text())
        (tmp_path / each).write_text(text)
    assert not any(b"-P" in each for each in snapshot(tmp_path).values())
    assert shell(f"setup {host} {again}").code == 0
    if again == "--remove":
        assert snapshot(tmp_path) == {}
    else:
        server, settings = written(tmp_path, host)
        assert server["args"][0] == "-P"
        assert ["-P" in each for each in commands_of(settings, "Stop")] == [True]


@HOSTS
@pytest.mark.usefixtures("home")
def test_removed_it_is_as_it_was(shell: Shell, tmp_path: Path, host: str) -> None:
    before = snapshot(tmp_path)
    assert shell(f"setup {host}").code == 0
    assert shell(f"setup {host} --remove").code == 0
    assert snapshot(tmp_path) == before == {}
    assert {each.name for each in tmp_path.rglob("*")} == {"home", "project"}


@HOSTS
@pytest.mark.usefixtures("home")
def test_what_others_wrote_stays_to_the_byte(shell: Shell, tmp_path: Path, host: str) -> None:
    for file in FILES[host]:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(CONFIG if host == "codex" else SETTINGS)
        (tmp_path / file).chmod(0o600)
    before = snapshot(tmp_path)
    assert shell(f"setup {host}").code == 0
    server, settings = written(tmp_path, host)
    assert server["args"] == ["-P", "-m", "agentpool", "mcp"]
    assert settings["model"] == "best"
    mine, ours = commands_of(settings, "Stop")
    assert (mine, "inbox --hook" in ours) == ("mine", True)
    assert {(tmp_path / each).stat().st_mode & 0o777 for each in FILES[host]} == {0o600}
    assert shell(f"setup {host} --remove").code == 0
    assert snapshot(tmp_path) == before


@HOSTS
@pytest.mark.usefixtures("home")
def test_again_it_changes_only_what_is_new(shell: Shell, tmp_path: Path, host: str) -> None:
    assert shell(f"setup {host}").code == 0
    before = snapshot(tmp_path)
    again = shell(f"setup {host}")
    assert {each["change"] for each in again.rows} == {"unchanged"}
    assert snapshot(tmp_path) == before
    assert shell(f"setup {host} --as run.else").code == 0
    server, settings = written(tmp_path, host)
    assert "run.else" in server["env"]["AGENTPOOL_RUN"]
    assert [len(commands_of(settings, event)) for event in HOOKS] == [1, 1]
    assert all("run.else" in commands_of(settings, event)[0] for event in HOOKS)


@HOSTS
@pytest.mark.usefixtures("home")
def test_a_dry_run_shows_the_difference_and_writes_nothing(
    shell: Shell, tmp_path: Path, host: str
) -> None:
    called = shell(f"setup {host} --dry-run")
    assert (called.code, snapshot(tmp_path)) == (0, {})
    for file in FILES[host]:
        assert f"+++ {tmp_path / file}" in called.out
    assert "+command = " in called.out or '"command": ' in called.out
    assert shell(f"setup {host}").code == 0
    before = snapshot(tmp_path)
    assert shell(f"setup {host} --dry-run").out == ""
    assert "-" in shell(f"setup {host} --dry-run --remove").out
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("host", "text", "words"),
    [
        ("claude", '{"mcpServers": {', "is left as it is"),
        ("claude", "[]", "it is no object"),
        ("claude", '{"mcpServers": []}', "mcpServers is no object"),
        ("claude", '{"a": 1, "a": 2}', "there twice"),
        ("claude", '{"mcpServers": {"agentpool": {"command": "mine"}}}', "has another 'agentpool'"),
        ("codex", "model = ", "cannot be read"),
        ("codex", "[mcp_servers.agentpool]\ncommand = 'mine'\n", "does not fit"),
        ("codex", "hooks = 1\n", "does not fit"),
    ],
)
@pytest.mark.usefixtures("home")
def test_what_cannot_be_changed_safely_is_left(
    shell: Shell, tmp_path: Path, host: str, text: str, words: str
) -> None:
    file = tmp_path / FILES[host][0]
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    before = snapshot(tmp_path)
    called = shell(f"setup {host}")
    assert (called.code, words in called.err) == (2, True)
    assert str(file) in called.err
    assert snapshot(tmp_path) == before


@pytest.mark.usefixtures("home")
def test_all_files_are_looked_at_before_one_is_written(shell: Shell, tmp_path: Path) -> None:
    settings = tmp_path / FILES["claude"][1]
    settings.parent.mkdir()
    settings.write_text('{"hooks": {"Stop": 1}}')
    before = snapshot(tmp_path)
    called = shell("setup claude")
    assert (called.code, "hooks.Stop is no list" in called.err) == (2, True)
    assert snapshot(tmp_path) == before


@pytest.mark.usefixtures("home")
def test_another_server_of_that_name_is_not_removed(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / FILES["claude"][0]
    file.write_text('{"mcpServers": {"agentpool": {"command": "mine"}}}')
    before = snapshot(tmp_path)
    assert shell("setup claude --remove").code == 0
    assert snapshot(tmp_path) == before


def test_what_codex_puts_into_the_block_stays(shell: Shell, home: Path) -> None:
    """It writes new tables before the comment that a text ends with."""
    assert shell("setup codex").code == 0
    config = home / ".codex/config.toml"
    theirs = """
# theirs
[projects."/x"]
trust_level = "trusted"
lists = [
  [1],
]

[[hooks.Stop]]
[[hooks.Stop.hooks]]
type = "command"
command = "mine"
"""
    of_server = '[mcp_servers.agentpool.tools.take]\napproval_mode = "approve"\n'
    config.write_text(config.read_text().replace("# <<<", f"{of_server}{theirs}# <<<"))
    assert shell("setup codex --as run.else").code == 0
    text = config.read_text()
    assert (theirs in text, of_server in text, text.count("run.else")) == (True, True, 3)
    assert len(commands_of(tomllib.loads(text), "Stop")) == 2
    assert {row["change"] for row in shell("setup codex --as run.else").rows} == {"unchanged"}
    assert shell("setup codex --remove").code == 0
    assert config.read_text() == theirs


@pytest.mark.parametrize("how", ["--remove", "--as run.else"])
def test_lines_may_end_as_others_want(shell: Shell, home: Path, how: str) -> None:
    assert shell("setup codex").code == 0
    config, theirs = home / ".codex/config.toml", 'model = "best"\n'
    config.write_bytes(f"{theirs}\n{config.read_text()}".replace("\n", "\r\n").encode())
    assert shell(f"setup codex {how}").code == 0
    left = config.read_bytes().decode()
    assert tomllib.loads(left)["model"] == "best"
    assert ("agentpool" in left) == (how != "--remove")
    assert shell("setup codex --remove").code == 0
    assert config.read_bytes().decode() == theirs.replace("\n", "\r\n")


def test_what_would_be_no_toml_is_left(shell: Shell, home: Path) -> None:
    assert shell("setup codex").code == 0
    config = home / ".codex/config.toml"
    before = config.read_text().replace(
        "# <<<", '[x]\na = """\n[[hooks.Stop]]\n-m agentpool inbox --hook"""\n# <<<'
    )
    config.write_text(before)
    called = shell("setup codex --remove")
    assert (called.code, "taken out does not fit" in called.err) == (2, True)
    assert config.read_text() == before


def test_a_hook_of_others_in_a_group_of_ours_is_not_lost(shell: Shell, home: Path) -> None:
    assert shell("setup codex").code == 0
    config = home / ".codex/config.toml"
    theirs = '[[hooks.Stop.hooks]]\ntype = "command"\ncommand = "mine"\n'
    config.write_text(config.read_text().replace("# <<<", f"{theirs}# <<<"))
    before = config.read_text()
    for how in ("--remove", "--as run.else"):
        called = shell(f"setup codex {how}")
        assert (called.code, "another hook" in called.err) == (2, True)
        assert config.read_text() == before


@pytest.mark.parametrize("is_link", [False, True])
@pytest.mark.parametrize("end", ["", "\n"])
@HOSTS
@pytest.mark.usefixtures("home")
def test_a_file_of_others_in_which_there_is_nothing_stays(
    shell: Shell, tmp_path: Path, host: str, end: str, is_link: bool
) -> None:
    for file in FILES[host]:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        real = tmp_path / (file.name if is_link else file)
        real.write_text(end if host == "codex" else f"{{}}{end}")
        if is_link:
            (tmp_path / file).symlink_to(real)
    before = snapshot(tmp_path)
    for how in ("", "--as run.else", "--remove", "--remove"):
        assert shell(f"setup {host} {how}").code == 0
    assert snapshot(tmp_path) == before
    assert {(tmp_path / each).is_symlink() for each in FILES[host]} == {is_link}


@HOSTS
@pytest.mark.usefixtures("home")
def test_a_link_to_what_was_made_stays(shell: Shell, tmp_path: Path, host: str) -> None:
    assert shell(f"setup {host}").code == 0
    for file in FILES[host]:
        (tmp_path / file).rename(tmp_path / file.name)
        (tmp_path / file).symlink_to(tmp_path / file.name)
    assert shell(f"setup {host} --remove").code == 0
    left = "" if host == "codex" else "{}\n"
    assert {(tmp_path / each).read_text() for each in FILES[host]} == {left}
    assert {(tmp_path / each).is_symlink() for each in FILES[host]} == {True}


def test_a_link_stays_a_link(shell: Shell, home: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text(CONFIG)
    (home / ".codex").mkdir()
    (home / ".codex/config.toml").symlink_to(real)
    assert shell("setup codex").code == 0
    assert (home / ".codex/config.toml").is_symlink()
    assert "agentpool" in real.read_text()
    assert shell("setup codex --remove").code == 0
    assert real.read_text() == CONFIG


@HOSTS
@pytest.mark.usefixtures("home")
def test_what_cannot_be_written_whole_is_as_it_was(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    assert shell(f"setup {host}").code == 0
    before = snapshot(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    called = shell(f"setup {host} --as run.else")
    file = tmp_path / FILES[host][0]
    assert (called.code, called.err) == (5, f"agentpool setup: {file}: No space left on device\n")
    assert snapshot(tmp_path) == before


@HOSTS
@pytest.mark.usefixtures("home")
def test_what_cannot_be_read_is_named(shell: Shell, tmp_path: Path, host: str) -> None:
    for file in FILES[host]:
        (tmp_path / file).mkdir(parents=True)
        called = shell(f"setup {host}")
        assert (called.code, called.err) == (
            5,
            f"agentpool setup: {tmp_path / file}: Is a directory\n",
        )
        (tmp_path / file).rmdir()


@pytest.mark.parametrize("how", ["--as run.else", "--remove"])
@HOSTS
@pytest.mark.usefixtures("home")
def test_what_a_host_writes_meanwhile_is_not_lost(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, how: str
) -> None:
    assert shell(f"setup {host}").code == 0
    file, theirs = tmp_path / FILES[host][-1], "of the host"
    carry_out = files.Change.carry_out

    def written_meanwhile(change: files.Change) -> None:
        if change.path == file:
            file.write_text(theirs)
        carry_out(change)

    monkeypatch.setattr(files.Change, "carry_out", written_meanwhile)
    called = shell(f"setup {host} {how}")
    assert (called.code, str(file) in called.err, "just changed" in called.err) == (2, True, True)
    assert file.read_text() == theirs
    assert not [each for each in file.parent.iterdir() if f".{file.name}." in each.name]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@host/db",
        "postgresql://me:sec#?secret@host/db",
        "postgresql://me@host/db?password=secret",
        "postgresql://me@host/db?sslmode=require&sslpass%77ord=secret",
    ],
)
@pytest.mark.usefixtures("home")
def test_a_password_is_shown_and_written_nowhere(shell: Shell, tmp_path: Path, url: str) -> None:
    for call in ("setup claude", "setup codex", "backup copy.db"):
        called = shell(call, "--store", url)
        assert (called.code, "secret" in called.err) == (2, False)
        assert ("password in it" in called.err) == call.startswith("setup")
    assert snapshot(tmp_path) == {}


@pytest.mark.parametrize(
    "url", ["postgresql://me@host:5432/db", "postgresql://host:5432/db?user=a@b&passfile=x"]
)
@pytest.mark.usefixtures("home")
def test_a_url_without_a_password_is_written(shell: Shell, tmp_path: Path, url: str) -> None:
    assert shell("setup claude", "--store", url).code == 0
    server, _ = written(tmp_path, "claude")
    assert server["env"]["AGENTPOOL_STORE"] == url


@pytest.mark.usefixtures("home")
def test_what_is_no_url_is_refused(shell: Shell, tmp_path: Path) -> None:
    called = shell("setup claude --store postgresql://[::1/x")
    assert (called.code, "is no URL" in called.err) == (2, True)
    assert snapshot(tmp_path) == {}


@pytest.mark.usefixtures("home")
def test_names_reach_the_hook_as_they_are(shell: Shell, tmp_path: Path) -> None:
    hostile = "run.$(touch x) 'a' \"b\" }"
    assert shell("setup claude", "--as", hostile, "--store", "a b/'p'.db").code == 0
    server, settings = written(tmp_path, "claude")
    assert server["env"]["AGENTPOOL_RUN"] == hostile
    [command] = commands_of(settings, "Stop")
    program = re.sub(r"^\S+ -P -m agentpool inbox", "printf '%s\\\\n'", command)
    shown = subprocess.run(
        ["/bin/sh", "-c", program], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert shown[-1] == hostile
    assert str(tmp_path / "project/a b/'p'.db") in shown


# --- texts

_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(1.5)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)
_TEXTS = st.builds(
    lambda value, indent, separators, end: (
        json.dumps(value, indent=indent, separators=separators) + end
    ),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), _VALUES, max_size=3),
    st.sampled_from([None, 2, 4, "\t"]),
    st.sampled_from([(",", ":"), (", ", " : ")]),
    st.sampled_from(["", "\n"]),
)


@given(_TEXTS, _VALUES)
def test_what_is_put_into_a_json_text_can_be_taken_out(text: str, value: Any) -> None:
    before = json_text.parsed(text)
    assert isinstance(before, dict)
    path = ("own", "list", json_text.END)
    after = json_text.put(text, path, value)
    assert json_text.parsed(after) == {**before, "own": {"list": [value]}}
    again = json_text.put(after, path, 7)
    assert json_text.parsed(again) == {**before, "own": {"list": [value, 7]}}
    assert json_text.taken_out(again, ("own", "list", 1)) == after
    removed = json_text.taken_out(after, ("own", "list", 0))
    assert removed == text or (before == {} and json_text.parsed(removed) == {})


@given(
    st.lists(st.sampled_from([*"a#\n>< ", "\r\n"]), max_size=12).map("".join),
    st.text(alphabet="b\n", max_size=5),
)
def test_a_block_is_put_into_a_text_and_taken_out(text: str, more: str) -> None:
    after = marked.with_block(text, "one\n", bool)
    assert "agentpool setup`, which takes it out by --remove\none\n# <<< " in after
    assert marked.without_block(after, bool) == text
    assert marked.with_block(after, "two\n", bool) == after.replace("one\n# <", "two\n# <")
    longer = marked.without_block(f"{after}\n{more}", bool)
    assert longer.replace("\n", "") == f"{text}{more}".replace("\n", "")
