"""Other tools' annotations -> Label Studio: a reader and a row of FORMATS per format."""
