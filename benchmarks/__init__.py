"""Does the product hold its promises? Quality, truth, speed, cine, noise, trust."""
