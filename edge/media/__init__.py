"""Everything that touches PyAV or a device: sources, sinks, codecs, pictures on the host."""
