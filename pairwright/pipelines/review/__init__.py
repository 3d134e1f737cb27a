"""Review sheets: what a build waits for people to say, how they are asked, and how their answers come back."""
