"""Publish a run on the Hugging Face hub, with a card that says what it is and how well it does."""

from fullyconv.publish.push import push_to_hub

__all__ = ["push_to_hub"]
