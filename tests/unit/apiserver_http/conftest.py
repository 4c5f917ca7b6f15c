"""A whole API server on loopback, and clients of it."""

import pytest

from netlab.client.https import HttpsClient
from tests.support.api import api_lab


@pytest.fixture
async def lab(tmp_path):
    async with api_lab(tmp_path) as running:
        yield running


@pytest.fixture
async def client(lab):
    async with HttpsClient(lab.admin) as made:
        yield made


@pytest.fixture
async def http(lab):
    async with lab.session() as session:
        yield session
