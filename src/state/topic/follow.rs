//! States that another daemon has made: they arrive with their revisions.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::apply::{Next, difference};
use super::ignore::without_ignored;
use super::{
    Applied, Change, Origin, Origins, REMEMBERED, Refusal, Topic, Version, Writer, Written,
    remember,
};
use crate::state::revision::Revision;
use crate::state::session::FieldName;

/// A state that another daemon has made, and what is known of the way there.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The state.
    pub version: Version,
    /// The revision of the last change that needs a redraw. None: that is seen from what differs here.
    pub structural: Option<Revision>,
    /// Revisions since then under which viewers may have seen the topic elsewhere.
    pub known: Vec<Revision>,
    /// Where nothing else can differ: these fields.
    pub fields: Option<Vec<String>>,
}

/// What a change would make of a topic.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The state then.
    pub version: Version,
    /// The last change that needs a redraw then.
    pub structural: Revision,
    /// What its writer is told.
    pub written: Written,
}

impl Topic {
    /// What a change would make of the topic, which stays as it is: whoever is to keep the change may
    /// know a newer state. The revision is made from `unix_micros`.
    ///
    /// # Errors
    /// As [`Topic::write`].
    pub fn draft(
        &self,
        change: &Change,
        applied: Applied,
        unix_micros: u64,
        writer: &Arc<Writer>,
    ) -> Result<Draft, Refusal> {
        let next = self.next(change, applied)?;
        let present = self.version().filter(|_| next.is_same());
        if let Some(version) = present {
            let (structural, written) = (self.structural, self.unchanged(change, next));
            return Ok(Draft {
                version,
                structural,
                written,
            });
        }
        let revision = self.revision.next(unix_micros);
        let origins = self.origins_after(&next, revision, writer);
        Ok(Draft {
            structural: match next.structural {
                true => revision,
                false => self.structural,
            },
            written: Written::Applied {
                revision,
                fields: (!next.structural).then_some(next.changed),
                parts: next.parts,
            },
            version: Version {
                revision,
                session: next.session,
                origins,
            },
        })
    }

    /// The present state and its last change that needs a redraw; none without a session.
    pub fn held(&self) -> Option<(Version, Revision)> {
        Some((self.version()?, self.structural))
    }

    /// Takes a state that another daemon has made, in place of the present one. Where only fields
    /// differ, viewers are brought there without a redraw. A state with an older revision than the
    /// present one is taken as well: then everything begins anew.
    pub fn follow(&mut self, arrival: Arrival) {
        let Arrival {
            mut version,
            structural,
            known,
            fields,
        } = arrival;
        let (present, rules) = (self.session.as_ref(), &self.rules);
        let kept = without_ignored(version.session, present, &rules.ignore, &self.name);
        version.session = kept.0;
        let next = self.session.as_ref().map(|present| {
            let session = version.session.clone();
            difference(present, session, fields.as_deref(), &self.rules.whitelist)
        });
        let before = self.revision;
        let goes_on = version.revision > before && structural.is_none_or(|last| last <= before);
        match next.filter(|next| goes_on && !next.structural) {
            Some(next) => self.go_on(
                version.revision,
                next,
                (&version.origins, fields.as_deref()),
            ),
            None => self.take_over(version, structural),
        }
        self.know(known);
    }

    /// Only fields differ.
    fn go_on(
        &mut self,
        revision: Revision,
        next: Next,
        (origins, only): (&Origins, Option<&[String]>),
    ) {
        let before = std::mem::replace(&mut self.revision, revision);
        let mut changed = written_in(origins, only, (before, revision));
        let named: HashSet<FieldName> = changed.iter().map(|(_, field)| field.clone()).collect();
        // A value that came back is news here, however old it is elsewhere.
        let others = next.changed.into_iter();
        let others = others.filter(|field| !named.contains(field));
        changed.extend(others.map(|field| (revision, field)));
        for (at, field) in &changed {
            let unnamed = || Origin {
                revision: *at,
                writer: Default::default(),
            };
            let origin = origins.get(field).filter(|origin| origin.revision == *at);
            let origin = origin.cloned().unwrap_or_else(unnamed);
            self.origins.insert_mut(field.clone(), origin);
        }
        match changed.is_empty() {
            true => self.remember_same(),
            false => self.same = [revision].into(),
        }
        self.waiting += next.changed_len;
        self.session = Some(next.session);
        self.note(changed);
        remember(&mut self.made, revision);
    }

    /// Whoever is not where the other daemon has been since its last redraw needs everything.
    fn take_over(&mut self, version: Version, structural: Option<Revision>) {
        self.adopt(version.revision, Some(version.session), version.origins);
        self.structural = structural.unwrap_or(version.revision);
        self.recent = written_in(&self.origins, None, (self.structural, self.revision));
        remember(&mut self.made, self.revision);
    }

    /// Viewers may come with these revisions.
    fn know(&mut self, known: Vec<Revision>) {
        let range = self.structural..=self.revision;
        let known = known.into_iter().filter(|known| range.contains(known));
        let missed: Vec<Revision> = known
            .filter(|known| self.made.binary_search(known).is_err())
            .collect();
        if !missed.is_empty() {
            let all: BTreeSet<Revision> = self.made.iter().copied().chain(missed).collect();
            let forgotten = all.len().saturating_sub(REMEMBERED);
            self.made = all.into_iter().skip(forgotten).collect();
        }
    }
}

/// The fields that were written after one revision and up to another, oldest first; of these only.
fn written_in(
    origins: &Origins,
    only: Option<&[String]>,
    (after, to): (Revision, Revision),
) -> Vec<(Revision, FieldName)> {
    let of = |field: &String| origins.get_key_value(field.as_str());
    let written: Vec<(&FieldName, &Origin)> = match only {
        Some(fields) => fields.iter().filter_map(of).collect(),
        None => origins.iter().collect(),
    };
    let written = written.into_iter();
    let written = written.map(|(field, last)| (last.revision, field.clone()));
    let mut written: Vec<_> = written.filter(|(at, _)| *at > after && *at <= to).collect();
    written.sort();
    written
}

#[cfg(test)]
mod tests;
