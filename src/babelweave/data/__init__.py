"""Collections and the publishers' own layouts, read into the records of the seams."""
