"""Data strategy: embedding, gate, filters, selection, augmentation, formatting."""
