"""LightningModules: an encoder and a head, for forecasts and for labels."""
