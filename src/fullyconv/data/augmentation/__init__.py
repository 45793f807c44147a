"""Augmentation: how training samples are changed at random, image and mask together."""
