"""Whether a new version serves: judged on equal cases, promoted, old weights freed."""
