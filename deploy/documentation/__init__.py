"""The documentation: its pages as text, what is generated of them, and the site made of them."""
