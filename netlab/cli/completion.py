"""``netlab completion``: code that teaches a shell the commands and their options."""

from __future__ import annotations

from netlab.errors import NetlabError
from netlab.kubectl.flags import Command, HintedUsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

_BASH = """_netlab() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" verb="${{COMP_WORDS[1]}}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="{verbs}"
  else
    case "$verb" in
{cases}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _netlab netlab
"""


def _run(session: Session, parsed: Parsed) -> int:
    if parsed.args not in (["bash"], ["zsh"]):
        raise HintedUsageError("say for which shell: bash or zsh")
    if parsed.args == ["zsh"]:
        session.print("autoload -U +X bashcompinit && bashcompinit")
    session.out.write(bash_code())
    return 0


def bash_code() -> str:
    """Return the completion code for bash."""
    from netlab.cli.commands import COMMANDS

    cases = [f'      {verb}) words="{" ".join(words)}";;' for verb, words in _words().items()]
    return _BASH.format(verbs=" ".join(COMMANDS), cases="\n".join(cases))


def _words() -> dict[str, list[str]]:
    """Return the words that may follow each verb: resources, subcommands and options."""
    from netlab.cli.commands import CLUSTER
    from netlab.cli.main import load_command
    from netlab.kubectl.flags import Group
    from netlab.kubectl.resources import EVERYWHERE
    from netlab.kubectl.session import GLOBAL_FLAGS

    resources = [resource.plural for resource in EVERYWHERE]
    takes_resources = ("get", "describe", "delete", "expose", "scale", "label", "annotate", "wait")
    found: dict[str, list[str]] = {}
    for verb in CLUSTER:
        try:
            command = load_command(verb)
        except NetlabError:
            continue
        words = resources if verb in takes_resources else []
        if isinstance(command, Group):
            words = list(command.commands)
            command = command.fallback
        options = [f"--{flag.name}" for flag in (*command.flags, *GLOBAL_FLAGS)]
        found[verb] = [*words, *sorted(set(options))]
    return found


COMMAND = Command(
    "completion",
    _run,
    usage="bash|zsh",
    text="Print completion code for a shell; load it with: source <(netlab completion bash)",
)
