"""Train the plate detector on street scenes that are drawn: no photograph of a plate is needed."""
