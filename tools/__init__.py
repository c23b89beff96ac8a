"""Releasing: cards and manifest rows of checkpoints, from what was measured."""
