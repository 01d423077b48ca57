"""Measures the runtime through its public interfaces; every figure that the project quotes comes from here.

Refuses to know private names of `agent`, `updater` and `memory_log`: a figure holds for what a user can call.
"""
