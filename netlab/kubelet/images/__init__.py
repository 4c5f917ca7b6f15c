"""The images of a node: brought as pull policies say, removed when the disk fills up."""
