"""What is computed: pure functions over parameter dicts, in plain torch."""
