"""Settings by seeds: what a sweep runs, by which engine, and the table it comes to."""
