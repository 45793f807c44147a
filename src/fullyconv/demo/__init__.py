"""The story that `fullyconv demo` tells, and the built-in data that it tells it on."""
