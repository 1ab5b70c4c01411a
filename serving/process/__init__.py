"""One child process each: started in its own group, its output kept, ended with everything it started."""
