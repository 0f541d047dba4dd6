"""What a generator's fakes are worth: figures and a contact sheet beside them."""
