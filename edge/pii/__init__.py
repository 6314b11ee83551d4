"""What makes text private: recognisers, classifier and tagger, shared by pictures and speech."""
