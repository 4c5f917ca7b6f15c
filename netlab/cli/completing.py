"""What may stand next on a command line: verbs, options, and the names of what there is.

``netlab completion SHELL`` prints code that asks ``netlab __complete WORDS…`` at each Tab; the last
word is the one to be completed, and may be empty. Names of objects, containers and namespaces are
asked of the cluster, with a short limit of time; labs, lessons and images are looked up here. What
cannot be asked is no candidate: nobody wants an error message at a Tab.
"""

from __future__ import annotations

from netlab.errors import NetlabError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from netlab.kubectl.session import Session

ASK_LIMIT = "2s"
OF_TYPES = ("get", "describe", "delete", "expose", "scale", "label", "annotate", "patch", "wait")
OF_PODS = ("logs", "exec", "attach", "port-forward", "debug", "cp")
OUTPUTS = ("wide", "yaml", "json", "name", "jsonpath=", "custom-columns=")


def complete(session: Session, words: Sequence[str]) -> list[str]:
    """Return the candidates for the last word, in order, each once."""
    *before, prefix = words or [""]
    try:
        found = list(_candidates(session, before, prefix))
    except (NetlabError, OSError):
        found = []
    return sorted({each for each in found if each.startswith(prefix)})


def _candidates(session: Session, before: list[str], prefix: str) -> Iterable[str]:
    from netlab.cli.commands import COMMANDS, LAB
    from netlab.cli.main import split_verb

    if "--" in before:
        return ()
    verb, rest = split_verb(before)
    option = before[-1] if before and before[-1].startswith("-") else ""
    if option and (values := _of_option(session, verb, option, before)) is not None:
        return values
    if not verb:
        return COMMANDS if not prefix.startswith("-") else _options(verb, rest)
    if verb not in COMMANDS:
        return ()
    if prefix.startswith("-"):
        return _options(verb, rest)
    return _of_lab(verb, rest) if verb in LAB else _of_cluster(session, verb, rest, prefix, before)


def _of_option(session: Session, verb: str, option: str, before: list[str]) -> Iterable[str] | None:
    """Return the values of an option that waits for one; None when it is not for us to say."""
    from netlab.cli.commands import LAB

    if verb in LAB:
        return _labs() if option == "--name" else None
    if option in ("-n", "--namespace"):
        return _names(_asking(session, before), "namespaces")
    if option == "--context":
        return _contexts()
    if option in ("-o", "--output"):
        return OUTPUTS
    if option in ("-c", "--container"):
        return _containers(_asking(session, before), verb, before)
    return None


def _of_lab(verb: str, rest: list[str]) -> Iterable[str]:
    """Return what follows one of netlab's own verbs: its verbs, or the names they take."""
    from netlab.cli.main import load_command

    command, words = load_command(verb), [word for word in rest if not word.startswith("-")]
    subverbs = getattr(command, "commands", {})
    if subverbs and not words:
        return subverbs
    if verb == "scenario" and words[0] != "list":
        return _lessons()
    if verb == "exercise" and words[0] != "list":
        return _exercises()
    if verb == "image" and words[0] in ("rm", "inspect", "pull"):
        return _images()
    return ()


def _of_cluster(
    session: Session, verb: str, rest: list[str], prefix: str, before: list[str]
) -> Iterable[str]:
    from netlab.cli.main import load_command
    from netlab.kubectl.flags import Group
    from netlab.kubectl.handover import VERBS_OF_VERBS

    words = _arguments(verb, rest)
    command = load_command(verb)
    if isinstance(command, Group) and not words:
        return (*command.commands, *VERBS_OF_VERBS.get(verb, ()))
    if verb == "config" and words[:1] in (["use-context"], ["use"], ["set-context"]):
        return _contexts()
    if verb in OF_PODS and not words:
        return _names(_asking(session, before), "pods")
    if verb in OF_TYPES or (verb == "explain" and not words):
        kind, slash, _ = prefix.partition("/")
        if slash:
            return [f"{kind}/{name}" for name in _names(_asking(session, before), kind)]
        if words and "/" not in words[0]:
            return _names(_asking(session, before), words[0])
        return _types(_asking(session, before))
    return ()


def _arguments(verb: str, rest: list[str]) -> list[str]:
    """Return the words that are neither options nor their values."""
    takes_value = {word for word, bare in _flags(verb, rest) if bare is None}
    words, left = [], list(reversed(rest))
    while left:
        word = left.pop()
        if word in takes_value and left:
            left.pop()
        elif not word.startswith("-"):
            words.append(word)
    return words


def _options(verb: str, rest: list[str]) -> list[str]:
    return [word for word, _ in _flags(verb, rest) if word.startswith("--")]


def _flags(verb: str, rest: list[str]) -> list[tuple[str, str | None]]:
    """Return the options of a verb, each with what it means without a value; None: needs one."""
    from netlab.cli.commands import LAB
    from netlab.cli.main import load_command
    from netlab.kubectl.flags import Group
    from netlab.kubectl.session import GLOBAL_FLAGS

    command: Any = load_command(verb) if verb else None
    if verb in LAB:
        for word in rest:
            command = getattr(command, "commands", {}).get(word, command)
        return [(word, None) for each in command.params for word in getattr(each, "opts", ())]
    flags = list(GLOBAL_FLAGS)
    while isinstance(command, Group):
        found = next((command.commands[word] for word in rest if word in command.commands), None)
        command = _imported(found) if found else command.fallback
    if command is not None:
        flags += command.flags
    return [
        (word, flag.bare)
        for flag in flags
        for word in (f"--{flag.name}", f"-{flag.short}" if flag.short else "")
        if word
    ]


def _imported(place: tuple[str, str]) -> Any:
    from importlib import import_module

    return getattr(import_module(place[0]), place[1])


def _asking(session: Session, before: list[str]) -> Session:
    """Return the session, with the options that say which cluster and namespace are meant."""
    from netlab.kubectl.flags import Parsed

    values: dict[str, Any] = {"request-timeout": ASK_LIMIT}
    for place, word in enumerate(before):
        name = {"-n": "--namespace", "-s": "--server"}.get(word, word)
        if name in ("--namespace", "--context", "--kubeconfig", "--server") and before[place + 1 :]:
            values[name.removeprefix("--")] = before[place + 1]
        elif name.partition("=")[0] in ("--namespace", "--context", "--kubeconfig"):
            key, _, value = name.removeprefix("--").partition("=")
            values[key] = value
    session.use(Parsed(values, set(), [], -1))
    return session


def _names(session: Session, word: str) -> list[str]:
    resource = session.resources.find(word)
    path = resource.path(session.namespace if resource.namespaced else None)
    items = session.client.call("GET", path, query={"limit": "500"})["items"]
    return [item["metadata"]["name"] for item in items]


def _types(session: Session) -> list[str]:
    from netlab.kubectl.resources import EVERYWHERE

    known = [resource.plural for resource in EVERYWHERE]
    try:
        return [*known, *(resource.plural for resource in session.resources.all())]
    except (NetlabError, OSError):
        return known


def _containers(session: Session, verb: str, before: list[str]) -> list[str]:
    words = _arguments(verb, before[before.index(verb) + 1 : -1])
    if not words:
        return []
    name = words[0].removeprefix("pod/").removeprefix("pods/")
    resource = session.resources.find("pods")
    spec = session.client.call("GET", resource.path(session.namespace, name))["spec"]
    kinds = ("containers", "initContainers", "ephemeralContainers")
    return [container["name"] for kind in kinds for container in spec.get(kind) or ()]


def _contexts() -> list[str]:
    from netlab.client.kubeconfig import load_config

    return list(load_config()["contexts"])


def _labs() -> list[str]:
    from netlab.lab.labs import all_labs

    return all_labs()


def _lessons() -> list[str]:
    from netlab.cli.lessons import lesson_folders

    return [folder.name for folder in lesson_folders()]


def _exercises() -> list[str]:
    from netlab.cli.lessons import lesson_folders
    from netlab.scenario.model import load_scenario

    return [each.name for folder in lesson_folders() for each in load_scenario(folder).exercises]


def _images() -> list[str]:
    import contextlib

    from netlab.cli.image import image_rows
    from netlab.cli.image_words import own_images
    from netlab.clock import SystemClock
    from netlab.runtime.image_store.store import IMAGES_ROOT, ImageStore

    store = ImageStore(IMAGES_ROOT, SystemClock())
    stored: Any = ()
    with contextlib.suppress(NetlabError):
        stored = store.images()
    return [row.name for row in image_rows(stored, own_images(store).present())]
