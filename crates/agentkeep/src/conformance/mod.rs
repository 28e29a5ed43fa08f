//! The cases that every driver must pass, one for each law of the seam.
