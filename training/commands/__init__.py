"""The commands of ``python -m training``, one file each; each names its function ``command``."""
