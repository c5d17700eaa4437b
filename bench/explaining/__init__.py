"""`bench explain`: a network of the user's, from one command to the page."""
