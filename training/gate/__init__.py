"""Making the gate of a modality: a small network that tells its scans from other images."""
