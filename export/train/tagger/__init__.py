"""The small tagger of private words: text generation, training, export to ONNX."""
