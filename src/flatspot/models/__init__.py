"""LightningModules: an encoder and a head."""
