"""How the hot operations run fast: Triton only, raw tensors in and out. Imports nothing of the library."""
