"""What is installed on a board, through power cuts: the firmware's store on a PC, and on emulated boards."""
