"""What makes things so: one pure file per controller (observed -> actions) and one loop."""
