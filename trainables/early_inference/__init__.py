"""Kinetic parameters of a urease reaction from the first seconds of its pH curve."""
