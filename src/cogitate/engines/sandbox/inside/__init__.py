"""What runs on the far side: started by path with a bare interpreter, so it imports nothing of ours."""
