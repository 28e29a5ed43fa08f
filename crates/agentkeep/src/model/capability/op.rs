//! Who does something, for whom, and when.

use crate::error::Result;
use crate::json::{Json, ObjectEditor};
use crate::model::document;
use crate::schema::check_id;

/// Who does something, for whom, and when: kept with every row that it writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpContext {
    /// When, in milliseconds since 1970.
    pub now: i64,
    /// For which tenant: a namespace. What is written for a tenant is read in it alone.
    pub tenant_id: Option<String>,
    /// Who.
    pub actor_id: Option<String>,
}

impl Default for OpContext {
    /// Now, by the wall clock.
    fn default() -> Self {
        Self { now: document::now(), tenant_id: None, actor_id: None }
    }
}

impl OpContext {
    /// At this time.
    pub fn at(now: i64) -> Self {
        Self { now, tenant_id: None, actor_id: None }
    }

    /// The same for a tenant.
    #[must_use]
    pub fn tenant(mut self, tenant_id: &str) -> Self {
        self.tenant_id = Some(tenant_id.to_owned());
        self
    }

    /// The same by somebody.
    #[must_use]
    pub fn actor(mut self, actor_id: &str) -> Self {
        self.actor_id = Some(actor_id.to_owned());
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.tenant_id.as_deref().map_or(Ok(()), |tenant| check_id("tenant", tenant))
    }

    /// As JSON, members in Khora's order.
    pub fn to_json(&self) -> Json {
        let mut op = ObjectEditor::default();
        op.set("now", &Json::integer(self.now));
        for (name, value) in [("tenantId", &self.tenant_id), ("actorId", &self.actor_id)] {
            if let Some(value) = value {
                op.set(name, &Json::string(value));
            }
        }
        op.finish()
    }

    pub(crate) fn stored(json: &Json) -> Option<Self> {
        let text = |name: &str| json.member(name).and_then(|text| text.to_text());
        let now = json.member("now")?.to_i64()?;
        Some(Self { now, tenant_id: text("tenantId"), actor_id: text("actorId") })
    }
}
