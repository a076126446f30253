"""What the HTTP service is made of; `whence.api.server` puts it together."""
