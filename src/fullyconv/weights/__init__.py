"""Networks on disk and on the hub, and where published ones come from."""

HUB = "hub:"
"""How the name of a network on the Hugging Face hub begins, as ``hub:org/name``; all others are paths."""
