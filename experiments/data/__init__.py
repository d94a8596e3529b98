"""Sources of data, and the batches that a program takes of them."""
