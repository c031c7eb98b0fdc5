//! What `--against` names: an earlier report in a file, or else a revision.

use std::path::Path;

use anyhow::{Context, Result};

use crate::budget::Limit;
use crate::delta::Earlier;
use crate::make::Workspace;
use crate::revision::Revision;

/// What a loader is compared with.
pub enum Against {
    /// What was measured before.
    Report(Box<Earlier>),
    /// What is to be measured.
    Revision(Revision),
}

impl Against {
    /// The file of this name, or else the revision. Fails where it is neither, and where the file is no report.
    pub fn find(workspace: &Workspace, name: &str) -> Result<Against> {
        let path = Path::new(name);
        if path.exists() && !path.is_dir() {
            return Ok(Against::Report(Box::new(Earlier::read(path)?)));
        }
        let revision = Revision::find(workspace, name);
        Ok(Against::Revision(revision.with_context(|| format!("{name} is neither a file nor a revision"))?))
    }

    /// The numbers of the earlier loader, its packed forms as the budget limits them.
    pub fn measure(self, workspace: &Workspace, limits: &[Limit]) -> Result<Earlier> {
        match self {
            Against::Report(earlier) => Ok(*earlier),
            Against::Revision(revision) => revision.measure(workspace, limits),
        }
    }
}
