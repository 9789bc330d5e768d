"""Recurrent layers and what goes around them."""
