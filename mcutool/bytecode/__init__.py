"""From the register IR to halfwords: instruction selection and layout."""
