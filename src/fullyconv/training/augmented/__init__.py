"""The augmented samples that a run trains on, and a picture of them."""
