"""What an administrator does with many accounts."""
