"""``netlab completion``: code that has a shell ask netlab what may stand next (``completing``)."""

from __future__ import annotations

from netlab.cli.main import ASK
from netlab.kubectl.flags import Command, HintedUsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

_BASH = f"""_netlab() {{
  local IFS=$'\\n'
  COMPREPLY=($(netlab {ASK} "${{COMP_WORDS[@]:1:COMP_CWORD}}" 2>/dev/null))
}}
complete -o default -F _netlab netlab
"""

_ZSH = f"""#compdef netlab
_netlab() {{
  local -a found
  found=("${{(@f)$(netlab {ASK} "${{(@)words[2,CURRENT]}}" 2>/dev/null)}}")
  if [[ -n "${{found[*]}}" ]]; then compadd -- $found; else _files; fi
}}
(( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit; }}
compdef _netlab netlab
"""

_FISH = f"""function __netlab_complete
    set -l words (commandline -opc) (commandline -ct)
    netlab {ASK} $words[2..-1] 2>/dev/null
end
complete -c netlab -f -n 'test -n "$(__netlab_complete)"' -a '(__netlab_complete)'
"""

CODE = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def _run(session: Session, parsed: Parsed) -> int:
    if len(parsed.args) != 1 or parsed.args[0] not in CODE:
        raise HintedUsageError("say for which shell: bash, zsh or fish")
    session.out.write(CODE[parsed.args[0]])
    return 0


COMMAND = Command(
    "completion",
    _run,
    usage="bash|zsh|fish",
    text="Print completion code for a shell; load it with: source <(netlab completion bash),\n"
    "source <(netlab completion zsh) or: netlab completion fish | source",
)
