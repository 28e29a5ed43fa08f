//! The memory driver: the model that all others are checked against.
