"""Looking at a pass from outside: finite differences, the gradients that flow, the first NaN."""
