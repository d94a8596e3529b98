"""A service of exported functions: one process that batches, sheds, reports and swaps models while it answers."""
