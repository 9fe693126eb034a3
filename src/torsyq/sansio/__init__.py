"""What apps and blueprints know before there is a request."""
