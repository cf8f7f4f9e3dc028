"""Everything that makes weights: data readers, augmentation, the two trainers, measurements."""
