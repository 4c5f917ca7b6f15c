"""What every write passes before and after it is validated."""
