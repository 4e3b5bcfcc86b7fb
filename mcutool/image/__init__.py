"""The `.mcu` image: its format, and the linking of translated modules into one."""
