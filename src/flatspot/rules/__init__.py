"""One cause, one file, named as the complaint. No rule is written yet: see the changelog."""
