"""A saga in two releases of a program. A worker imports one of them: it has the code of that version only."""
