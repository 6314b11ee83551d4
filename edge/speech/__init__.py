"""From samples to words with times: voice activity, recognition, alignment, spoken numbers."""
