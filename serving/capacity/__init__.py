"""How many GPUs a model and a load need: arithmetic over published figures, without a machine."""
