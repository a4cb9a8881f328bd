"""API and screens: reads what the engine computed, computes no indicator itself."""
