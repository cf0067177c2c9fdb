"""What people and programs do on the control plane: SimPy processes and scans, one module each."""
