"""What shells complete: a script for each, made of the verbs and their options."""

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from typing import Final

from agentpool.cli.arguments import Verb
from agentpool.cli.printing import Printer
from agentpool.cli.running import MODULES, verbs_of

__all__ = ("VERBS",)

_FLAG: Final = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
_BASH: Final = """\
_agentpool() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} verb=${{COMP_WORDS[1]}} words=''
    if ((COMP_CWORD == 1)); then
        words='{verbs}'
    elif [[ $word == -* ]]; then
        case $verb in
{cases}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    [[ -n $words ]] || COMPREPLY=($(compgen -f -- "$word"))
}}
complete -F _agentpool agentpool"""
_ZSH: Final = "autoload -U +X bashcompinit && bashcompinit\n"
_FISH_VERB: Final = "complete -c agentpool -n __fish_use_subcommand -f -a {name} -d '{what}'"
_FISH_OPTION: Final = "complete -c agentpool -n '__fish_seen_subcommand_from {name}' {option}"


def _flags(verb: Verb) -> list[str]:
    parser = ArgumentParser(allow_abbrev=False)
    verb.arguments(parser)
    return list(dict.fromkeys(_FLAG.findall(parser.format_help())))


def _bash(verbs: Sequence[Verb]) -> str:
    cases = "\n".join(f"        {each.name}) words='{' '.join(_flags(each))}' ;;" for each in verbs)
    return _BASH.format(verbs=" ".join(each.name for each in verbs), cases=cases)


def _zsh(verbs: Sequence[Verb]) -> str:
    return _ZSH + _bash(verbs)


def _fish(verbs: Sequence[Verb]) -> str:
    lines = [_FISH_VERB.format(name=each.name, what=each.what) for each in verbs]
    for each in verbs:
        for flag in _flags(each):
            option = f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
            lines.append(_FISH_OPTION.format(name=each.name, option=option))
    return "\n".join(lines)


_SHELLS: Final[dict[str, Callable[[Sequence[Verb]], str]]] = {
    "bash": _bash,
    "zsh": _zsh,
    "fish": _fish,
}


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=tuple(_SHELLS))


def _run(options: Namespace, out: Printer) -> int:
    out.raw(_SHELLS[options.shell](verbs_of(*MODULES)))
    return 0


VERBS: Final = (
    Verb(
        "completion",
        "print what makes a shell complete verbs and options",
        'eval "$(agentpool completion bash)"\nagentpool completion fish | source',
        _arguments,
        _run,
    ),
)
