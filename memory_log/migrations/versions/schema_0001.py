"""Schema 1, the first. Logs of it exist; none is made from here."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Nothing: it is where migrations begin."""
