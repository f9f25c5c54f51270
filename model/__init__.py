"""Model room: a formatted conversation becomes packs, a loss, a checkpoint, a score.

Shape letters: B packs, S samples, T tokens, P tiles, H height, W width, C channels, G grid cells, D width of a vector.
"""
