"""Training of the project's own models, from data that the scripts generate."""
