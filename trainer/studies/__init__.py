"""What trains the frozen models that ship, and what reproduces a table or a figure."""
