"""Downloads about an analysis, and the page that checks them."""
