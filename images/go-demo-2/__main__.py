"""Run the app, started as fast as aiohttp allows: a lesson scales it to dozens of pods."""

import gc
import sys

# Importing aiohttp with ssl loads all certificate authorities: a third of the start. This app
# speaks plain HTTP only, and asyncio and aiohttp both work in a Python that has no ssl.
sys.modules["ssl"] = None
# What an import makes stays: looking for garbage in it again and again is for nothing.
gc.disable()

from app import main  # noqa: E402 the lines above decide what it costs

gc.freeze()
gc.enable()
main()
