"""Methods of other papers that are trained and run in the same way, to be held against ours."""
