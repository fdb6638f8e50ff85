//! Topics that survive: a redb file, written by one thread that makes all changes that
//! wait durable with one sync.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{
    Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, ReadableTable, StorageError,
    Table, TableDefinition, WriteTransaction,
};
use tokio::sync::{mpsc, oneshot};

use crate::json::Json;
use crate::name::TopicName;
use crate::revision::Revision;
use crate::session::Session;

/// Grows when what is kept changes its shape.
const FORMAT: u64 = 1;
/// How many changes may wait for the thread before writers wait themselves.
const WAITING: usize = 1024;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("onlooker");
/// Topic → its revision.
const REVISIONS: TableDefinition<'_, &str, u64> = TableDefinition::new("revisions");
/// Topic → the session's text as of its last structural change.
const SESSIONS: TableDefinition<'_, &str, &str> = TableDefinition::new("sessions");
/// Topic and field → the value, for fields that changed since.
const FIELDS: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("fields");

/// Why the file cannot be used. It is left as it is.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct StoreError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and the way out.
    pub reason: String,
}

/// A topic as it was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its name.
    pub topic: TopicName,
    /// Its last revision.
    pub revision: Revision,
    /// Its session.
    pub session: Session,
}

/// A change to be made durable.
#[derive(Clone, Debug)]
pub struct Record {
    /// Whose.
    pub topic: TopicName,
    /// The revision of the change before this one, which has to be durable first.
    pub from: Revision,
    /// The revision it makes, and the session then; none: the topic is dropped.
    pub to: Option<(Revision, Session)>,
    /// Only these fields differ; none: anything may.
    pub fields: Option<Vec<String>>,
}

/// Learns whether a change is durable, or why not.
pub type Done = oneshot::Sender<Result<(), String>>;

/// An order for the thread, answered when it is durable or has failed.
pub enum Job {
    /// Make this durable.
    Commit(Box<Record>, Done),
    /// Close the file and end.
    Close(oneshot::Sender<()>),
}

/// A cheap handle to the thread.
#[derive(Clone)]
pub struct Store(mpsc::Sender<Job>);

/// How the thread gets at the file, also again after the disk was full.
type Open = Box<dyn FnMut() -> Result<Database, DatabaseError> + Send>;

impl Store {
    /// Opens or makes the file, and tells what it holds.
    ///
    /// # Errors
    /// A file that is not ours, damaged, of a newer format or in use is left as it is.
    pub fn open(path: &Path) -> Result<(Store, Vec<Kept>), StoreError> {
        let fail = |reason: String| StoreError {
            path: path.to_owned(),
            reason,
        };
        check_format(path).map_err(fail)?;
        let database = if path.exists() {
            Database::open(path)
        } else {
            Database::create(path)
        };
        let database = database.map_err(|error| fail(explain(&error)))?;
        let kept = prepare(&database)
            .and_then(|()| load(&database))
            .map_err(|error| fail(error.to_string()))?;
        let path = path.to_owned();
        Ok((
            Store::start(database, Box::new(move || Database::open(&path))),
            kept,
        ))
    }

    fn start(database: Database, open: Open) -> Store {
        let (jobs, waiting) = mpsc::channel(WAITING);
        std::thread::spawn(move || {
            Writer {
                database: Some(database),
                open,
            }
            .run(waiting)
        });
        Store(jobs)
    }

    /// Where jobs are put. A place is reserved before the topic's lock is taken, so that
    /// records are put in the order of their revisions.
    pub fn jobs(&self) -> &mpsc::Sender<Job> {
        &self.0
    }
}

/// What a file holds, one JSON object per topic: `{"topic","revision","session"}`.
///
/// # Errors
/// As [`Store::open`].
pub fn export(path: &Path, line: &mut dyn FnMut(&str)) -> Result<(), StoreError> {
    let fail = |reason: String| StoreError {
        path: path.to_owned(),
        reason,
    };
    if !path.exists() {
        return Err(fail("no such file".to_owned()));
    }
    check_format(path).map_err(fail)?;
    let database = Database::open(path).map_err(|error| fail(explain(&error)))?;
    for kept in load(&database).map_err(|error| fail(error.to_string()))? {
        let Kept {
            topic,
            revision,
            session,
        } = kept;
        line(&format!(
            r#"{{"topic":"{topic}","revision":"{revision}","session":{}}}"#,
            session.to_json()
        ));
    }
    Ok(())
}

/// Puts topics into a file, all of them or none; topics of the same name are replaced.
///
/// # Errors
/// As [`Store::open`], or when the disk is full.
pub fn import(path: &Path, topics: &[Kept]) -> Result<(), StoreError> {
    let fail = |reason: String| StoreError {
        path: path.to_owned(),
        reason,
    };
    check_format(path).map_err(fail)?;
    let database = if path.exists() {
        Database::open(path)
    } else {
        Database::create(path)
    };
    let database = database.map_err(|error| fail(explain(&error)))?;
    let write = || {
        prepare(&database)?;
        let transaction = database.begin_write()?;
        for kept in topics {
            put(
                &transaction,
                kept.topic.as_str(),
                kept.revision,
                &kept.session,
                None,
            )?;
        }
        Ok::<_, redb::Error>(transaction.commit()?)
    };
    write().map_err(|error| fail(error.to_string()))
}

/// One line of an export.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse_line(line: &[u8]) -> Result<Kept, String> {
    let document = Json::parse_kept(line).map_err(|error| error.to_string())?;
    let members = document.members().unwrap_or_default();
    let get = |key: &str| {
        members
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value)
            .ok_or(format!("{key:?} is missing"))
    };
    let text = |key: &str| {
        get(key)?
            .as_string()
            .ok_or(format!("{key}: expected a string"))
    };
    let topic = text("topic")?
        .parse::<TopicName>()
        .map_err(|error| error.to_string())?;
    let revision = text("revision")?
        .parse::<Revision>()
        .map_err(|error| error.to_string())?;
    let session =
        Session::from_json(get("session")?, topic.as_str()).map_err(|error| error.to_string())?;
    Ok(Kept {
        topic,
        revision,
        session,
    })
}

/// Looks at a file without writing to it.
fn check_format(path: &Path) -> Result<(), String> {
    if !path.exists() {
        return Ok(());
    }
    let database = match ReadOnlyDatabase::open(path) {
        Ok(database) => database,
        // It was not closed in order: opening it to write will mend it.
        Err(DatabaseError::RepairAborted) => return Ok(()),
        Err(error) => return Err(explain(&error)),
    };
    let format = || {
        Ok::<_, redb::Error>(
            database
                .begin_read()?
                .open_table(META)?
                .get("format")?
                .map(|format| format.value()),
        )
    };
    match format() {
        Ok(Some(FORMAT)) => Ok(()),
        Ok(Some(newer)) => Err(format!(
            "format {newer} is newer than this onlooker knows ({FORMAT}): use the onlooker that wrote it"
        )),
        _ => Err("a redb file, but none of onlooker's: choose another --store".to_owned()),
    }
}

fn explain(error: &DatabaseError) -> String {
    match error {
        DatabaseError::DatabaseAlreadyOpen => {
            "another onlooker has it open: stop that one, or choose another --store".to_owned()
        }
        DatabaseError::Storage(StorageError::Io(io))
            if io.kind() == std::io::ErrorKind::InvalidData =>
        {
            format!("not a store of onlooker ({io}): choose another --store")
        }
        DatabaseError::Storage(StorageError::Corrupted(what)) => {
            format!("the store is damaged ({what}): restore a copy, or choose another --store")
        }
        other => format!(
            "the store cannot be opened ({other}): restore a copy, or choose another --store"
        ),
    }
}

fn prepare(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    transaction.open_table(REVISIONS)?;
    transaction.open_table(SESSIONS)?;
    transaction.open_table(FIELDS)?;
    Ok(transaction.commit()?)
}

fn load(database: &Database) -> Result<Vec<Kept>, redb::Error> {
    let transaction = database.begin_read()?;
    let (revisions, sessions, fields) = (
        transaction.open_table(REVISIONS)?,
        transaction.open_table(SESSIONS)?,
        transaction.open_table(FIELDS)?,
    );
    let mut all = Vec::new();
    for entry in sessions.iter()? {
        let (name, text) = entry?;
        let name = name.value();
        let revision = revisions
            .get(name)?
            .and_then(|revision| Revision::new(revision.value()));
        let (Ok(topic), Some(revision)) = (name.parse(), revision) else {
            continue;
        };
        let parsed = Json::parse_kept(text.value().as_bytes())
            .ok()
            .and_then(|json| Session::from_json(&json, name).ok());
        let Some(mut session) = parsed else { continue };
        for entry in fields.range((name, "")..)? {
            let (key, value) = entry?;
            if key.value().0 != name {
                break;
            }
            let value =
                Json::parse_kept(value.value().as_bytes()).unwrap_or_else(|_| Json::empty_object());
            Arc::make_mut(&mut session.config).insert(key.value().1.to_owned(), value);
        }
        all.push(Kept {
            topic,
            revision,
            session,
        });
    }
    Ok(all)
}

/// The thread's state.
struct Writer {
    /// None after a failure, until it could be opened again.
    database: Option<Database>,
    open: Open,
}

impl Writer {
    fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(WAITING);
        // All that waits shares one sync: that is what makes many writers fast.
        while waiting.blocking_recv_many(&mut batch, WAITING) > 0 {
            let mut records = Vec::new();
            let mut closing = None;
            for job in batch.drain(..) {
                match job {
                    Job::Commit(record, done) => records.push((record, done)),
                    Job::Close(done) => closing = Some(done),
                }
            }
            self.commit(records);
            if let Some(done) = closing {
                self.database = None;
                let _ = done.send(());
                return;
            }
        }
    }

    fn commit(&mut self, records: Vec<(Box<Record>, Done)>) {
        if records.is_empty() {
            return;
        }
        let written = self.write(records.iter().map(|(record, _)| &**record));
        if written.is_err() {
            // After a failed write redb wants the file to be opened anew.
            self.database = None;
        }
        let answers = written.unwrap_or_else(|error| vec![Err(error.to_string()); records.len()]);
        for ((_, done), answer) in records.into_iter().zip(answers) {
            // A writer that has gone does not need to know.
            let _ = done.send(answer);
        }
    }

    fn write<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record>,
    ) -> Result<Vec<Result<(), String>>, redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.open)()?,
        };
        let transaction = self.database.insert(database).begin_write()?;
        let answers = records
            .map(|record| apply(&transaction, record))
            .collect::<Result<_, _>>()?;
        transaction.commit()?;
        Ok(answers)
    }
}

/// Puts one record into the transaction, unless the change before it was lost.
fn apply(
    transaction: &WriteTransaction,
    record: &Record,
) -> Result<Result<(), String>, redb::Error> {
    let name = record.topic.as_str();
    let present = transaction
        .open_table(REVISIONS)?
        .get(name)?
        .map_or(0, |revision| revision.value());
    if present != record.from.get() {
        return Ok(Err("an earlier change could not be kept".to_owned()));
    }
    match &record.to {
        Some((revision, session)) => put(
            transaction,
            name,
            *revision,
            session,
            record.fields.as_deref(),
        )?,
        None => {
            transaction.open_table(REVISIONS)?.remove(name)?;
            transaction.open_table(SESSIONS)?.remove(name)?;
            clear_fields(&mut transaction.open_table(FIELDS)?, name)?;
        }
    }
    Ok(Ok(()))
}

fn put(
    transaction: &WriteTransaction,
    name: &str,
    revision: Revision,
    session: &Session,
    fields: Option<&[String]>,
) -> Result<(), redb::Error> {
    transaction
        .open_table(REVISIONS)?
        .insert(name, revision.get())?;
    let mut table = transaction.open_table(FIELDS)?;
    match fields {
        Some(fields) => {
            for (field, value) in fields
                .iter()
                .filter_map(|field| Some((field, session.config.get(field)?)))
            {
                table.insert((name, field.as_str()), value.as_str())?;
            }
        }
        None => {
            transaction
                .open_table(SESSIONS)?
                .insert(name, session.to_json().as_str())?;
            clear_fields(&mut table, name)?;
        }
    }
    Ok(())
}

fn clear_fields(
    table: &mut Table<'_, (&'static str, &'static str), &'static str>,
    name: &str,
) -> Result<(), redb::Error> {
    // No field's name is longer than a session may be, so nothing sorts behind this key.
    let keys: Vec<String> = table
        .range((name, "")..)?
        .map_while(|entry| {
            entry
                .ok()
                .filter(|(key, _)| key.value().0 == name)
                .map(|(key, _)| key.value().1.to_owned())
        })
        .collect();
    for field in keys {
        table.remove((name, field.as_str()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(text: &str) -> Session {
        Session::from_json(&Json::parse(text.as_bytes()).unwrap(), "x").unwrap()
    }

    fn commit(store: &Store, record: Record) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        store
            .jobs()
            .blocking_send(Job::Commit(Box::new(record), done))
            .map_err(|_| ())
            .unwrap();
        answer.blocking_recv().unwrap()
    }

    fn close(store: &Store) {
        let (done, closed) = oneshot::channel();
        store
            .jobs()
            .blocking_send(Job::Close(done))
            .map_err(|_| ())
            .unwrap();
        closed.blocking_recv().unwrap();
    }

    fn record(from: u64, to: u64, text: &str, fields: Option<&[&str]>) -> Record {
        let fields = fields.map(|fields| fields.iter().map(|field| (*field).to_owned()).collect());
        Record {
            topic: "main".parse().unwrap(),
            from: Revision::new(from).unwrap(),
            to: Some((Revision::new(to).unwrap(), session(text))),
            fields,
        }
    }

    #[test]
    fn what_was_committed_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let (store, kept) = Store::open(&path).unwrap();
        assert_eq!(kept, []);
        commit(
            &store,
            record(0, 5, r#"{"data":[1E+2],"config":{"b":1,"a":2}}"#, None),
        )
        .unwrap();
        commit(
            &store,
            record(
                5,
                6,
                r#"{"data":[1E+2],"config":{"b":3,"a":2}}"#,
                Some(&["b"]),
            ),
        )
        .unwrap();
        assert!(
            Store::open(&path)
                .map(|_| ())
                .unwrap_err()
                .reason
                .contains("another onlooker")
        );
        close(&store);
        let (store, kept) = Store::open(&path).unwrap();
        let again = record(6, 6, r#"{"data":[1E+2],"config":{"b":3,"a":2}}"#, None);
        assert_eq!(
            kept,
            [Kept {
                topic: again.topic.clone(),
                revision: Revision::new(6).unwrap(),
                session: again.to.unwrap().1
            }]
        );
        assert_eq!(
            kept[0].session.to_json(),
            r#"{"name":"x","data":[1E+2],"config":{"b":3,"a":2},"metadata":{}}"#
        );
        let dropped = Record {
            topic: again.topic,
            from: Revision::new(6).unwrap(),
            to: None,
            fields: None,
        };
        commit(&store, dropped).unwrap();
        close(&store);
        assert_eq!(Store::open(&path).unwrap().1, []);
    }

    #[test]
    fn a_change_that_follows_a_lost_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(&folder.path().join("store")).unwrap();
        commit(&store, record(0, 5, "[1]", None)).unwrap();
        assert!(commit(&store, record(6, 7, "[2]", None)).is_err());
        assert!(commit(&store, record(5, 8, "[3]", None)).is_ok());
    }

    #[test]
    fn files_that_are_not_ours_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let refuse = |bytes: &[u8], reason: &str| {
            std::fs::write(&path, bytes).unwrap();
            let error = Store::open(&path).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        };
        refuse(b"", "not a store of onlooker");
        refuse(
            &b"just a text file\n".repeat(1000),
            "not a store of onlooker",
        );
        std::fs::remove_file(&path).unwrap();
        close(&Store::open(&path).unwrap().0);
        let whole = std::fs::read(&path).unwrap();
        refuse(&whole[..whole.len() / 2], "damaged");

        std::fs::remove_file(&path).unwrap();
        let newer = Database::create(&path).unwrap();
        let transaction = newer.begin_write().unwrap();
        transaction
            .open_table(META)
            .unwrap()
            .insert("format", FORMAT + 1)
            .unwrap();
        transaction.commit().unwrap();
        drop(newer);
        refuse(&std::fs::read(&path).unwrap(), "newer than this onlooker");
    }

    #[test]
    fn an_export_can_be_imported() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let (store, _) = Store::open(&from).unwrap();
        commit(&store, record(0, 5, r#"{"data":{"é":1.50}}"#, None)).unwrap();
        close(&store);
        let mut lines = Vec::new();
        export(&from, &mut |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(
            lines,
            [
                r#"{"topic":"main","revision":"5","session":{"name":"x","data":{"é":1.50},"config":{},"metadata":{}}}"#
            ]
        );
        let kept = parse_line(lines[0].as_bytes()).unwrap();
        import(&to, std::slice::from_ref(&kept)).unwrap();
        assert_eq!(Store::open(&to).unwrap().1, [kept]);
        assert_eq!(
            parse_line(b"{\"topic\":\"a b\"}")
                .unwrap_err()
                .split(':')
                .next(),
            Some("\"a b\" cannot name a topic")
        );
    }
}
