"""Runs the program beside it."""

import os
import sys

from app import main

main(sys.argv[1:], os.environ)
