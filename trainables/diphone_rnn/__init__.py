"""Phonemes from neural activity of attempted speech, with a diphone loss that a schedule mixes in."""
