"""The command line: one file per verb, which parses, calls one library function and prints."""
