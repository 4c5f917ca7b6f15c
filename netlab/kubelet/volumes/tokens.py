"""Keeps the service account tokens of one pod: asks for them, and for new ones in time.

Mirrors the kubelet's token manager (``pkg/kubelet/token``). A token that cannot be renewed is used
until it expires.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from netlab.api.kinds import SERVICE_ACCOUNT
from netlab.api.pods import Pod
from netlab.api.volumes import ServiceAccountTokenProjection
from netlab.client.interface import Client
from netlab.clock import Clock
from netlab.errors import ApiError
from netlab.kubelet.volumes.content import Token, VolumeError, token_request


class PodTokens:
    """The tokens of one pod, by what its volumes ask for."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._tokens: dict[ServiceAccountTokenProjection, Token] = {}

    async def current(
        self, pod: Pod, wanted: Iterable[ServiceAccountTokenProjection]
    ) -> Mapping[ServiceAccountTokenProjection, Token]:
        """Return the tokens, renewed where it is time.

        Raises: VolumeError when there is none that is still good.
        """
        for projection in wanted:
            await self._renew(pod, projection)
        return dict(self._tokens)

    async def _renew(self, pod: Pod, projection: ServiceAccountTokenProjection) -> None:
        now = self._clock.now()
        known = self._tokens.get(projection)
        if known is not None and now < known.renew_at:
            return
        try:
            self._tokens[projection] = await self._request(pod, projection, now)
        except ApiError as error:
            if known is None or now >= known.expires:
                raise VolumeError(f"failed to fetch token: {error}") from error

    async def _request(
        self, pod: Pod, projection: ServiceAccountTokenProjection, now: datetime
    ) -> Token:
        body = token_request(pod, projection)
        answer = await self._client.create_subresource(
            SERVICE_ACCOUNT, pod.metadata.namespace, body["metadata"]["name"], "token", body
        )
        expires = datetime.fromisoformat(answer["status"]["expirationTimestamp"])
        return Token(answer["status"]["token"], now, expires)
