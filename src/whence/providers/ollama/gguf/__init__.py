"""GGUF files, the format of llama.cpp, as models of transformers."""
