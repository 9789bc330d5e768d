"""What is examined and how: from a model and its loaders to evidence and a diagnosis."""
