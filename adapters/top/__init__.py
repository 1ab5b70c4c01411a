"""`zephyr top`: the gateway of this machine, live in a terminal."""
