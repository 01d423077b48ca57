"""The HTTP interface: OpenAI's, and the memory's own beside it. Needs the extra `serve`."""
