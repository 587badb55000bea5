"""notafluke: train ideas against a control over many seeds and say which claims hold."""
