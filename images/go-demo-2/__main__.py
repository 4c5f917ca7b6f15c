"""Run the app."""

from app import main

main()
