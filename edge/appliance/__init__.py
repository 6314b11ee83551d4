"""The box that nobody watches: boots, supervises, restarts, reloads. Knows streams, not stages."""
