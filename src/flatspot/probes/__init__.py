"""Pure functions from tensors to numbers, and the torchmetrics shells that accumulate them."""
