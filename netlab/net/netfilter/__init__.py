"""The one owner of a network namespace's rules: what is wanted, written, kept and explained."""
