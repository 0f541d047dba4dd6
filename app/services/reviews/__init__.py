"""Second opinions by colleagues, and the labels that they leave."""
