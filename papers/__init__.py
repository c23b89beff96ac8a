"""Do the claims of the papers hold? One folder a paper, and the methods they are held against."""
