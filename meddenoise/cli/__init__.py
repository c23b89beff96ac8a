"""The command line: parse, call the library, map errors to exit codes; one file per group of commands."""
