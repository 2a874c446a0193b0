"""tts: a transformer that speaks, its optimisation levels as data, and the switch from one level to another."""
