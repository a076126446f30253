"""The faces: no logic of their own."""
