"""The retention study: an agent lives through experiences, methods learn them, and what each still knows is asked."""
