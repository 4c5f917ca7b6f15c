"""The verbs of the command line, as a table.

A verb is one line here: its name, the module that holds it, and what it does. The module is
imported only when the verb is used, so a heavy one costs nothing to the others. It holds either
``COMMAND`` (a ``flags.Command`` or ``flags.Group``: kubectl's verbs, with kubectl's option rules)
or a click command under the verb's own name (netlab's own verbs).
"""

from __future__ import annotations

LAB: dict[str, tuple[str, str]] = {
    "up": ("netlab.cli.up", "Start a lab"),
    "down": ("netlab.cli.down", "Stop a lab and remove all of it"),
    "status": ("netlab.cli.status", "Tell what runs and how it is"),
    "shell": ("netlab.cli.shell", "A shell, or a command, on a node"),
    "ps": ("netlab.cli.ps", "The containers, with the pause of each pod"),
    "agent": ("netlab.cli.agent", "Run one node in a process of its own"),
    "image": ("netlab.cli.image", "The container images the lab can run"),
    "scenario": ("netlab.cli.scenario", "Lessons: list, run and check them"),
    "exercise": ("netlab.cli.exercise", "Exercises: something is broken; mend it"),
    "demo": ("netlab.cli.demo", "Show a whole lab, then remove it"),
    "doctor": ("netlab.cli.doctor", "Check the machine and say how to mend it"),
}

CLUSTER: dict[str, tuple[str, str]] = {
    "get": ("netlab.kubectl.get", "Show one or many objects"),
    "describe": ("netlab.kubectl.describe", "Show an object with what belongs to it"),
    "create": ("netlab.kubectl.create", "Create objects from files, or from options"),
    "apply": ("netlab.kubectl.apply", "Make objects be as files say"),
    "delete": ("netlab.kubectl.delete", "Delete objects"),
    "run": ("netlab.kubectl.run", "Run an image in a pod"),
    "expose": ("netlab.kubectl.expose", "Make a Service for something that runs"),
    "scale": ("netlab.kubectl.scale", "Set how many pods run"),
    "label": ("netlab.kubectl.label", "Set and remove labels"),
    "annotate": ("netlab.kubectl.annotate", "Set and remove annotations"),
    "patch": ("netlab.kubectl.patch", "Change fields of an object"),
    "logs": ("netlab.kubectl.logs", "Show what a container printed"),
    "exec": ("netlab.kubectl.exec", "Run a command in a container"),
    "attach": ("netlab.kubectl.attach", "Attach to a running container"),
    "port-forward": ("netlab.kubectl.port_forward", "Let local ports lead into a pod"),
    "cp": ("netlab.kubectl.cp", "Copy files from and to a container"),
    "debug": ("netlab.kubectl.debug", "Add a container to a pod, to look around in it"),
    "wait": ("netlab.kubectl.wait", "Wait until objects are in a state"),
    "top": ("netlab.kubectl.top", "Show the CPU and memory in use"),
    "explain": ("netlab.kubectl.explain", "Tell what a field means"),
    "api-resources": ("netlab.kubectl.api_resources", "List the resources the server serves"),
    "api-versions": ("netlab.kubectl.api_versions", "List the API versions the server serves"),
    "cluster-info": ("netlab.kubectl.cluster_info", "Tell where the cluster is"),
    "version": ("netlab.kubectl.version", "Tell the versions of netlab and the server"),
    "config": ("netlab.kubectl.config_command", "Look at the kubeconfig and switch contexts"),
    "completion": ("netlab.cli.completion", "Print completion code for a shell"),
}

COMMANDS = {**LAB, **CLUSTER}


def overview(program: str) -> str:
    """Return what ``netlab --help`` prints."""
    lines = ["netlab is Kubernetes networking that you can take apart.", ""]
    for title, group in (("The lab:", LAB), ("The cluster in it, as kubectl:", CLUSTER)):
        lines.append(title)
        lines += [f"  {name:<15} {summary}" for name, (_, summary) in group.items()]
        lines.append("")
    lines += ["Usage:", f"  {program} COMMAND [OPTIONS]", ""]
    lines.append(f'Use "{program} COMMAND --help" for more about a command, and')
    lines.append(f'"{program} options" for the options that all cluster commands take.')
    return "\n".join(lines) + "\n"
