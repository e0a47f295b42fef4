"""Labels that are renamed, came or went: questions, answers, what a version's classes are now."""
