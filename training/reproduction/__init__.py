"""Every system of the source documents, trained and measured here, beside its published figures."""
