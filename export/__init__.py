"""Export: every model to ONNX, checked, then to an engine, checked again."""
