"""The agent: environments, sessions, serving, the command line and the composition of all parts.

Knows how experiences arise, how requests are answered and how new weights are taken up.
Refuses to know how an update is computed (that is `updater`) and how records are stored (that is `memory_log`).
"""
