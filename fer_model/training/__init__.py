"""Training: data readers, augmentation, the two trainers, measurements."""
