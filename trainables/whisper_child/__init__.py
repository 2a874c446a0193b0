"""Whisper, fine-tuned on children's speech: freeze and warmup, SpecAugment, curriculum, patience."""
