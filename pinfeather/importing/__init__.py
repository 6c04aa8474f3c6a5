"""`pinfeather import`: a stack of what runs already, so that its first `up` adopts and changes nothing."""
