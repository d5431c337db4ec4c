//! One report, fetched page by page.

use serde_json::Value;

use super::{Report, Usage};
use crate::command::filters::Filters;
use crate::failure::Failure;
use crate::print;
use crate::server::{Server, query};

/// Rows of one page: as many as the API gives, since rows change places between pages while requests go on.
const PAGE: usize = 10_000;

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Pages {
    pub(super) by: String,
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    pub(super) filters: Filters,
    pub(super) sort: Option<&'static str>,
}

// === impl Pages ===

impl Pages {
    pub(super) fn of(verb: &Usage) -> Self {
        Self {
            by: verb.by.clone(),
            since: verb.since.clone(),
            until: verb.until.clone(),
            filters: verb.filters.clone(),
            sort: verb.sort.map(super::Sort::name),
        }
    }

    /// The first `wanted` rows.
    pub(super) async fn report(&self, server: &Server, wanted: usize) -> Result<Report, Failure> {
        let (mut report, mut cursor) = (Report::default(), None::<String>);
        loop {
            let limit = wanted.saturating_sub(report.rows.len()).min(PAGE);
            let page = server.get(&self.path(limit, cursor.as_deref())).await?;
            let rows = page.get("rows").map(print::list).into_iter().flatten();
            report.rows.extend(rows.cloned());
            cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
            report.more = cursor.is_some();
            if report.by.is_empty() {
                let field = |name| page.get(name).cloned().unwrap_or_default();
                (report.total, report.since, report.until) = (field("total"), field("since"), field("until"));
                report.by = names(&field("by"));
            }
            if cursor.is_none() || report.rows.len() >= wanted {
                return Ok(report);
            }
        }
    }

    fn path(&self, limit: usize, cursor: Option<&str>) -> String {
        let limit = limit.to_string();
        let own = [
            ("by", Some(self.by.as_str())),
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
            ("sort", self.sort),
            ("limit", Some(limit.as_str())),
            ("cursor", cursor),
        ];
        query("/usage", &[own.as_slice(), self.filters.fields().as_slice()].concat())
    }
}

fn names(list: &Value) -> Vec<String> {
    print::list(list).filter_map(Value::as_str).map(str::to_owned).collect()
}
