"""The strategy of an ordinary network, as settings, model files and records name it."""

PLAIN = "plain"
