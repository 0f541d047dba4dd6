"""Files from outside become grey pictures, in processes that may not harm the server."""
