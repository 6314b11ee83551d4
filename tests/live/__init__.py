"""Live tests: what the program does between real servers, each a process on a loopback port."""
