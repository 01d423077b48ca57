"""One module for each schema version, from the first to this release's."""
