"""The imperative shell: data, training, run folders, figures."""
