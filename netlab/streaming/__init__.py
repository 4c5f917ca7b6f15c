"""What HTTP connections go over to: SPDY and WebSockets, and commands and port-forwards in them."""
