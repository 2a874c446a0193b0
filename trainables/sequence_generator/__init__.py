"""sequence_generator: 151 frames of a spinodal decomposition, rolled out from the first (models.md, section 2)."""
