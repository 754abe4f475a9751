"""The only room that knows Keras's inside."""
