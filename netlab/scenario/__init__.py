"""Lessons as data: text in two languages, commands, and checks of what the commands print."""
