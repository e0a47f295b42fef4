"""Other tools' annotations -> Label Studio: one module and one row of FORMATS per format."""
