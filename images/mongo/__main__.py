"""Run the server with the program's arguments."""

import sys

from server import main

main(sys.argv[1:])
