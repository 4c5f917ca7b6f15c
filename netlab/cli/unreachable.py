"""What to do when no API server answers: a line below kubectl's own words.

kubectl asks ``localhost:8080`` when no context is set, which helps nobody who has forgotten to
start his lab.
"""

from __future__ import annotations

from netlab.client.wire import ConnectError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netlab.errors import NetlabError
    from netlab.kubectl.session import Session


def advice_on(error: NetlabError, session: Session) -> str:
    """Return what to do about an error; "" when that is not for us to say."""
    if not isinstance(error, ConnectError):
        return ""
    access = session.access
    if access.context:
        return _advice_on_context(access.context, access.server)
    return advice_without_context() if "localhost:8080" in access.server else ""


def advice_without_context() -> str:
    """Return what to do when no context is set; "" when one is."""
    from netlab.client.kubeconfig import load_config
    from netlab.errors import NetlabError

    try:
        config = load_config()
    except NetlabError:
        return ""
    if config["current-context"]:
        return ""
    names = ", ".join(sorted(config["contexts"]))
    choose = f", and 'netlab config use-context NAME' chooses one of: {names}" if names else ""
    return f"No kubeconfig context is set: 'sudo netlab up' starts a lab and sets one{choose}."


def _advice_on_context(context: str, server: str) -> str:
    from netlab.config import DEFAULT_NAME

    name = context.removeprefix(f"{DEFAULT_NAME}-")
    if "127.0.0.1" not in server or (name == context and context != DEFAULT_NAME):
        return ""
    flag = "" if context == DEFAULT_NAME else f" --name {name}"
    return f"Lab {name} does not answer: see 'sudo netlab status{flag}'."
