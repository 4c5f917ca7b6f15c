"""Containers in memory, for the kubelet's tests: they run until told to end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from netlab.clock import FakeClock
from netlab.errors import ContainerError, ImageError
from netlab.runtime.cri import (
    ContainerConfig,
    ContainerPhase,
    ContainerState,
    GroupUsage,
    ImageInfo,
    LinuxResources,
    RegistryCredentials,
    SandboxConfig,
    SandboxStatus,
)


@dataclass
class FakeProcess:
    """A process in a container, for exec: it prints its words, takes a while, and ends."""

    argv: tuple[str, ...]
    container_id: str
    code: int = 0
    lasts: Callable[[], Awaitable[None]] | None = None
    closed: bool = False
    _told: bool = False

    async def read(self) -> tuple[int, bytes] | None:
        if self._told:
            return None
        self._told = True
        if self.lasts is not None:
            await self.lasts()
        return 1, " ".join(self.argv).encode()

    async def wait(self) -> int:
        return self.code

    async def close(self) -> None:
        self.closed = True


class FakeRuntime:
    """Containers that run until told to end."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._ids = itertools.count(1)
        self.sandboxes: dict[str, SandboxStatus] = {}
        self.containers: dict[str, ContainerState] = {}
        self.configs: dict[str, ContainerConfig] = {}
        self.images = {"busybox", "mongo", "busybox:2"}
        self.registry: set[str] = set()
        self.users: dict[str, str] = {}
        self.resized: dict[str, LinuxResources] = {}
        self.execs: list[tuple[str, tuple[str, ...]]] = []
        self.exec_codes: dict[str, int] = {}
        self.exec_seconds: dict[str, float] = {}
        self.slow_pull_s = 0.0
        self.calls: list[str] = []
        self.stubborn: set[str] = set()
        self.create_error = ""
        self.start_error = ""
        self.sandbox_error = ""
        self._exits: asyncio.Queue[str] = asyncio.Queue()
        self.listings = 0

    async def run_sandbox(self, config: SandboxConfig) -> str:
        self.calls.append("run_sandbox")
        await asyncio.sleep(0)
        if self.sandbox_error:
            raise ContainerError(self.sandbox_error)
        sandbox_id = f"sandbox{next(self._ids)}"
        self.sandboxes[sandbox_id] = SandboxStatus(
            sandbox_id, config, ContainerPhase.RUNNING, 1000, self._clock.now()
        )
        return sandbox_id

    async def stop_sandbox(self, sandbox_id: str) -> None:
        self.calls.append("stop_sandbox")
        if sandbox_id in self.sandboxes:
            old = self.sandboxes[sandbox_id]
            self.sandboxes[sandbox_id] = replace(old, phase=ContainerPhase.EXITED, pid=0)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        self.calls.append("remove_sandbox")
        self.sandboxes.pop(sandbox_id, None)
        inside = [c.id for c in self.containers.values() if c.sandbox_id == sandbox_id]
        for container_id in inside:
            del self.containers[container_id]

    async def list_sandboxes(self) -> list[SandboxStatus]:
        return list(self.sandboxes.values())

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        self.calls.append(f"create {config.name}/{config.attempt}")
        if self.create_error:
            raise ContainerError(self.create_error)
        assert self.sandboxes[sandbox_id].phase is ContainerPhase.RUNNING
        container_id = f"container{next(self._ids)}"
        config.log_path.write_bytes(b"")
        self.configs[container_id] = config
        self.containers[container_id] = ContainerState(
            id=container_id,
            sandbox_id=sandbox_id,
            pod=self.sandboxes[sandbox_id].config.pod,
            name=config.name,
            attempt=config.attempt,
            image=config.image,
            image_id=f"sha256:{config.image}",
            phase=ContainerPhase.CREATED,
            pid=0,
            created_at=self._clock.now(),
            log_path=config.log_path,
        )
        return container_id

    async def start_container(self, container_id: str) -> None:
        if self.start_error:
            self._set(
                container_id,
                phase=ContainerPhase.EXITED,
                exit_code=128,
                finished_at=self._clock.now(),
                reason="StartError",
            )
            raise ContainerError(self.start_error)
        self._set(
            container_id, phase=ContainerPhase.RUNNING, pid=2000, started_at=self._clock.now()
        )

    def _set(self, container_id: str, **changes: Any) -> None:
        self.containers[container_id] = replace(self.containers[container_id], **changes)

    def end(self, container_id: str, code: int) -> None:
        """The container's process ends by itself."""
        reason = "Completed" if code == 0 else "Error"
        self._set(
            container_id,
            phase=ContainerPhase.EXITED,
            pid=0,
            exit_code=code,
            reason=reason,
            finished_at=self._clock.now(),
        )
        self._exits.put_nowait(container_id)

    def kill_pause(self) -> None:
        """Somebody kills the pause process of the only sandbox."""
        (sandbox_id,) = self.sandboxes
        old = self.sandboxes[sandbox_id]
        self.sandboxes[sandbox_id] = replace(old, phase=ContainerPhase.EXITED, pid=0)
        self._exits.put_nowait(sandbox_id)

    async def stop_container(self, container_id: str, *, grace_period_s: float) -> None:
        state = self.containers.get(container_id)
        self.calls.append(f"stop {state.name if state else '?'} {grace_period_s:g}")
        if state is None or state.phase is ContainerPhase.EXITED:
            return
        if state.name in self.stubborn:
            await self._clock.sleep(grace_period_s)
        self.end(container_id, 137 if state.name in self.stubborn else 0)

    async def remove_container(self, container_id: str) -> None:
        self.calls.append("remove_container")
        self.containers.pop(container_id, None)

    async def list_containers(self) -> list[ContainerState]:
        self.listings += 1
        await asyncio.sleep(0)
        return list(self.containers.values())

    async def exec(
        self, container_id: str, argv: Sequence[str], *, stdin: bool, tty: bool
    ) -> FakeProcess:
        name = self.containers[container_id].name
        self.execs.append((name, tuple(argv)))
        self.calls.append(f"exec {name} {' '.join(argv)}")
        seconds = self.exec_seconds.get(argv[0], 0.0)
        lasts = (lambda: self._clock.sleep(seconds)) if seconds else None
        return FakeProcess(tuple(argv), container_id, self.exec_codes.get(argv[0], 0), lasts)

    async def exits(self) -> AsyncIterator[str]:
        while True:
            yield await self._exits.get()

    async def usage(self) -> Mapping[str, GroupUsage]:
        return {}

    async def remove_image(self, image_id: str) -> None:
        self.images.discard(image_id.removeprefix("sha256:"))

    async def update_resources(self, container_id: str, resources: LinuxResources) -> None:
        found = self.containers.get(container_id)
        self.calls.append(f"resize {found.name if found else 'pod'}")
        self.resized[container_id] = resources

    async def pull_image(
        self, reference: str, *, policy: str, credentials: Sequence[RegistryCredentials] = ()
    ) -> ImageInfo:
        if policy != "Never" and self.slow_pull_s:
            await self._clock.sleep(self.slow_pull_s)
        if policy != "Never" and reference in self.registry:
            self.images.add(reference)
        if reference not in self.images:
            raise ImageError(f'"{reference}": not found')
        user = self.users.get(reference, "")
        return ImageInfo(f"sha256:{reference}", (reference,), 1234, True, user=user)

    async def list_images(self) -> list[ImageInfo]:
        return [ImageInfo(f"sha256:{name}", (name,), 1234, True) for name in sorted(self.images)]

    def container(self, name: str) -> ContainerState:
        """The newest container of that name."""
        same = [c for c in self.containers.values() if c.name == name]
        return max(same, key=lambda c: c.attempt)
