"""The models: each one a native config, its data, its network and one training run."""
