"""The images that were loaded, pulled or built on this machine, and how they get there."""
