"""The container runtime that the kubelet is given: sandboxes, containers, images, exec.

Plays containerd, without being a daemon of its own: all that lives longer than this object are
the pause processes, the conmons with their containers, and the files that describe them. A new
instance adopts them (``async with``); leaving it lets them run.

Rules: calls about one sandbox or container come one after the other (the kubelet has one worker
per pod); different ones may overlap. What was begun is finished even when its caller is
cancelled (all but the grace period of a stop), so that no container is half-made because somebody
stopped waiting.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from netlab.api.streams import ExecProcess
from netlab.clock import Clock
from netlab.errors import ContainerError
from netlab.runtime.attach import attach
from netlab.runtime.builtin import BuiltInImages, default_images_dir
from netlab.runtime.capabilities import own_capabilities
from netlab.runtime.cgroup_root import claim_root
from netlab.runtime.cgroups import host_hierarchies, lab_group
from netlab.runtime.cleanup import destroy_lab_containers
from netlab.runtime.containers import Containers
from netlab.runtime.cri import (
    ContainerConfig,
    ContainerState,
    GroupUsage,
    ImageInfo,
    LinuxResources,
    RegistryCredentials,
    SandboxConfig,
    SandboxStatus,
)
from netlab.runtime.exec import start_exec
from netlab.runtime.exits import ExitWatcher
from netlab.runtime.image_store.registry import RegistryRules
from netlab.runtime.image_store.store import IMAGES_ROOT, ImageStore
from netlab.runtime.images import Images
from netlab.runtime.layers import find_program
from netlab.runtime.machine import Machine, own_lowest_oom_score
from netlab.runtime.mounts import ensure_overlay_place
from netlab.runtime.oci import OciCommand
from netlab.runtime.probe import CANDIDATES, boot_id, find_oci_runtime
from netlab.runtime.process import kill_with_argument
from netlab.runtime.records import RuntimePaths
from netlab.runtime.sandboxes import Sandboxes
from netlab.runtime.spec import PAUSE_OOM_SCORE
from netlab.runtime.teardown import forget_previous_boot, remove_orphans
from netlab.runtime.usage import read_usage

_T = TypeVar("_T")

log = logging.getLogger(__name__)

# Mounts and removals block for milliseconds; two processors gain nothing from more.
_THREADS = 4


class OciRuntime:
    """``ContainerRuntime`` on conmon and crun or runc. Use as ``async with OciRuntime(…) as r``.

    run_dir, state_dir: the lab's folders. images_dir: recipes; None means netlab's own.
    images_root: the store of loaded and pulled images. registries: which may be asked for more;
    None means all. oci_runtimes: which OCI runtimes are tried, in this order.
    """

    def __init__(
        self,
        *,
        run_dir: Path,
        state_dir: Path,
        lab_name: str,
        clock: Clock,
        images_dir: Path | None = None,
        images_root: Path = IMAGES_ROOT,
        registries: RegistryRules | None = None,
        oci_runtimes: Sequence[str] = CANDIDATES,
    ) -> None:
        self._paths = RuntimePaths(run_dir, state_dir)
        self._lab_name = lab_name
        self._clock = clock
        self._oci_runtimes = oci_runtimes
        self._built_in = BuiltInImages(
            images_dir=images_dir or default_images_dir(), layers_dir=self._paths.layers
        )
        self._images = Images(
            built_in=self._built_in,
            layers_dir=self._paths.layers,
            store=ImageStore(images_root, clock),
            rules=registries,
        )
        self._stack = AsyncExitStack()
        self._opened: tuple[Sandboxes, Containers, Machine, ExitWatcher] | None = None
        self._group: asyncio.TaskGroup | None = None

    async def __aenter__(self) -> Self:
        """Probe the machine and adopt what an earlier daemon left.

        Raises: HostError naming what is missing; ContainerError; ImageError.
        """
        async with AsyncExitStack() as stack:
            executor = stack.enter_context(ThreadPoolExecutor(_THREADS, "runtime"))
            machine = await self._make_machine(executor)
            watcher = ExitWatcher()
            stack.callback(watcher.close)
            # What an earlier daemon was about to make when it was killed; conmon is not among it.
            await machine.in_thread(kill_with_argument, str(machine.paths.oci_root))
            sandboxes, containers = Sandboxes(machine, watcher), Containers(machine, watcher)
            stack.callback(containers.detach_all)
            sandboxes.adopt()
            containers.adopt()
            groups = sandboxes.groups() | containers.groups()
            await machine.in_thread(
                remove_orphans, machine.paths, machine.hierarchies, groups, self._lab_name
            )
            self._group = await stack.enter_async_context(asyncio.TaskGroup())
            self._opened = (sandboxes, containers, machine, watcher)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish what was begun and let the containers run on."""
        await self._stack.aclose()
        self._opened = self._group = None

    @property
    def runtime_path(self) -> Path:
        """The OCI runtime that was chosen."""
        return self._machine.oci.path

    async def run_sandbox(self, config: SandboxConfig) -> str:
        """Start a sandbox in the network namespace at config.netns; return its id.

        Raises: ContainerError.
        """
        return await self._finish(self._sandboxes.run(config))

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Kill the sandbox's containers, then pause; gone already is fine."""

        async def stop() -> None:
            for container_id in self._containers.of_sandbox(sandbox_id):
                await self._containers.stop(container_id, grace_period_s=0)
            await self._sandboxes.stop(sandbox_id)

        await self._finish(stop())

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Remove the sandbox with its containers; gone already is fine."""

        async def remove() -> None:
            for container_id in self._containers.of_sandbox(sandbox_id):
                await self._containers.remove(container_id)
            await self._sandboxes.stop(sandbox_id)
            await self._sandboxes.remove(sandbox_id)

        await self._finish(remove())

    async def list_sandboxes(self) -> list[SandboxStatus]:
        """Return every sandbox, the oldest first."""
        return self._sandboxes.statuses()

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        """Make a container ready to start in a running sandbox; return its id.

        Raises: ContainerError; ImageError.
        """

        async def create() -> str:
            sandbox = self._sandboxes.running(sandbox_id)
            image = await self._machine.in_thread(self._images.unpack, config.image)
            return await self._containers.create(sandbox, config, image)

        return await self._finish(create())

    async def start_container(self, container_id: str) -> None:
        """Run a created container's process.

        Raises: ContainerError with the OCI runtime's reason; the container is then EXITED with
        reason StartError and code 128.
        """
        await self._finish(self._containers.start(container_id))

    async def stop_container(self, container_id: str, *, grace_period_s: float) -> None:
        """Send the image's stop signal, wait, then kill; gone already is fine."""
        # Not finished when cancelled: a daemon that ends does not wait for a grace period, and
        # the next one asks again.
        await self._containers.stop(container_id, grace_period_s=grace_period_s)

    async def remove_container(self, container_id: str) -> None:
        """Remove a container, killing it first if it runs; its log stays."""
        await self._finish(self._containers.remove(container_id))

    async def list_containers(self) -> list[ContainerState]:
        """Return every container, the oldest first."""
        return self._containers.states()

    async def exec(
        self, container_id: str, argv: Sequence[str], *, stdin: bool, tty: bool
    ) -> ExecProcess:
        """Start a further process in a running container; the caller closes it.

        Raises: ContainerError when the container does not run.
        """
        record = self._containers.running(container_id)
        return await start_exec(
            self._machine.oci,
            container_id,
            argv,
            bundle=self._paths.container(container_id),
            cgroup=record.cgroup,
            hierarchies=self._machine.hierarchies,
            stdin=stdin,
            tty=tty,
        )

    async def attach(self, container_id: str, *, stdin: bool) -> ExecProcess:
        """Return the streams of a running container's own process, from now on.

        Raises: ContainerError when the container does not run.
        """
        target = self._containers.attach_target(container_id)
        return await attach(target, stdin=stdin)

    async def rotate_log(self, container_id: str) -> None:
        """Have conmon open the log path anew, after the file was moved away.

        Raises: ContainerError when the container does not run or conmon does not answer.
        """
        await self._containers.rotate_log(container_id)

    async def update_resources(self, container_id: str, resources: LinuxResources) -> None:
        """Change the bounds of a running container, or of a whole pod by its sandbox's id.

        Raises: ContainerError.
        """
        if container_id in self._sandboxes.pods():
            await self._finish(self._sandboxes.update_resources(container_id, resources))
        else:
            await self._finish(self._containers.update_resources(container_id, resources))

    async def usage(self) -> dict[str, GroupUsage]:
        """Return what each running container, and each sandbox's pod, uses, by id."""
        groups = self._sandboxes.pods() | self._containers.running_groups()
        machine, now = self._machine, self._clock.now()

        def read() -> dict[str, GroupUsage]:
            found = {
                key: read_usage(machine.hierarchies, group, now) for key, group in groups.items()
            }
            return {key: usage for key, usage in found.items() if usage is not None}

        return await machine.in_thread(read)

    def exits(self) -> AsyncIterator[str]:
        """Yield ids of sandboxes and containers whose processes ended, soon after they did."""
        return self._open[3].exits()

    async def pull_image(
        self,
        reference: str,
        *,
        policy: str,
        credentials: Sequence[RegistryCredentials] = (),
    ) -> ImageInfo:
        """Return the image a pod names, brought here if policy says so; see ``Images.pull``.

        Cancelling ends a pull and leaves nothing of it.
        Raises: ImageError, whose reason is the container's waiting reason.
        """
        return await self._images.pull(reference, policy=policy, credentials=credentials)

    async def list_images(self) -> list[ImageInfo]:
        """Return every image that can be run."""
        return await self._machine.in_thread(self._images.present)

    async def remove_image(self, image_id: str) -> None:
        """Remove an image that no container uses; gone already is fine.

        Raises: ImageError when one does.
        """
        await self._machine.in_thread(self._images.remove, image_id)

    async def destroy_all(self) -> None:
        """Remove every sandbox and container of the lab and all that belongs to them.

        The last call: the runtime's folders are gone too.
        """
        for sandbox in await self.list_sandboxes():
            await self.remove_sandbox(sandbox.id)
        for container in await self.list_containers():
            await self.remove_container(container.id)
        paths = self._paths
        await self._machine.in_thread(
            destroy_lab_containers, paths.run_dir, paths.state_dir, self._lab_name
        )

    async def _make_machine(self, executor: ThreadPoolExecutor) -> Machine:
        paths = self._paths
        find_program("conmon")
        await asyncio.to_thread(forget_previous_boot, paths, boot_id())
        pause_layer = await asyncio.to_thread(self._built_in.pause_layer)
        await asyncio.to_thread(
            ensure_overlay_place, paths.writable, lower=pause_layer, trial=paths.root / "trial"
        )
        hierarchies = host_hierarchies()
        await asyncio.to_thread(claim_root, hierarchies)
        runtime = await find_oci_runtime(
            pause_layer=pause_layer,
            cache=paths.probe_result,
            oci_root=paths.oci_root,
            cgroup=f"{lab_group(self._lab_name)}/probe",
            names=self._oci_runtimes,
        )
        return Machine(
            lab_name=self._lab_name,
            paths=paths,
            oci=OciCommand(runtime, paths.oci_root),
            hierarchies=hierarchies,
            capabilities=own_capabilities(),
            lowest_oom_score=_tell_oom_score(own_lowest_oom_score()),
            pause_layer=pause_layer,
            clock=self._clock,
            executor=executor,
        )

    async def _finish(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run work to its end even when the caller is cancelled; return or raise its outcome."""
        if self._group is None:
            work.close()
            raise ContainerError("the container runtime is not open")
        outcome: asyncio.Future[_T] = asyncio.get_running_loop().create_future()

        async def settle() -> None:
            try:
                result = await work
            except asyncio.CancelledError:
                outcome.cancel()
                raise
            except Exception as error:
                if outcome.cancelled():
                    log.warning("what nobody waits for any more failed: %s", error)
                else:
                    outcome.set_exception(error)
            else:
                if not outcome.cancelled():
                    outcome.set_result(result)

        self._group.create_task(settle())
        return await outcome

    @property
    def _open(self) -> tuple[Sandboxes, Containers, Machine, ExitWatcher]:
        if self._opened is None:
            raise ContainerError("the container runtime is not open")
        return self._opened

    @property
    def _sandboxes(self) -> Sandboxes:
        return self._open[0]

    @property
    def _containers(self) -> Containers:
        return self._open[1]

    @property
    def _machine(self) -> Machine:
        return self._open[2]


def _tell_oom_score(lowest: int) -> int:
    if lowest > PAUSE_OOM_SCORE:
        log.info("oom scores below %d need CAP_SYS_RESOURCE; lower ones become %d", lowest, lowest)
    return lowest
