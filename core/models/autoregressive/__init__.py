"""Models of sequences of symbols, one after another: p(x) = p(x_1) p(x_2 | x_1) ..."""
