"""The only room that writes: whole files or none, read without trust."""
