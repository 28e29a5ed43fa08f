//! `import ...`.

pub(super) mod agentx;
