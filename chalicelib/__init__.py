"""What is deployed: one noun a module; imports run one way, towards the leaves."""
