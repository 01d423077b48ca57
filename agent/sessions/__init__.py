"""Conversations as experiences: what formats they come in, and which days they were held on.

Knows turns, speakers and times. Refuses to know updates and models.
"""
