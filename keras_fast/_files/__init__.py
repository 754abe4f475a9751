"""The only package that writes: whole files or none, read without trust."""
