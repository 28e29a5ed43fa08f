//! What the drivers for servers share.

pub(in crate::drivers) mod answer;
pub(in crate::drivers) mod known;
pub(in crate::drivers) mod page;
pub(in crate::drivers) mod patience;
pub(in crate::drivers) mod secret;
pub(in crate::drivers) mod url;
