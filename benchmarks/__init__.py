"""What privaedge leaks and what it costs, measured from outside: each module is a command."""
