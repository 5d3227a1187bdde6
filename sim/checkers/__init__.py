"""What must always hold in a world, checked from outside of the code under test."""
