"""The bundled model, and the generator of synthetic records whose truth is known."""
