"""What watches the server asks it."""
