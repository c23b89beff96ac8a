"""Training: images into patches, patches into noisy pairs, pairs into checkpoints."""
