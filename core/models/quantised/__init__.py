"""Models whose codes are rows of a codebook."""
